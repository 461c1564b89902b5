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

// Overlay is rows that are written over those of an Iterator, and where a walk over them
// is. Val is nil for a row that is removed. Step goes on in the direction of the last
// First, Last or Seek.
type Overlay interface {
	First()
	Last()
	// Seek goes to the first row that is not before row, or, backwards, to the last one
	// that is before it.
	Seek(row []byte, back bool)
	Step(back bool)
	OK() bool
	Row() []byte
	Val() []byte
}

// Merge returns an iterator over the rows of base with own laid over them. It closes base.
func Merge(base Iterator, own Overlay) Iterator { return &mergeIter{base: base, own: own} }

// mergeIter lays writes over the rows of a base.
type mergeIter struct {
	t    *Tx // whose writes they are, who pays for the steps; nil: nobody does
	base Iterator
	own  Overlay

	back   bool // direction of the last move
	baseOK bool
	onOwn  bool
	valid  bool
}

func (m *mergeIter) First() bool {
	m.own.First()
	m.back, m.baseOK = false, m.base.First()
	return m.settle()
}

func (m *mergeIter) Last() bool {
	m.own.Last()
	m.back, m.baseOK = true, m.base.Last()
	return m.settle()
}

func (m *mergeIter) SeekGE(row []byte) bool {
	m.own.Seek(row, false)
	m.back, m.baseOK = false, m.base.SeekGE(row)
	return m.settle()
}

func (m *mergeIter) SeekLT(row []byte) bool {
	m.own.Seek(row, true)
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
		if m.baseOK && bytes.Equal(m.base.Key(), m.own.Row()) {
			m.stepBase()
		}
		m.own.Step(m.back)
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
		ownOK := m.own.OK()
		if !ownOK && !m.baseOK {
			m.valid = false
			return false
		}
		m.valid, m.onOwn = true, ownOK
		if ownOK && m.baseOK {
			c := bytes.Compare(m.own.Row(), m.base.Key())
			m.onOwn = c == 0 || (c < 0) != m.back
		}
		if !m.onOwn || m.own.Val() != nil {
			if m.t != nil {
				m.t.Spend(1)
				m.valid = m.t.err == nil
			}
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
		return m.own.Row()
	}
	return m.base.Key()
}

func (m *mergeIter) Value() []byte {
	if m.onOwn {
		return m.own.Val()
	}
	return m.base.Value()
}

func (m *mergeIter) Close() error {
	if m.t == nil {
		return m.base.Close()
	}
	return m.t.closeIter(m.base)
}

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
