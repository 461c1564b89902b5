package pubsub

import (
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"tutti/internal/peer"
)

var (
	goldenInterest = interest{start: 0x0102030405060708, seq: 9, flags: firstPart | lastPart, events: 0x8001, entries: []entry{
		{Channel, 2, "news"}, {Pattern, 300, "n*"}, {ShardChannel, 0, ""}}}
	goldenHeard    = heard{start: 0x0102030405060708, seq: 9}
	goldenEnvelope = envelope{envelopeID: envelopeID{0x0102030405060708, 9}, kind: ShardChannel, channel: []byte("news"), payload: []byte("hello\x00")}
)

// Whoever changes the bytes of a frame gives it another kind.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   peer.Kind
		number peer.Kind
		frame  []byte
	}{
		{"interest-1", KindInterest, 96, goldenInterest.encode(nil)},
		{"heard-1", KindHeard, 97, goldenHeard.encode(nil)},
		{"ask-1", KindAsk, 98, encodeAsk(nil)},
		{"message-1", KindMessage, 99, goldenEnvelope.encode(nil)},
	} {
		if c.kind != c.number {
			t.Errorf("%s has kind %d, not %d", c.name, c.kind, c.number)
		}
		name, got := "testdata/"+c.name+".hex", hex.EncodeToString(c.frame)
		want, err := os.ReadFile(name)
		if err != nil {
			t.Errorf("%v; the bytes are now %s", err, got)
		} else if got != strings.TrimSpace(string(want)) {
			t.Errorf("%s is %s, in the file it is %s", c.name, got, want)
		}
	}
}

func TestFramesReadAsTheyWereWritten(t *testing.T) {
	if f, err := decodeInterest(goldenInterest.encode(nil)); err != nil || !reflect.DeepEqual(f, goldenInterest) {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := decodeHeard(goldenHeard.encode(nil)); err != nil || f != goldenHeard {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := decodeEnvelope(goldenEnvelope.encode(nil)); err != nil || !reflect.DeepEqual(f, goldenEnvelope) {
		t.Errorf("%+v, %v", f, err)
	}
	if err := decodeAsk(encodeAsk(nil)); err != nil {
		t.Error(err)
	}
}

// A frame of another layout, or that is cut off, is refused and never taken for less.
func TestFramesThatAreNone(t *testing.T) {
	whole := goldenInterest.encode(nil)
	for n := range whole {
		f, err := decodeInterest(whole[:n])
		if err == nil && len(f.entries) == len(goldenInterest.entries) {
			t.Errorf("an interest cut off after %d bytes: %+v", n, f)
		}
	}
	for name, f := range map[string]func() error{
		"interest of a later layout": func() error { b := goldenInterest.encode(nil); b[0]++; _, err := decodeInterest(b); return err },
		"unknown flags":              func() error { b := goldenInterest.encode(nil); b[17] = 4; _, err := decodeInterest(b); return err },
		"unknown kind of entry":      func() error { b := goldenInterest.encode(nil); b[20] = 3; _, err := decodeInterest(b); return err },
		"heard of a later layout":    func() error { b := goldenHeard.encode(nil); b[0]++; _, err := decodeHeard(b); return err },
		"long heard":                 func() error { _, err := decodeHeard(append(goldenHeard.encode(nil), 0)); return err },
		"long ask":                   func() error { return decodeAsk([]byte{layout, 0}) },
		"message by a pattern":       func() error { _, err := decodeEnvelope(envelope{kind: Pattern}.encode(nil)); return err },
		"message that is cut off":    func() error { _, err := decodeEnvelope(append(envelope{}.encode(nil)[:18], 5, 'x')); return err },
	} {
		if err := f(); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a peer sends is refused or means one thing.
func FuzzFrames(f *testing.F) {
	f.Add(goldenInterest.encode(nil))
	f.Add(goldenHeard.encode(nil))
	f.Add(encodeAsk(nil))
	f.Add(goldenEnvelope.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := decodeInterest(b); err == nil {
			if again, err := decodeInterest(x.encode(nil)); err != nil || !reflect.DeepEqual(x, again) {
				t.Errorf("%+v reads again as %+v, %v", x, again, err)
			}
		}
		if x, err := decodeHeard(b); err == nil && string(x.encode(nil)) != string(b) {
			t.Errorf("%+v is not %x", x, b)
		}
		if decodeAsk(b) == nil && string(encodeAsk(nil)) != string(b) {
			t.Errorf("%x is an ask", b)
		}
		if x, err := decodeEnvelope(b); err == nil {
			if again, err := decodeEnvelope(x.encode(nil)); err != nil || string(again.channel) != string(x.channel) || string(again.payload) != string(x.payload) {
				t.Errorf("%+v reads again as %+v, %v", x, again, err)
			}
		}
	})
}
