package command

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"tutti/internal/keyspace"
)

func randomBytes(r *rand.Rand, lenMax int, alphabet string) []byte {
	b := make([]byte, r.IntN(lenMax+1))
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return b
}

func TestBitsAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		val := randomBytes(r, 40, "\x00\x00\x00\xff\xff\xff\x01\x80\x5a")
		n := int64(len(val)) * 8
		from, to := r.Int64N(n+1), r.Int64N(n+1)
		var count int64
		first := [2]int64{-1, -1}
		for i := from; i < to; i++ {
			bit := bitAt(val, i)
			count += bit
			if first[bit] < 0 {
				first[bit] = i
			}
		}
		if got := countBits(val, from, to); got != count {
			t.Fatalf("countBits(%x, %d, %d) = %d, want %d", val, from, to, got, count)
		}
		for bit, want := range first {
			if got := findBit(val, from, to, int64(bit)); got != want {
				t.Fatalf("findBit(%x, %d, %d, %d) = %d, want %d", val, from, to, bit, got, want)
			}
		}
	}
}

// TestBitIntAgainstBig compares the sums of BITFIELD with unbounded ones.
func TestBitIntAgainstBig(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	val := make([]byte, 32)
	for range 50_000 {
		typ := bitInt{width: 1 + r.Int64N(63), signed: r.IntN(2) == 0}
		if typ.signed && r.IntN(8) == 0 {
			typ.width = 64
		}
		n := typ.wrap(int64(r.Uint64()))
		by := int64(r.Uint64()) >> r.IntN(64)
		sum := new(big.Int).Add(big.NewInt(n), big.NewInt(by))
		over, under := sum.Cmp(big.NewInt(typ.max())) > 0, sum.Cmp(big.NewInt(typ.min())) < 0

		if got, _ := typ.add(n, by, overflowWrap); got != typ.wrap(n+by) || got < typ.min() || got > typ.max() {
			t.Fatalf("%+v: %d + %d wraps to %d", typ, n, by, got)
		}
		sat, _ := typ.add(n, by, overflowSat)
		want := typ.wrap(n + by)
		if over {
			want = typ.max()
		} else if under {
			want = typ.min()
		}
		if sat != want {
			t.Fatalf("%+v: %d + %d saturates to %d, want %d", typ, n, by, sat, want)
		}
		if _, ok := typ.add(n, by, overflowFail); ok != (!over && !under) {
			t.Fatalf("%+v: %d + %d fails: %v", typ, n, by, !ok)
		}
		offset := r.Int64N(int64(len(val))*8 - typ.width)
		typ.put(val, offset, n)
		if got := typ.get(val, offset); got != n {
			t.Fatalf("%+v: put %d at %d, got %d", typ, n, offset, got)
		}
	}
}

func TestLCSAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var naive func(a, b []byte) int
	naive = func(a, b []byte) int {
		switch {
		case len(a) == 0 || len(b) == 0:
			return 0
		case a[0] == b[0]:
			return 1 + naive(a[1:], b[1:])
		}
		return max(naive(a[1:], b), naive(a, b[1:]))
	}
	for range 2000 {
		a, b := randomBytes(r, 9, "abc"), randomBytes(r, 9, "abc")
		n, steps := lcsTable(a, b, true)
		if want := naive(a, b); n != want {
			t.Fatalf("lcs(%s, %s) has %d bytes, want %d", a, b, n, want)
		}
		i, j, sum := len(a), len(b), 0
		for _, m := range lcsMatches(a, b, steps) {
			if m.a+m.n > i || m.b+m.n > j || !bytes.Equal(a[m.a:m.a+m.n], b[m.b:m.b+m.n]) {
				t.Fatalf("lcs(%s, %s): bad match %+v", a, b, m)
			}
			i, j, sum = m.a, m.b, sum+m.n
		}
		if sum != n {
			t.Fatalf("lcs(%s, %s): matches of %d bytes in all, want %d", a, b, sum, n)
		}
	}
}

// TestWriteSetLimit grows a string to the last byte that a write set takes.
func TestWriteSetLimit(t *testing.T) {
	b := newBench(t)
	room := keyspace.WriteSetMax - len("k") - 12 - 9 // the row key and the head
	b.do("SETRANGE k 0 x")
	val := bytes.Repeat([]byte{'x'}, room-1)
	for _, c := range []struct{ line, want string }{
		{"APPEND k " + string(val), "(integer) 16777194"},
		{"APPEND k x", "(error) " + errWriteSet + severalKeys},
		{"SETRANGE k 16777194 x", "(error) " + errWriteSet + severalKeys},
		{"SETBIT k 134217560 1", "(error) " + errWriteSet + severalKeys},
		{"SETRANGE k 16777193 y", "(integer) 16777194"},
		{"STRLEN k", "(integer) 16777194"},
		{"GETRANGE k -2 -1", `"xy"`},
	} {
		if got := b.do(c.line); got != c.want {
			t.Errorf("%.20s: %s, want %s", c.line, got, c.want)
		}
	}
}

// What is refused for its size says what to do instead, and that can be done.
func TestTooLargeSaysWhatToDo(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		val := strings.Repeat("x", 1<<20)
		b.do(fmt.Sprintf("HSET {a}hash f%d %s", i, val))
		b.do(fmt.Sprintf("SADD {a}set %d%s", i, val))
		b.do(fmt.Sprintf("ZADD {a}zset 1 %d%s", i, val))
		b.do(fmt.Sprintf("RPUSH list %d%s", i, val))
		b.do(fmt.Sprintf("LPUSH list %d%s", i, val))
	}
	refused := "(error) " + errWriteSet
	for _, c := range []struct{ line, want string }{
		{"SETBIT bits 4294967295 1", refused + severalKeys},
		{"COPY {a}hash {a}other", refused + inParts},
		{"SUNIONSTORE {a}other {a}set", refused + storeParts},
		{"SINTERSTORE {a}other {a}set", refused + storeParts},
		{"SDIFFSTORE {a}other {a}set", refused + storeParts},
		{"ZUNIONSTORE {a}other 1 {a}zset", refused + storeParts},
		{"ZINTERSTORE {a}other 1 {a}zset", refused + storeParts},
		{"ZDIFFSTORE {a}other 1 {a}zset", refused + storeParts},
		{"ZRANGESTORE {a}other {a}zset 0 -1", refused + storeParts},
		{"SORT {a}set ALPHA STORE {a}other", refused + sortParts},
		{"GEOSEARCHSTORE {a}other {a}zset FROMLONLAT -179 -85 BYRADIUS 20000 km", refused + geoParts},
		{"GEORADIUS {a}zset -179 -85 20000 km STORE {a}other", refused + geoParts},
		{"GEORADIUSBYMEMBER {a}zset 0" + strings.Repeat("x", 1<<20) + " 20000 km STORE {a}other", refused + geoParts},
		{"RESTORE {a}other 0 " + b.do("DUMP {a}hash"), refused + restoreIn},
		{"MOVE {a}zset 1", "(integer) 1"},
		{"RENAME {a}hash {b}hash", refused + oneSlot},
		{"RENAMENX {a}hash {b}hash", refused + oneSlot},
		{"RENAME {a}hash {a}other", "OK"},
		{"LINSERT list BEFORE 0" + strings.Repeat("x", 1<<20) + " y", "(integer) 41"}, // in the middle of 40 MiB
		{"LREM list 1 1" + strings.Repeat("x", 1<<20), "(integer) 1"},
	} {
		if got := b.do(c.line); got != c.want {
			t.Errorf("%.40s: %.300s, want %s", c.line, got, c.want)
		}
	}
}
