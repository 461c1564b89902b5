package store

import (
	"bytes"
	"fmt"

	"tutti/internal/keyspace"
	"tutti/internal/rowcache"
)

// Census goes through the keys of a shard, so that all others are known to be
// absent without a look at the store: where tables have not been merged yet, what
// is absent costs more than what is there. It is used by one goroutine at a time.
type Census struct {
	c    *rowcache.Census
	rows *rowcache.Rows
	from []byte // the row to go on with; nil: the first
}

// Census begins a census, unless what is known is good enough. It is for the loop
// of the shard, with the newest view, while no batch is being committed: what
// entries have written so far must be seen by those who go through the rows.
func (v *View) Census() *Census {
	c := v.hot.Census(v.keys)
	if c == nil {
		return nil
	}
	// The pieces go through what is not late; what becomes so is told by the entries.
	found := func(row []byte) {
		if keyspace.IsObject(row) {
			c.Found(row)
		}
	}
	_ = v.top.each(func(late *version) error {
		found(late.row)
		return nil
	})
	for _, r := range v.top.runs {
		for i := range r.refs {
			found(r.key(i))
		}
	}
	return &Census{c: c, rows: v.hot}
}

// keys returns about how many keys there are, of all databases.
func (v *View) keys() (n uint64) {
	lower := localRow(v.Shard, localCount)
	if v.rows(lower, localRow(v.Shard, localCount+1), func(_, val []byte) error {
		if len(val) == 8 {
			n += be.Uint64(val)
		}
		return nil
	}) != nil {
		return 0 // whoever goes through the rows meets the error
	}
	return n
}

// censusRow is what a row counts beside its bytes: it is read with those around it.
const censusRow = 64

// Piece goes through the next size bytes of rows, values included, which are read
// with the keys, over the newest view or one that has been since the last piece; end
// says that the census is over. pause is told of bytes and may wait; if it says false,
// or with an error, nothing comes of the census.
func (c *Census) Piece(v *View, size int, pause func(bytes int) bool) (end bool, err error) {
	if v.hot != c.rows { // the state was replaced
		c.c.Cancel()
		return true, nil
	}
	end, err = c.walk(v, size, pause)
	switch {
	case err != nil:
		c.c.Cancel()
		return true, fmt.Errorf("census of shard %d: %w", v.Shard, damage(err))
	case end:
		c.c.Done(v.Index)
	}
	return end, nil
}

func (c *Census) walk(v *View, size int, pause func(bytes int) bool) (end bool, err error) {
	lower, upper := slotBounds(v.Owned.Slots)
	if bytes.Compare(c.from, lower) > 0 {
		lower = c.from
	}
	it, err := read(&v.reclaimer.state.cfg, v.top.base, lower, upper)
	if err != nil {
		return false, err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		row := it.Key()
		if !keyspace.IsObject(row) {
			if !pause(censusRow) {
				return false, errEnough
			}
			ok = it.SeekGE(keyspace.NextObject(row))
			continue
		}
		if size <= 0 {
			c.from = bytes.Clone(row)
			return false, nil
		}
		c.c.Found(row)
		v := it.LazyValue() // not fetched where it lies elsewhere
		n := len(row) + v.Len() + censusRow
		size -= n
		if !pause(n) {
			return false, errEnough
		}
		ok = it.Next()
	}
	return true, it.Error()
}

// Cancel ends a census before its end.
func (c *Census) Cancel() { c.c.Cancel() }
