package keyspace

import "bytes"

// GetKnown is Get of a row whose value in the state that t began with the caller has read
// already, from an iterator for instance. What it returns is valid as long as base is.
func GetKnown(t *Tx, row, base []byte) (val []byte, ok bool) {
	if t.Spend(1 + len(base)/stepBytes); t.err != nil {
		return nil, false
	}
	if i, _ := t.find(row); i >= 0 {
		v := t.ops[i].val
		return bytes.Clone(v), v != nil
	}
	return base, true
}
