package store

import (
	"errors"
	"io"

	"tutti/internal/keyspace"
)

// A large value is not copied for who only passes it on: copying one of 64 KiB, in memory
// that is cleared for it and collected afterwards, was a quarter of what a GET of it took.

// holdFrom is how large a value is that is held. To hold one takes about as long as to copy
// so much; and it is more than what is kept in memory as a row.
const holdFrom = 8 << 10

// taking says how a value is handed out.
type taking struct {
	fits func(n int) bool // whether it is at all; nil: any is
	hold *View            // has a large one where it is; nil: it is copied
}

// take hands out a value, which closer, unless it is nil, keeps where it is.
func take(dst, val []byte, ok bool, closer io.Closer, how taking) ([]byte, keyspace.Held, bool, error) {
	if ok && how.fits != nil && !how.fits(len(val)) {
		return dst, nil, false, errors.Join(keyspace.ErrNoRoom, closed(closer))
	}
	if how.hold != nil && len(val) >= holdFrom {
		how.hold.held.Add(1)
		return val, inPlace{closer, how.hold}, true, nil
	}
	if ok && dst == nil {
		dst = make([]byte, 0, len(val))
	}
	return append(dst, val...), nil, ok, closed(closer)
}

func closed(c io.Closer) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// inPlace is a value in a block of Pebble, or in a layer, which the view keeps.
type inPlace struct {
	closer io.Closer // nil: in a layer
	view   *View
}

// LetGo implements keyspace.Held.
func (p inPlace) LetGo() {
	p.view.held.Add(-1)
	noticed(&p.view.reclaimer.state.cfg, closed(p.closer))
}
