package store

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/keyspace"
)

// walk is an iterator that notices when it had to step over much that was deleted,
// and then has the reclaimer clear that away: who looks for the first element of a
// collection, or goes through all keys, after nearly all of them were removed, would
// else step over the traces of those again and again. Only who reads there knows: a
// queue leaves as many, and nobody walks over them.
type walk struct {
	reading
	reclaimer *reclaimer
	// bounds of the iterator, the lower one first; split is where the other begins.
	bounds []byte
	split  int
	// from and to are the lowest and the highest row from which it was told to walk on.
	from, to []byte
	seeks    int
	moves    int
	back     bool // direction of the last move
}

const (
	// hiddenMin is how many deleted rows are many: about half a millisecond.
	hiddenMin = 2048
	// hiddenShare is how many times as many they are as the rows that were found: else
	// most of the work is not in vain.
	hiddenShare = 8
)

func iter(cfg *Config, r pebble.Reader, rec *reclaimer, lower, upper []byte) (keyspace.Iterator, error) {
	it, err := read(cfg, r, lower, upper)
	if err != nil {
		return nil, err
	}
	return &walk{reading: it, reclaimer: rec, bounds: append(bytes.Clone(lower), upper...), split: len(lower)}, nil
}

func (w *walk) lower() []byte { return w.bounds[:w.split] }
func (w *walk) upper() []byte { return w.bounds[w.split:] }

// begins notes where a walk begins.
func (w *walk) begins(row []byte, back bool) {
	w.back = back
	if w.seeks++; w.seeks == 1 || bytes.Compare(row, w.from) < 0 {
		w.from = append(w.from[:0], row...)
	}
	if w.seeks == 1 || bytes.Compare(row, w.to) > 0 {
		w.to = append(w.to[:0], row...)
	}
}

func (w *walk) First() bool {
	w.begins(w.lower(), false)
	return w.Iterator.First()
}

func (w *walk) Last() bool {
	w.begins(w.upper(), true)
	return w.Iterator.Last()
}

func (w *walk) SeekGE(row []byte) bool {
	w.begins(row, false)
	return w.Iterator.SeekGE(row)
}

func (w *walk) SeekLT(row []byte) bool {
	w.begins(row, true)
	return w.Iterator.SeekLT(row)
}

func (w *walk) Next() bool {
	w.moves, w.back = w.moves+1, false
	return w.Iterator.Next()
}

func (w *walk) Prev() bool {
	w.moves, w.back = w.moves+1, true
	return w.Iterator.Prev()
}

func (w *walk) Close() error {
	if hidden := w.hidden(); hidden >= hiddenMin && hidden >= hiddenShare*(w.moves+w.seeks) {
		w.ends()
		w.reclaimer.tell(span{w.from, w.to})
	}
	return w.reading.Close()
}

// hidden returns how many rows were stepped over.
func (w *walk) hidden() int {
	s := w.Stats()
	return s.ForwardStepCount[pebble.InternalIterCall] + s.ReverseStepCount[pebble.InternalIterCall] - w.moves
}

// ends adds where the last walk has ended to the span that was walked.
func (w *walk) ends() {
	at := w.upper()
	switch {
	case w.Valid():
		at = w.Key()
	case w.back:
		at = w.lower()
	}
	if bytes.Compare(at, w.from) < 0 {
		w.from = append(w.from[:0], at...)
	}
	if bytes.Compare(at, w.to) >= 0 {
		w.to = append(append(w.to[:0], at...), 0)
	}
}
