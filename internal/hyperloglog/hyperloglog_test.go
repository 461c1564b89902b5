package hyperloglog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strconv"
	"testing"
)

// The bytes are those of redis-server 7.0.15 after PFADD of the numbers from 1 on, and
// the counts those of its PFCOUNT.
func TestBytesAreThoseOfRedis(t *testing.T) {
	for _, c := range []struct {
		n, size int
		sum     string
		count   int64
	}{
		{100, 287, "ec53466dfe8ebf393f88d3a164500cf333d4a10e310759f1a502c34de67b521f", 100},
		{1000, 1922, "998c3d36535da261f151fe9394d3518473438c690d0065f4a44c822e830f0b5b", 1001},
		{20000, denseLen, "7962b896c1c4bd960464bcaa92bcee05c2e6f15241891dea6f95b989e65113cb", 19891},
	} {
		sketch := New()
		for i := 1; i <= c.n; i++ {
			var err error
			if sketch, _, err = Add(sketch, strconv.AppendInt(nil, int64(i), 10)); err != nil {
				t.Fatal(err)
			}
		}
		Forget(sketch)
		if sum := sha256.Sum256(sketch); len(sketch) != c.size || hex.EncodeToString(sum[:]) != c.sum {
			t.Errorf("%d elements: %d bytes of hash %x, want %d of %s", c.n, len(sketch), sum, c.size, c.sum)
		}
		if n, err := Count(sketch); n != c.count || err != nil {
			t.Errorf("%d elements: counted %d, %v, want %d", c.n, n, err, c.count)
		}
	}
}

// A sparse sketch has the registers and the count of the dense one of the same
// elements, and of the merged ones.
func TestSparseIsAsDense(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		sparse := New()
		dense, err := ToDense(New())
		if err != nil {
			t.Fatal(err)
		}
		var naive Registers
		for range r.IntN(2000) {
			index, rank := r.IntN(registerLen), byte(1+r.IntN(6))
			var one, other bool
			if sparse, one, err = set(sparse, index, rank); err != nil {
				t.Fatal(err)
			}
			if dense, other, _ = set(dense, index, rank); one != other || one != (rank > naive[index]) {
				t.Fatalf("register %d to %d: changed %v and %v, was %d", index, rank, one, other, naive[index])
			}
			naive[index] = max(naive[index], rank)
		}
		for _, sketch := range [][]byte{sparse, dense} {
			var merged Registers
			if err := merged.Merge(sketch); err != nil || merged != naive {
				t.Fatalf("registers differ: %v", err)
			}
			Forget(sketch)
			if n, err := Count(sketch); err != nil || n != naive.Count() {
				t.Fatalf("counted %d, %v, want %d", n, err, naive.Count())
			}
			stored, err := naive.Store(New())
			if err != nil || merged.Merge(stored) != nil || merged != naive {
				t.Fatalf("stored differently: %v", err)
			}
		}
	}
}

// FuzzSketch reads and changes any bytes: nothing is read beyond them, and what is
// refused once is refused by all.
func FuzzSketch(f *testing.F) {
	sketch := New()
	for i := range byte(40) {
		sketch, _, _ = Add(sketch, []byte{i})
	}
	dense, _ := ToDense(sketch)
	f.Add(sketch, "element")
	f.Add(New(), "")
	f.Add(dense, "x")
	f.Add(append(bytes.Clone(sketch), "hello"...), "x")
	f.Add([]byte("HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f"), "x")
	f.Fuzz(func(t *testing.T, sketch []byte, element string) {
		if err := Check(sketch); err != nil {
			if !errors.Is(err, ErrNoSketch) {
				t.Fatal(err)
			}
			return
		}
		Forget(sketch)
		_, counted := Count(sketch)
		var r Registers
		merged := r.Merge(sketch)
		_, densed := ToDense(sketch)
		if !errors.Is(counted, merged) || !errors.Is(densed, merged) {
			t.Fatalf("count: %v, merge: %v, to dense: %v", counted, merged, densed)
		}
		Runs(sketch)
		added, _, err := Add(bytes.Clone(sketch), []byte(element))
		if merged != nil {
			return
		}
		if err != nil || Check(added) != nil {
			t.Fatalf("add to a good one: %v", err)
		}
		var after Registers
		if err := after.Merge(added); err != nil {
			t.Fatal(err)
		}
		index, rank := place([]byte(element))
		r[index] = max(r[index], rank)
		if after != r {
			t.Fatal("adding an element changes more than its register, or less")
		}
	})
}
