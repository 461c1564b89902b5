package keyspace

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSlot(t *testing.T) {
	for _, c := range []struct {
		key  string
		want uint16
	}{
		{"", 0},
		{"foo", 12182},
		{"123456789", 0x31c3},
		{"{user1000}.following", Slot([]byte("user1000"))},
		{"{user1000}.followers", Slot([]byte("user1000"))},
		{"foo{bar}{zap}", Slot([]byte("bar"))},
		{"foo{{bar}}zap", Slot([]byte("{bar"))},
		{"foo}{bar}", Slot([]byte("bar"))},
		{"{}foo", 9500},
		{"foo{}{bar}", 8363},
	} {
		if got := Slot([]byte(c.key)); got != c.want {
			t.Errorf("slot of %q is %d, want %d", c.key, got, c.want)
		}
	}
}

// TestCRC compares the checksum with what its polynomial says bit by bit, for every length
// that is left behind the steps.
func TestCRC(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 5 * crcStep {
		b := make([]byte, n)
		for range 50 {
			want := uint16(0)
			for i := range b {
				b[i] = byte(rng.Uint32())
				want ^= uint16(b[i]) << 8
				for range 8 {
					carry := want&0x8000 != 0
					if want <<= 1; carry {
						want ^= 0x1021
					}
				}
			}
			if got := crc16(b); got != want {
				t.Fatalf("checksum of %x is %#x, not %#x", b, got, want)
			}
		}
	}
}

func BenchmarkSlot(b *testing.B) {
	key := []byte("key:000000123456")
	for b.Loop() {
		Slot(key)
	}
}

// TestOrderedFloat checks that the order of the integers is that of the scores.
func TestOrderedFloat(t *testing.T) {
	fs := []float64{math.Inf(-1), -math.MaxFloat64, -2, -1, -0.5, -math.SmallestNonzeroFloat64, 0,
		math.SmallestNonzeroFloat64, 0.5, 1, 1.0000000000000002, 2, math.MaxFloat64, math.Inf(1)}
	var us []uint64
	for _, f := range fs {
		us = append(us, orderedFloat(f))
		if back := floatOfOrdered(orderedFloat(f)); back != f {
			t.Errorf("%v becomes %v", f, back)
		}
	}
	if !slices.IsSorted(us) || len(slices.Compact(us)) != len(fs) {
		t.Errorf("order is lost: %x", us)
	}
	if negative := math.Copysign(0, -1); orderedFloat(negative) != orderedFloat(0) {
		t.Error("-0 and 0 differ")
	}
}

func TestPrefixEnd(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{{"a", "b"}, {"a\xff", "b"}, {"\x01\xff\xff", "\x02"}, {"\x01\x00", "\x01\x01"}} {
		if got := prefixEnd([]byte("x"), []byte(c.prefix)); string(got) != "x"+c.want {
			t.Errorf("%q ends at %q, want %q", c.prefix, got[1:], c.want)
		}
	}
}

func TestDatabases(t *testing.T) {
	d := NewDatabases()
	e := d.Flush(3).Swap(3, 5).Flush(3).Flush(0)
	if d.Physical(3) != 3 || len(d.Trash()) != 0 {
		t.Error("a change reached the older value")
	}
	if e.Physical(5) != 16 || e.Physical(3) != 17 || e.Physical(0) != 18 || !slices.Equal(e.Trash(), []uint32{3, 5, 0}) {
		t.Errorf("databases are %v", e)
	}
	got, err := DecodeDatabases(e.Encode())
	if err != nil || string(got.Encode()) != string(e.Encode()) {
		t.Errorf("decoded %v, %v", got, err)
	}
	if p := got.Purged(5); !slices.Equal(p.Trash(), []uint32{3, 0}) || !slices.Equal(got.Trash(), []uint32{3, 5, 0}) {
		t.Errorf("purged: %v of %v", p.Trash(), got.Trash())
	}
	enc := e.Encode()
	for _, bad := range [][]byte{nil, enc[:10], enc[:len(enc)-1], append([]byte{9}, enc[1:]...)} {
		if _, err := DecodeDatabases(bad); err == nil {
			t.Errorf("%x was decoded", bad)
		}
	}
}
