package tracking

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"tutti/internal/peer"
)

var (
	goldenFollow = follow{shard: 0x0102030405060708, feed: 9}
	goldenFed    = fed{follow: goldenFollow, line: 0x2122232425262728, seq: 3, flags: flagFresh | flagAll, index: 0x3132333435363738,
		keys: [][]byte{[]byte("key"), []byte(""), []byte(strings.Repeat("k", 200))}}
)

// Whoever changes the bytes of a frame gives it another kind.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name         string
		kind, number peer.Kind
		frame        []byte
	}{
		{"follow-1", KindFollow, 100, goldenFollow.encode(nil)},
		{"fed-1", KindFed, 101, goldenFed.encode(nil)},
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
	if f, err := decodeFollow(goldenFollow.encode(nil)); err != nil || f != goldenFollow {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := decodeFed(goldenFed.encode(nil)); err != nil || !reflect.DeepEqual(f, goldenFed) {
		t.Errorf("%+v, %v", f, err)
	}
}

// What stands where nothing is wanted any more is not looked at.
func TestFramesOfEarlierNodes(t *testing.T) {
	b := goldenFed.encode(nil)
	copy(b[fedMin-fedUnused:fedMin], bytes.Repeat([]byte{7}, fedUnused))
	if f, err := decodeFed(b); err != nil || !reflect.DeepEqual(f, goldenFed) {
		t.Errorf("%+v, %v", f, err)
	}
}

// A frame of another layout, or that is cut off, is refused and never taken for less.
func TestFramesThatAreNone(t *testing.T) {
	whole := goldenFed.encode(nil)
	for n := range whole {
		if f, err := decodeFed(whole[:n]); err == nil && len(f.keys) == len(goldenFed.keys) {
			t.Errorf("a fed cut off after %d bytes: %+v", n, f)
		}
	}
	for n := range followBytes {
		if _, err := decodeFollow(goldenFollow.encode(nil)[:n]); !errors.Is(err, errFrame) {
			t.Errorf("a follow cut off after %d bytes: %v", n, err)
		}
	}
	for _, at := range []int{0, 33} { // the layout, the flags
		bad := bytes.Clone(whole)
		bad[at] = 0x80
		if _, err := decodeFed(bad); !errors.Is(err, errFrame) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(goldenFollow.encode(nil))
	f.Add(goldenFed.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := decodeFollow(b); err == nil {
			if !bytes.Equal(x.encode(nil), b) {
				t.Errorf("%x is read as %+v", b, x)
			}
		}
		if x, err := decodeFed(b); err == nil {
			if y, err := decodeFed(x.encode(nil)); err != nil || !reflect.DeepEqual(x, y) {
				t.Errorf("%+v is read as %+v, %v", x, y, err)
			}
		}
	})
}
