package store

import (
	"bytes"
	"slices"
)

// An entry that writes very much, as a whole MSET of 100,000 keys does in the end, becomes a
// run at once, and so does what follows it in the same batch. To put its rows into a layer
// one by one, and then to sort them into a run, took each node 100 ms, and for so long its
// loop served nobody; its rows are in order already, but for those of the shard.

// wideLayers is how many layers such an entry would fill.
const wideLayers = 4

// wide is rows that entries of a batch have written, or pieces have brought, the newest last.
type wide struct {
	runs  runs      // before all others, the newest first
	local []wideRow // of no key
	rows  []wideRow // all others
}

// wideRow is a row and its value. They lie in the entry.
type wideRow struct {
	row, val []byte
	put      bool // else it is removed
}

func (w *wide) write(row, val []byte, put bool) {
	to := &w.rows
	if ofNoKey(row) {
		to = &w.local
	}
	*to = append(*to, wideRow{row, val, put})
}

// seal makes a run of the newest of each row that is in none yet.
func (w *wide) seal(level int) {
	local, rows := inOrder(w.local), inOrder(w.rows)
	if len(local)+len(rows) == 0 {
		return
	}
	size := 0
	for _, x := range [...][]wideRow{local, rows} {
		for i := range x {
			size += runBytes(x[i].row, x[i].val)
		}
	}
	r := newRun(level, len(local)+len(rows), size)
	for _, x := range [...][]wideRow{local, rows} {
		for _, x := range x {
			kind := rowKind(0)
			if x.put {
				kind = rowPut
				if _, _, replies := isReplies(x.row); replies { // each has the index of its entry
					kind |= rowFresh
				}
			}
			r.add(x.row, x.val, kind, rowHash(x.row))
		}
	}
	w.runs = append(runs{r.seal()}, w.runs...)
	clear(w.local)
	clear(w.rows)
	w.local, w.rows = w.local[:0], w.rows[:0]
}

// lay puts runs behind all that was written.
func (w *wide) lay(list runs) {
	w.seal(runLevels)
	w.runs = slices.Concat(list, w.runs)
}

// inOrder returns the newest of each row, in their order.
func inOrder(list []wideRow) []wideRow {
	ascend := true
	for i := 1; ascend && i < len(list); i++ {
		ascend = bytes.Compare(list[i-1].row, list[i].row) < 0
	}
	if ascend {
		return list
	}
	slices.SortStableFunc(list, func(a, b wideRow) int { return bytes.Compare(a.row, b.row) })
	n := 0
	for i := range list {
		if i+1 == len(list) || !bytes.Equal(list[i].row, list[i+1].row) {
			list[n] = list[i]
			n++
		}
	}
	return list[:n]
}

// lay puts runs on top of all others, below the next layer.
func (x *lateShard) lay(s *State, list runs) {
	x.push(s) // what was late before them
	x.runs = slices.Concat(list, x.runs)
	s.late.held.Add(int64(list.bytes()))
	x.begin(s)
	x.limit(s)
}
