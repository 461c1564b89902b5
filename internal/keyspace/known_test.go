package keyspace

import (
	"strconv"
	"testing"
)

func knownRow(i int) []byte {
	return objectRow(nil, uint16(i%Slots), 0, []byte("key:"+strconv.Itoa(i)))
}

// TestKnownGrows meets more keys than fit: it never says anything wrong of one,
// knows most of them as long as there is room, and stays within its limit.
func TestKnownGrows(t *testing.T) {
	for _, test := range []struct{ shards, keys, atLeast int }{
		{1, 1_000, 1_000}, {1, 200_000, 170_000}, {1 << 10, 20_000, 2_000}, {1 << 20, 100, 8},
	} {
		k := NewKnown(test.shards)
		for i := range test.keys {
			if i%2 == 0 {
				k.put(knownRow(i), []byte{byte(TypeString)})
			} else {
				k.delete(knownRow(i))
			}
		}
		known := 0
		for i := range 2 * test.keys {
			want := unknown
			if i < test.keys {
				want = []keyState{plain, absent}[i%2]
			}
			switch got := k.get(knownRow(i)); got {
			case want:
				known++
			case unknown:
			default:
				t.Fatalf("%d shards: key %d is %d, want %d", test.shards, i, got, want)
			}
		}
		if known -= test.keys; known < test.atLeast {
			t.Errorf("%d shards: %d of %d keys are known", test.shards, known, test.keys)
		}
		if n := len(k.table); n > knownSets/test.shards && n > 1 {
			t.Errorf("%d shards: %d sets", test.shards, n)
		}
	}
}

// BenchmarkKnown sets keys in a table that grows with them.
func BenchmarkKnown(b *testing.B) {
	rows := make([][]byte, 1<<16)
	for i := range rows {
		rows[i] = knownRow(i)
	}
	k := NewKnown(1)
	b.ResetTimer()
	for i := range b.N {
		k.set(rows[i%len(rows)], plain)
	}
}
