package command

import (
	"slices"

	"tutti/internal/keyspace"
)

// lcsCellsMax bounds the work of LCS: Redis's table of four bytes a cell must
// not be larger than proto-max-bulk-len.
const lcsCellsMax = stringLenMax / 4

// lcsCellsPerStep is how many cells take about as long as one step, 250 ns.
const lcsCellsPerStep = 128

type lcsOptions struct {
	length, indexes, withLen bool
	lenMin                   int64
}

func lcs(c *Ctx) {
	var vals [2][]byte
	for i := range vals {
		switch o := c.Tx.Open(c.DB, c.Args[i+1]); {
		case o == nil:
		case o.Type != keyspace.TypeString:
			c.Error("ERR The specified keys must contain string values")
			return
		default:
			vals[i] = o.Bytes()
		}
	}
	opt, ok := c.lcsOptions()
	if !ok {
		return
	}
	a, b := vals[0], vals[1]
	if int64(len(a)+1)*int64(len(b)+1) > lcsCellsMax {
		c.Error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
		return
	}
	if c.Tx.Spend(len(a) * len(b) / lcsCellsPerStep); c.Tx.Err() != nil {
		return
	}
	n, steps := lcsTable(a, b, !opt.length)
	switch {
	case opt.length:
		c.Int(int64(n))
	case opt.indexes:
		c.lcsRanges(opt, n, lcsMatches(a, b, steps))
	default:
		val := make([]byte, 0, n)
		for _, m := range slices.Backward(lcsMatches(a, b, steps)) {
			val = append(val, a[m.a:m.a+m.n]...)
		}
		c.Bulk(val)
	}
}

func (c *Ctx) lcsOptions() (opt lcsOptions, ok bool) {
	for i := 3; i < len(c.Args); i++ {
		switch {
		case c.is(i, "IDX"):
			opt.indexes = true
		case c.is(i, "LEN"):
			opt.length = true
		case c.is(i, "WITHMATCHLEN"):
			opt.withLen = true
		case c.is(i, "MINMATCHLEN") && i+1 < len(c.Args):
			i++
			if opt.lenMin, ok = c.int(i); !ok {
				return opt, false
			}
		default:
			c.Error(TextSyntax)
			return opt, false
		}
	}
	if opt.length && opt.indexes {
		c.Error("ERR If you want both the length and indexes, please just use IDX.")
		return opt, false
	}
	return opt, true
}

func (c *Ctx) lcsRanges(opt lcsOptions, n int, matches []lcsMatch) {
	matches = slices.DeleteFunc(matches, func(m lcsMatch) bool { return int64(m.n) < opt.lenMin })
	c.Map(2)
	c.BulkString("matches")
	c.Array(len(matches))
	for _, m := range matches {
		if opt.withLen {
			c.Array(3)
		} else {
			c.Array(2)
		}
		for _, at := range []int{m.a, m.b} {
			c.Array(2)
			c.Int(int64(at))
			c.Int(int64(at + m.n - 1))
		}
		if opt.withLen {
			c.Int(int64(m.n))
		}
	}
	c.BulkString("len")
	c.Int(int64(n))
}

// bitGrid holds one bit for every pair of positions.
type bitGrid struct {
	width int
	bits  []uint64
}

func (g *bitGrid) set(i, j int) {
	at := i*g.width + j
	g.bits[at/64] |= 1 << (at % 64)
}

func (g *bitGrid) get(i, j int) bool {
	at := i*g.width + j
	return g.bits[at/64]>>(at%64)&1 != 0
}

// lcsTable returns the length of the longest common subsequence of a and b
// and, if traced, in which of the pairs (i, j) of positions that differ the
// way back to it goes to i-1 (set) or to j-1. Of the table of lengths it keeps
// two rows: with one bit a cell instead of four bytes, the largest comparison
// that Redis allows takes 16 MiB.
func lcsTable(a, b []byte, traced bool) (n int, steps bitGrid) {
	if traced {
		steps = bitGrid{len(b), make([]uint64, (len(a)*len(b)+63)/64)}
	}
	above, row := make([]uint32, len(b)+1), make([]uint32, len(b)+1)
	for i, x := range a {
		for j, y := range b {
			switch {
			case x == y:
				row[j+1] = above[j] + 1
			case above[j+1] > row[j]:
				row[j+1] = above[j+1]
				if traced {
					steps.set(i, j)
				}
			default:
				row[j+1] = row[j]
			}
		}
		above, row = row, above
	}
	return int(above[len(b)]), steps
}

// lcsMatch is a run of n bytes that both strings have, at a and at b.
type lcsMatch struct{ a, b, n int }

// lcsMatches walks the way back and returns the runs, the last one first.
func lcsMatches(a, b []byte, steps bitGrid) (matches []lcsMatch) {
	i, j := len(a)-1, len(b)-1
	inRun := false
	for i >= 0 && j >= 0 {
		switch {
		case a[i] == b[j] && inRun:
			last := &matches[len(matches)-1]
			last.a, last.b, last.n = i, j, last.n+1
			i, j = i-1, j-1
		case a[i] == b[j]:
			matches, inRun = append(matches, lcsMatch{i, j, 1}), true
			i, j = i-1, j-1
		case steps.get(i, j):
			i, inRun = i-1, false
		default:
			j, inRun = j-1, false
		}
	}
	return matches
}
