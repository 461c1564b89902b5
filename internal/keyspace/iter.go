package keyspace

import "bytes"

type emptyIter struct{}

func (*emptyIter) First() bool        { return false }
func (*emptyIter) Last() bool         { return false }
func (*emptyIter) Next() bool         { return false }
func (*emptyIter) Prev() bool         { return false }
func (*emptyIter) SeekGE([]byte) bool { return false }
func (*emptyIter) SeekLT([]byte) bool { return false }
func (*emptyIter) Key() []byte        { return nil }
func (*emptyIter) Value() []byte      { return nil }
func (*emptyIter) Close() error       { return nil }

// mergeIter lays a transaction's own writes over the rows of its base.
type mergeIter struct {
	t    *Tx
	base Iterator
	own  ownRows

	back   bool // direction of the last move
	baseOK bool
	onOwn  bool
	valid  bool
}

func (m *mergeIter) First() bool {
	m.own.first()
	m.back, m.baseOK = false, m.base.First()
	return m.settle()
}

func (m *mergeIter) Last() bool {
	m.own.last()
	m.back, m.baseOK = true, m.base.Last()
	return m.settle()
}

func (m *mergeIter) SeekGE(row []byte) bool {
	m.own.seek(row, false)
	m.back, m.baseOK = false, m.base.SeekGE(row)
	return m.settle()
}

func (m *mergeIter) SeekLT(row []byte) bool {
	m.own.seek(row, true)
	m.back, m.baseOK = true, m.base.SeekLT(row)
	return m.settle()
}

func (m *mergeIter) Next() bool {
	if !m.valid {
		return false
	}
	if m.back {
		at := bytes.Clone(m.Key())
		if m.SeekGE(at) && bytes.Equal(m.Key(), at) {
			return m.Next()
		}
		return m.valid
	}
	m.step()
	return m.settle()
}

func (m *mergeIter) Prev() bool {
	if !m.valid {
		return false
	}
	if !m.back {
		return m.SeekLT(bytes.Clone(m.Key()))
	}
	m.step()
	return m.settle()
}

// step moves past the current row, on both sides where both stand on it.
func (m *mergeIter) step() {
	if m.onOwn {
		if m.baseOK && bytes.Equal(m.base.Key(), m.own.row()) {
			m.stepBase()
		}
		m.own.step(m.back)
		return
	}
	m.stepBase()
}

func (m *mergeIter) stepBase() {
	if m.back {
		m.baseOK = m.base.Prev()
	} else {
		m.baseOK = m.base.Next()
	}
}

// settle chooses the side whose row comes first and skips deleted rows.
func (m *mergeIter) settle() bool {
	for {
		ownOK := m.own.ok()
		if !ownOK && !m.baseOK {
			m.valid = false
			return false
		}
		m.valid, m.onOwn = true, ownOK
		if ownOK && m.baseOK {
			c := bytes.Compare(m.own.row(), m.base.Key())
			m.onOwn = c == 0 || (c < 0) != m.back
		}
		if !m.onOwn || m.own.op().val != nil {
			m.t.Spend(1)
			m.valid = m.t.err == nil
			return m.valid
		}
		m.step()
	}
}

func (m *mergeIter) Key() []byte {
	if !m.valid {
		return nil
	}
	if m.onOwn {
		return m.own.row()
	}
	return m.base.Key()
}

func (m *mergeIter) Value() []byte {
	if m.onOwn {
		return m.own.op().val
	}
	return m.base.Value()
}

func (m *mergeIter) Close() error { return m.t.closeIter(m.base) }

// baseIter walks the rows of the base where the transaction has none.
type baseIter struct {
	Iterator
	t *Tx
}

func (b *baseIter) Next() bool {
	b.t.Spend(1)
	return b.t.err == nil && b.Iterator.Next()
}

func (b *baseIter) Prev() bool {
	b.t.Spend(1)
	return b.t.err == nil && b.Iterator.Prev()
}

func (b *baseIter) Close() error { return b.t.closeIter(b.Iterator) }

// closeIter notes an error that ended an iteration early: to its user that
// looks like the end of the rows.
func (t *Tx) closeIter(it Iterator) error {
	err := it.Close()
	if err != nil {
		t.fail(err)
	}
	return err
}
