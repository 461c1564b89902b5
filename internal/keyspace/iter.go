package keyspace

import (
	"bytes"
	"slices"
)

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
	own  []int32 // ops of the range, in row order

	back   bool // direction of the last move
	baseOK bool
	i      int // position in own, valid if 0 <= i < len(own)
	onOwn  bool
	valid  bool
}

func (m *mergeIter) row(i int) []byte { return m.t.ops[m.own[i]].row }

func (m *mergeIter) First() bool {
	m.back, m.i, m.baseOK = false, 0, m.base.First()
	return m.settle()
}

func (m *mergeIter) Last() bool {
	m.back, m.i, m.baseOK = true, len(m.own)-1, m.base.Last()
	return m.settle()
}

func (m *mergeIter) SeekGE(row []byte) bool {
	m.back, m.i, m.baseOK = false, m.find(row), m.base.SeekGE(row)
	return m.settle()
}

func (m *mergeIter) SeekLT(row []byte) bool {
	m.back, m.i, m.baseOK = true, m.find(row)-1, m.base.SeekLT(row)
	return m.settle()
}

func (m *mergeIter) find(row []byte) int {
	i, _ := slices.BinarySearchFunc(m.own, row, func(i int32, row []byte) int { return bytes.Compare(m.t.ops[i].row, row) })
	return i
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
		if m.baseOK && bytes.Equal(m.base.Key(), m.row(m.i)) {
			m.stepBase()
		}
		m.stepOwn()
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

func (m *mergeIter) stepOwn() {
	if m.back {
		m.i--
	} else {
		m.i++
	}
}

// settle chooses the side whose row comes first and skips deleted rows.
func (m *mergeIter) settle() bool {
	for {
		ownOK := m.i >= 0 && m.i < len(m.own)
		if !ownOK && !m.baseOK {
			m.valid = false
			return false
		}
		m.valid, m.onOwn = true, ownOK
		if ownOK && m.baseOK {
			c := bytes.Compare(m.row(m.i), m.base.Key())
			m.onOwn = c == 0 || (c < 0) != m.back
		}
		if !m.onOwn || m.t.ops[m.own[m.i]].val != nil {
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
		return m.row(m.i)
	}
	return m.base.Key()
}

func (m *mergeIter) Value() []byte {
	if m.onOwn {
		return m.t.ops[m.own[m.i]].val
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
