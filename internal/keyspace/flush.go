package keyspace

// FlushDatabase empties logical database db by giving it a fresh physical one;
// the rows of the old one become garbage. An empty database stays as it is.
func (t *Tx) FlushDatabase(db uint8) {
	n := t.KeyCount(db)
	if n == 0 { // or it can't be read, and the transaction has failed
		return
	}
	if !t.writable {
		panic("keyspace: flush in a reading transaction")
	}
	t.count(t.Databases.Physical(db), -n)
	t.SetDatabases(t.Databases.Flush(db))
}
