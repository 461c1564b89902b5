package peer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
)

func TestKindsCollide(t *testing.T) {
	frame := func(cluster.NodeID, []byte) {}
	stream := func(cluster.NodeID, []byte, *Conn) {}
	for name, register := range map[string]func(l *Links){
		"a frame twice":      func(l *Links) { l.Handle(20, frame); l.Handle(20, frame) },
		"a stream twice":     func(l *Links) { l.HandleStream(20, stream); l.HandleStream(20, stream) },
		"frame and stream":   func(l *Links) { l.Handle(20, frame); l.HandleStream(20, stream) },
		"the hello":          func(l *Links) { l.Handle(kindHello, frame) },
		"a reserved kind":    func(l *Links) { l.HandleStream(kindOwn-1, stream) },
		"after the start":    func(l *Links) { l.mux.started = true; l.Handle(20, frame) },
		"a stream after it":  func(l *Links) { l.mux.started = true; l.HandleStream(20, stream) },
		"others, which pass": nil,
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Config{Node: 1})
			l.Handle(kindOwn, frame)
			l.HandleStream(255, stream)
			defer func() {
				if got := recover(); (got != nil) != (register != nil) {
					t.Errorf("panic: %v", got)
				}
			}()
			if register != nil {
				register(l)
			}
		})
	}
}

// TestUnknownKind sends frames of a later version: the link stands, what it
// carries beside them arrives, and the log names kind and version, once per
// connection.
func TestUnknownKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNet()
		a := n.start(1, 1, func(c *Config) { c.Oldest, c.Newest = 1, 7 })
		b := n.start(2, 1)
		a.links.Connect(2)
		b.links.Connect(1)
		synctest.Wait()
		for _, kind := range []Kind{200, 5, 0, 255, 200} { // of handlers, and of this package
			a.links.Send(2, Bulk, kind, text("of tomorrow"))
		}
		a.links.Send(2, Bulk, 20, text("of today"))
		b.want(t, "1: 20 of today")
		time.Sleep(2 * pingEvery)
		synctest.Wait()
		if !a.links.Up(2) || len(a.ups) != 1 {
			t.Errorf("the link broke: %v", a.ups)
		}
		if got := b.log.count(ErrKind.Error()); got != 1 {
			t.Errorf("logged %d times", got)
		}
		if b.log.count(fmt.Sprintf("node 1, whose newest formats are of version 7, sent kind 200; those of this node are of version %d", cluster.Newest)) != 1 {
			t.Errorf("logged: %s", b.log.text.String())
		}
		a.links.Send(2, Control, 201, text("of tomorrow")) // another connection
		synctest.Wait()
		if got := b.log.count(ErrKind.Error()); got != 2 {
			t.Errorf("logged %d times", got)
		}
		a.links.Close()
		b.links.Close()
	})
}

// TestUnknownStream opens a stream that nobody takes: it is closed, and nothing
// else is.
func TestUnknownStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := pair(t)
		for _, kind := range []Kind{41, 20, kindPing} {
			s, err := a.links.OpenStream(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.WriteFrame(kind, text("rows")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.ReadFrame(); err == nil {
				t.Error("answered")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if !a.links.Up(2) || len(a.ups) != 1 || b.log.count("stream refused") != 3 || b.log.count("sent kind 41;") != 1 {
			t.Errorf("%v, %s", a.ups, b.log.text.String())
		}
		a.links.Close()
		b.links.Close()
	})
}

// TestVersions lets nodes of two versions meet: those with a common one speak,
// the others say who is to be updated, not every second.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		name           string
		oldest, newest cluster.Version // of node 2; node 1 speaks 2 to 4
		want           string          // logged by node 1
	}{
		{"older, with a common one", 1, 2, ""},
		{"newer, with a common one", 4, 9, ""},
		{"too old", 1, 1, "node 2 is too old, its newest formats are of version 1, and this node speaks no older ones than 2: update node 2"},
		{"too new", 5, 9, "node 2 is too new, it speaks no older formats than version 5, and the newest of this node are of version 4: update this node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTestNet()
				a := n.start(1, 1, func(cfg *Config) { cfg.Oldest, cfg.Newest = 2, 4 })
				b := n.start(2, 1, func(cfg *Config) { cfg.Oldest, cfg.Newest = c.oldest, c.newest })
				b.links.Connect(1)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				got, refused := a.log.count(c.want), a.log.count("peer refused")
				if c.want == "" {
					got = 1
				}
				if b.links.Up(1) != (c.want == "") || len(a.seen) == 0 != (c.want != "") || got != 1 || c.want == "" && refused > 0 {
					t.Errorf("up %v, hellos %v, logged: %s", b.links.Up(1), a.seen, a.log.text.String())
				}
				a.links.Close()
				b.links.Close()
			})
		})
	}
}

// TestVersionIsNoDamage reads the hello of a version whose hello looks otherwise.
func TestVersionIsNoDamage(t *testing.T) {
	l := New(Config{Node: 1, Cluster: "c"})
	b := Hello{Class: Bulk, Newest: 9, Oldest: cluster.Newest + 1, Node: 2, Cluster: "c"}.encode(nil)
	b[4]++
	if _, err := l.readHello(2, kindHello, b); !errors.Is(err, ErrVersion) || errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), fmt.Sprintf("version %d", cluster.Newest+1)) {
		t.Errorf("%v", err)
	}
	b = Hello{Class: Bulk, Newest: 9, Oldest: 1, Node: 2, Cluster: "c"}.encode(nil)
	b[4]++
	if _, err := l.readHello(2, kindHello, b); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "layout") {
		t.Errorf("%v", err)
	}
}

// TestGolden compares what this version writes with testdata: a layout does not
// change without a number of its own.
func TestGolden(t *testing.T) {
	h := Hello{Class: Control, Newest: 3, Oldest: 2, Node: 258, Incarnation: 5, Nonce: 1<<64 - 2, Wall: 1_700_000_000_000, Cluster: "green"}
	for name, got := range map[string][]byte{
		"hello-3":     appendFrame(nil, kindHello, h.encode),
		"ping-1":      appendFrame(nil, kindPing, ping{wall: 1_700_000_000_000, room: RoomTight}.encode),
		"clock-ask-1": appendFrame(nil, kindClockAsk, clockAsk{asked: 258, nonce: 1<<64 - 2}.encode),
		"clock-1":     appendFrame(nil, kindClock, clockAsk{asked: 258, nonce: 1<<64 - 2}.answer(1_700_000_000_000)),
		"twin-1":      appendFrame(nil, kindTwin, Twin{Start: 258, Sits: 1<<64 - 2}.encode),
		"frame-1":     frame(20, []byte("payload")),
	} {
		text, err := os.ReadFile("testdata/" + name + ".hex")
		if err != nil {
			t.Errorf("%v; now it is %x", err, got)
			continue
		}
		want, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s: %x becomes %x, %v", name, want, got, err)
		}
	}
	_, payload, err := read(appendFrame(nil, kindHello, h.encode))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeHello(payload); err != nil || got != h {
		t.Errorf("%+v becomes %+v, %v", h, got, err)
	}
}
