package keyspace

// What package task needs of rows and transactions: it lays its rows below the
// same prefixes of slots, so that a range of slots is a range of all rows there are,
// and draws them in its own doc.

// TaskPrefix appends the prefix of all rows about tasks of a slot to dst.
func TaskPrefix(dst []byte, slot uint16) []byte { return slotKind(dst, slot, kindTask) }

// taskPrefixLen is the length of TaskPrefix.
const taskPrefixLen = 4

// TaskRow tells whether row is one about tasks, and of which slot; rest is what
// follows the prefix.
func TaskRow(row []byte) (slot uint16, rest []byte, ok bool) {
	if len(row) <= taskPrefixLen || row[0] != rowPrefix || row[3] != kindTask {
		return 0, nil, false
	}
	return be.Uint16(row[1:]), row[taskPrefixLen:], true
}

// PrefixEnd appends to dst the smallest row greater than every row that starts with
// prefix, which is one of a slot.
func PrefixEnd(dst, prefix []byte) []byte { return prefixEnd(dst, prefix) }

// Refuse ends what the transaction is at because of a row that can't be read.
func (e *ending) Refuse(err *RowError) { e.refuse(err) }

// Fail ends the transaction with what a Reader said.
func (e *ending) Fail(err error) { e.fail(err) }

// Rollbacks counts how often something was taken back. Who remembers something
// beside the transaction looks whether it still holds.
func (e *effects) Rollbacks() int { return e.rollbacks }
