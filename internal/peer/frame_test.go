package peer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"tutti/internal/cluster"
)

func frame(kind Kind, payload []byte) []byte {
	return appendFrame(nil, kind, func(dst []byte) []byte { return append(dst, payload...) })
}

func read(b []byte) (Kind, []byte, error) { return readFrame(bufio.NewReader(bytes.NewReader(b))) }

func TestFrame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var stream []byte
	var want [][]byte
	for i := range 50 {
		payload := bytes.Repeat([]byte{byte(i)}, r.IntN(5000))
		if i == 7 {
			payload = make([]byte, 3*chunkBytes+5)
		}
		want = append(want, payload)
		stream = appendFrame(stream, Kind(16+i), func(dst []byte) []byte { return append(dst, payload...) })
	}
	in := bufio.NewReader(bytes.NewReader(stream))
	for i, w := range want {
		kind, payload, err := readFrame(in)
		if err != nil || kind != Kind(16+i) || !bytes.Equal(payload, w) {
			t.Fatalf("frame %d: kind %d, %d bytes, %v", i, kind, len(payload), err)
		}
	}
	if _, _, err := readFrame(in); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFrameDamage(t *testing.T) {
	good := frame(20, []byte("payload"))
	for bit := range 8 * len(good) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if kind, payload, err := read(b); err == nil {
			t.Errorf("bit %d is flipped: kind %d, %q", bit, kind, payload)
		}
	}
	for n := range good {
		if _, _, err := read(good[:n]); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of a frame: %v", n, err)
		}
	}
	for _, n := range []uint32{0, FrameMax + 1, 1<<32 - 1} {
		if _, _, err := read(append(be.AppendUint32(nil, n), make([]byte, 100)...)); !errors.Is(err, ErrFrame) {
			t.Errorf("length %d: %v", n, err)
		}
	}
}

// TestFrameAllocates announces a large frame and sends little of it.
func TestFrameAllocates(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := read(append(be.AppendUint32(nil, FrameMax), make([]byte, 1000)...)); err == nil {
		t.Error("a frame")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4*chunkBytes {
		t.Errorf("%d bytes allocated for 1000", n)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frame(20, []byte("payload")))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		if kind, payload, err := read(b); err == nil && !bytes.HasPrefix(b, frame(kind, payload)) {
			t.Errorf("%x is read as kind %d, %x", b, kind, payload)
		}
	})
}

func TestHello(t *testing.T) {
	h := Hello{Class: Stream, Newest: 9, Oldest: 3, Node: 5, Incarnation: 1 << 40, Nonce: 1 << 63, Wall: -3, Cluster: "green"}
	b := h.encode(nil)
	if got, err := decodeHello(b); err != nil || got != h {
		t.Errorf("%+v becomes %+v, %v", h, got, err)
	}
	with := func(at int, c byte) []byte {
		b := bytes.Clone(b)
		b[at] = c
		return b
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "short": b[:helloFixed-1], "long": append(bytes.Clone(b), make([]byte, clusterMax)...), "other magic": with(0, 'x'),
		"no prefix": b[:helloPrefix-1], "other layout without prefix": with(4, 9)[:helloPrefix-1],
		"oldest above newest": with(21, 10), "oldest 0": with(21, 0), "class between": with(5, byte(classes)), "class beyond": with(5, 17),
	} {
		if _, err := decodeHello(bad); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, later := range map[string][]byte{"whole": with(4, 9), "prefix only": with(4, 9)[:helloPrefix]} {
		got, err := decodeHello(later)
		if !errors.Is(err, ErrVersion) || errors.Is(err, ErrFrame) || got.Newest != 9 || got.Oldest != 3 {
			t.Errorf("%s of another layout: %+v, %v", name, got, err)
		}
	}
}

func FuzzDecodeHello(f *testing.F) {
	f.Add(Hello{Class: Bulk, Newest: 1, Oldest: 1, Node: 1, Cluster: "c"}.encode(nil))
	f.Add(Hello{Class: Stream, Newest: 1 << 63, Oldest: 2, Node: 1, Wall: -1}.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHello(b); err == nil && !bytes.Equal(h.encode(nil), b) {
			t.Errorf("%x is read as %+v", b, h)
		}
	})
}

func TestMedianWall(t *testing.T) {
	for _, c := range []struct {
		name    string
		members []cluster.NodeID
		heard   map[cluster.NodeID]int64 // what peers' clocks show; this node 1 shows 100
		want    int64
		ok      bool
	}{
		{"alone", []cluster.NodeID{1}, nil, 100, true},
		{"nobody", nil, nil, 0, false},
		{"one of three", []cluster.NodeID{1, 2, 3}, nil, 0, false},
		{"two of three: the lower", []cluster.NodeID{1, 2, 3}, map[cluster.NodeID]int64{2: 150}, 100, true},
		{"two of three, the other lower", []cluster.NodeID{1, 2, 3}, map[cluster.NodeID]int64{3: 50}, 50, true},
		{"three, this one fast", []cluster.NodeID{1, 2, 3}, map[cluster.NodeID]int64{2: 20, 3: 30}, 30, true},
		{"three, another fast", []cluster.NodeID{1, 2, 3}, map[cluster.NodeID]int64{2: 3_600_000, 3: 101}, 101, true},
		{"three of five, two of them fast", []cluster.NodeID{1, 2, 3, 4, 5}, map[cluster.NodeID]int64{2: 3_600_000, 3: 3_600_000}, 100, true},
		{"five, two fast", []cluster.NodeID{1, 2, 3, 4, 5}, map[cluster.NodeID]int64{2: 3_600_000, 3: 3_600_000, 4: 101, 5: 99}, 101, true},
		{"two of four", []cluster.NodeID{1, 2, 3, 4}, map[cluster.NodeID]int64{2: 1}, 0, false},
		{"three of four: what all three have reached", []cluster.NodeID{1, 2, 3, 4}, map[cluster.NodeID]int64{2: 1, 4: 2}, 1, true},
		{"strangers do not count", []cluster.NodeID{1, 2, 3}, map[cluster.NodeID]int64{7: 1, 8: 1}, 0, false},
		{"not a member itself", []cluster.NodeID{2, 3, 4}, map[cluster.NodeID]int64{2: 5, 3: 6}, 5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(Config{Node: 1, Wall: func() int64 { return 100 }, Mono: func() time.Duration { return 7 * time.Millisecond }})
			for node, wall := range c.heard {
				l.clocks.sample(node, exactly(wall-7))
			}
			if got, ok := l.MedianWall(c.members); got != c.want || ok != c.ok {
				t.Errorf("%d, %v; want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// exactly is the bounds of a clock that is known to be so many milliseconds ahead.
func exactly(ms int64) bounds {
	d := time.Duration(ms) * time.Millisecond
	return bounds{low: d, high: d, at: 7 * time.Millisecond}
}

// TestClockBounds checks what samples of one clock say together.
func TestClockBounds(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name            string
		before, after   bounds
		want, aSecondOn bounds
	}{
		{"narrower", bounds{10 * ms, 90 * ms, 0}, bounds{20 * ms, 80 * ms, 0}, bounds{20 * ms, 80 * ms, 0}, bounds{19500 * time.Microsecond, 80500 * time.Microsecond, time.Second}},
		{"wider", bounds{10 * ms, 90 * ms, 0}, bounds{5 * ms, 500 * ms, 0}, bounds{10 * ms, 90 * ms, 0}, bounds{9500 * time.Microsecond, 90500 * time.Microsecond, time.Second}},
		{"older, so less sure", bounds{10 * ms, 90 * ms, 0}, bounds{-ms, 500 * ms, 20 * time.Second}, bounds{0, 100 * ms, 20 * time.Second},
			bounds{-500 * time.Microsecond, 100500 * time.Microsecond, 21 * time.Second}},
		{"set back", bounds{10 * ms, 90 * ms, 0}, bounds{-90 * ms, -80 * ms, 0}, bounds{-90 * ms, -80 * ms, 0}, bounds{-90500 * time.Microsecond, -79500 * time.Microsecond, time.Second}},
		{"set forward, by a ping", bounds{10 * ms, 90 * ms, 0}, bounds{100 * ms, unbounded, 0}, bounds{100 * ms, unbounded, 0},
			bounds{99500 * time.Microsecond, unbounded + 500*time.Microsecond, time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.before.and(c.after)
			if got != c.want {
				t.Errorf("%v; want %v", got, c.want)
			}
			if got := got.aged(c.want.at + time.Second); got != c.aSecondOn {
				t.Errorf("a second later %v; want %v", got, c.aSecondOn)
			}
		})
	}
}

// TestClockAnswers lets frames lie about as long as processes are stopped: what
// they say of a clock is never wrong, and a clock that agrees stays the same to
// the millisecond.
func TestClockAnswers(t *testing.T) {
	const offset = 5_000
	mono := 100 * time.Second
	l := New(Config{Node: 1, Nonce: 9, Wall: func() int64 { return mono.Milliseconds() + offset }, Mono: func() time.Duration { return mono }})
	in, members := &inbound{from: 2}, []cluster.NodeID{1, 2, 3}
	answer := func(asked, answered time.Duration, nonce uint64) {
		t.Helper()
		b := be.AppendUint64(be.AppendUint64(nil, uint64(asked)), nonce)
		if err := in.clockTold(l, be.AppendUint64(b, uint64(answered.Milliseconds()+offset))); err != nil {
			t.Fatal(err)
		}
	}
	want := func(known bool) {
		t.Helper()
		if wall, ok := l.MedianWall(members); ok != known || known && wall != l.cfg.Wall() {
			t.Errorf("at %v: %d, %v; want %d", mono, wall, ok, l.cfg.Wall())
		}
	}
	in.heardWall(l, (60*time.Second).Milliseconds()+offset)
	want(false) // it may have been sent long ago
	answer(99*time.Second, 99*time.Second, 8)
	answer(101*time.Second, 101*time.Second, 9)
	want(false) // another start has asked
	answer(70*time.Second, 71*time.Second, 9)
	want(true) // late on the way back
	answer(70*time.Second, mono, 9)
	want(true)              // late on the way there
	mono += 5 * time.Second // this process is stopped
	in.heardWall(l, (101*time.Second).Milliseconds()+offset)
	want(true)
	mono += time.Hour // the peer is away
	want(true)
	for _, bad := range [][]byte{nil, make([]byte, 23), make([]byte, 25)} {
		if in.clockTold(l, bad) == nil || in.clockAsked(l, bad) == nil {
			t.Errorf("%d bytes are taken", len(bad))
		}
	}
}

func FuzzDecodePing(f *testing.F) {
	f.Add(ping{wall: 1 << 40, room: RoomTight}.encode(nil))
	f.Add(ping{wall: -1}.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePing(b)
		if err == nil != (len(b) == pingBytes && b[pingBytes-1] < byte(rooms)) {
			t.Errorf("%x: %v", b, err)
		}
		if err == nil && !bytes.Equal(p.encode(nil), b) {
			t.Errorf("%x is read as %+v", b, p)
		}
	})
}

func FuzzDecodeTwin(f *testing.F) {
	f.Add(Twin{Start: 1, Sits: 2}.encode(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := decodeTwin(b); err == nil && !bytes.Equal(x.encode(nil), b) {
			t.Errorf("%x becomes %+v", b, x)
		}
	})
}
