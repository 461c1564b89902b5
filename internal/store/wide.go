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

// wide is rows that entries of a batch have written, the newest last.
type wide struct {
	local []wideRow // of the shard
	rows  []wideRow // all others
}

// wideRow is a row and its value. They lie in the entry.
type wideRow struct {
	row, val []byte
	put      bool // else it is removed
}

func (w *wide) write(row, val []byte, put bool) {
	to := &w.rows
	if row[0] == localPrefix {
		to = &w.local
	}
	*to = append(*to, wideRow{row, val, put})
}

// run makes a run of the newest of each row.
func (w *wide) run() *run {
	local, rows := inOrder(w.local), inOrder(w.rows)
	size := 0
	for _, x := range [...][]wideRow{local, rows} {
		for i := range x {
			size += runBytes(x[i].row, x[i].val)
		}
	}
	r := newRun(runLevels, len(local)+len(rows), size)
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
	return r.seal()
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

// lay puts a run on top of all others, below the next layer.
func (x *lateShard) lay(s *State, r *run) {
	x.push(s) // what was late before it
	x.runs = append(runs{r}, x.runs...)
	s.late.held.Add(int64(r.bytes))
	x.begin(s)
	x.limit(s)
}
