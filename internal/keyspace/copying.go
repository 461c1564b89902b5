package keyspace

import "bytes"

// copyPrefix puts a copy of all rows with a prefix under another one.
func (t *Tx) copyPrefix(from, to []byte) {
	rows := copying{tx: t}
	it := t.Iter(from, prefixEnd(nil, from))
	for ok := rows.fits() && it.First(); ok; ok = it.Next() {
		if row := append(bytes.Clone(to), it.Key()[len(from):]...); !rows.add(row, it.Value()) {
			break
		}
	}
	it.Close()
	rows.put()
}

// copying is rows that are read while nothing may be written, and written once that is
// over: no more of them than a command may write at all, since with more it fails.
type copying struct {
	tx   *Tx
	ops  []op
	size int
}

// fits reports whether the command has not failed yet.
func (c *copying) fits() bool { return c.tx.Written()+c.size <= WriteSetMax }

// add takes a row and a copy of its value, and reports whether more are of use.
func (c *copying) add(row, val []byte) bool {
	c.ops = append(c.ops, op{row: row, val: append([]byte{}, val...)})
	c.size += len(row) + len(val)
	return c.fits()
}

func (c *copying) put() {
	for _, o := range c.ops {
		c.tx.Put(o.row, o.val)
	}
	c.ops, c.size = nil, 0
}
