package task

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tutti/internal/keyspace"
)

// memory is rows of a shard.
type memory map[string]string

func (m memory) Get(row, dst []byte) ([]byte, bool, error) {
	v, ok := m[string(row)]
	return append(dst, v...), ok, nil
}

func (m memory) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	var keys []string
	for k := range m {
		if string(lower) <= k && k < string(upper) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return &memoryIter{m: m, keys: keys, at: -1}, nil
}

type memoryIter struct {
	m    memory
	keys []string
	at   int
}

func (i *memoryIter) move(to int) bool {
	i.at = to
	return i.at >= 0 && i.at < len(i.keys)
}

func (i *memoryIter) First() bool { return i.move(0) }
func (i *memoryIter) Last() bool  { return i.move(len(i.keys) - 1) }
func (i *memoryIter) Next() bool  { return i.move(i.at + 1) }
func (i *memoryIter) Prev() bool  { return i.move(i.at - 1) }
func (i *memoryIter) SeekGE(row []byte) bool {
	at, _ := slices.BinarySearch(i.keys, string(row))
	return i.move(at)
}
func (i *memoryIter) SeekLT(row []byte) bool {
	at, _ := slices.BinarySearch(i.keys, string(row))
	return i.move(at - 1)
}
func (i *memoryIter) Key() []byte   { return []byte(i.keys[i.at]) }
func (i *memoryIter) Value() []byte { return []byte(i.m[i.keys[i.at]]) }
func (i *memoryIter) Close() error  { return nil }

// shard is what a shard's leader does with tasks, without raft.
type shard struct {
	t     testing.TB
	rows  memory
	lead  *Lead
	now   int64
	mono  time.Duration
	term  uint64
	index uint64
	ids   uint64
	rand  *rand.Rand
	dbs   *keyspace.Databases
}

func newShard(t testing.TB) *shard {
	s := &shard{t: t, rows: memory{}, now: 1_700_000_000_000, index: 10, rand: rand.New(rand.NewPCG(1, 1)), dbs: keyspace.NewDatabases()}
	s.elect()
	return s
}

// elect makes another leader, who knows nothing but rows.
func (s *shard) elect() {
	s.term++
	s.lead = NewLead(nil)
	s.mono = time.Duration(s.rand.Int64N(1 << 40)) // another machine's
	s.restore()
}

// restore tells the leader what the rows hold.
func (s *shard) restore() {
	found, err := Find(s.rows, 0, keyspace.Slots)
	if err != nil {
		s.t.Fatal(err)
	}
	s.lead.Restore(found, s.mono)
}

// begin begins a batch.
func (s *shard) begin() *keyspace.Tx {
	s.index++
	tx := keyspace.NewTx(s.rows, keyspace.Env{Now: s.now, Applied: s.now, Index: s.index, Databases: s.dbs,
		NewID: func() uint64 { s.ids++; return s.ids }, Rand: s.rand.Uint64N})
	s.lead.Batch(s.rows, s.term, s.mono)
	return tx
}

// apply applies a batch.
func (s *shard) apply(tx *keyspace.Tx) {
	s.t.Helper()
	if tx.Err() != nil {
		s.t.Fatal(tx.Err())
	}
	tx.Effects(func(row, val []byte) { s.rows[string(row)] = string(val) }, func(row []byte) { delete(s.rows, string(row)) })
	s.lead.Applied(tx, true)
	s.settle()
}

func (s *shard) settle() {
	if err := s.lead.Settle(s.rows); err != nil {
		s.t.Fatal(err)
	}
}

// change applies a batch of one change.
func (s *shard) change(f func(c *Change)) *keyspace.Tx {
	s.t.Helper()
	tx := s.begin()
	c := Begin(tx, s.lead)
	f(c)
	c.End()
	s.apply(tx)
	return tx
}

// later lets time pass and the background work until nothing is due.
func (s *shard) later(d time.Duration) {
	s.t.Helper()
	s.now += d.Milliseconds()
	s.mono += d
	for s.lead.Due(func() (int64, bool) { return s.now, true }, s.mono) {
		tx := s.begin()
		s.lead.Step(tx)
		s.apply(tx)
	}
}

func (s *shard) task(ref Ref) *Task {
	s.t.Helper()
	val, ok := s.rows[string(numberRow(nil, kindState, ref))]
	if !ok {
		return nil
	}
	t, err := DecodeTask(ref, []byte(val))
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

func (s *shard) queue(name string) *Queue {
	s.t.Helper()
	val, ok := s.rows[string(queueRow(nil, []byte(name)))]
	if !ok {
		return &Queue{Name: []byte(name)}
	}
	q, err := DecodeQueue([]byte(name), []byte(val))
	if err != nil {
		s.t.Fatal(err)
	}
	return q
}
