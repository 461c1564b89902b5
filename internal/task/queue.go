package task

import (
	"encoding/binary"

	"tutti/internal/keyspace"
)

// Limits of queues that nobody has set.
const (
	MaxLenDefault   = 1_000_000
	MaxBytesDefault = 1 << 30
)

// Settings are what users say of a queue. 0 is the default.
type Settings struct {
	Limit    uint64 // of running tasks; default: none
	KeyLimit uint64 // of those of one KEY; default: 1
	Rate     uint64 // of claims a second; default: none
	MaxLen   uint64 // of tasks that have not ended
	MaxBytes uint64 // of their payloads
	Paused   bool   // nothing is claimed
}

// Counts are of the tasks of a queue.
type Counts struct {
	Now [statesEnd]uint64 // tasks in each state, of ended ones those that are kept
	// Bytes of payload of tasks that have not ended.
	Bytes uint64
	Totals
}

// Totals only grow as long as the queue exists.
type Totals struct {
	Added, Done, Dead, Cancelled uint64
	Failed                       uint64 // attempts
	Crashed                      uint64 // claims whose worker was lost
	Fenced                       uint64 // finishes that came too late
}

// Open is how many tasks have not ended.
func (c *Counts) Open() uint64 {
	return c.Now[Waiting] + c.Now[Scheduled] + c.Now[Ready] + c.Now[Running]
}

// Queue is the row of a queue. One without tasks and settings has none.
type Queue struct {
	Name []byte
	Settings
	Counts
	// first says, for each priority, from which order on ready tasks may lie. 0: there
	// never was one.
	first [prioMax + 1]uint64
}

// The value of a queue's row is version:1 flags:1, then, as uvarints, the fields of
// Queue.walk.

const flagPaused = 1

func (q *Queue) walk(num func(v *uint64)) {
	for _, v := range []*uint64{&q.Limit, &q.KeyLimit, &q.Rate, &q.MaxLen, &q.MaxBytes} {
		num(v)
	}
	for s := Waiting; s < statesEnd; s++ {
		num(&q.Now[s])
	}
	for _, v := range []*uint64{&q.Bytes, &q.Added, &q.Totals.Done, &q.Totals.Dead, &q.Totals.Cancelled, &q.Failed, &q.Crashed, &q.Fenced} {
		num(v)
	}
	for i := range q.first {
		num(&q.first[i])
	}
}

// Append appends the value of the row to b.
func (q *Queue) Append(b []byte) []byte {
	var flags byte
	if q.Paused {
		flags = flagPaused
	}
	b = append(b, version, flags)
	q.walk(func(v *uint64) { b = binary.AppendUvarint(b, *v) })
	return b
}

// DecodeQueue reads the row of a queue.
func DecodeQueue(name, val []byte) (*Queue, *keyspace.RowError) {
	if err := checkVersion(val, "queue"); err != nil {
		return nil, err
	}
	q := &Queue{Name: name}
	d := reader{b: val[1:]}
	if flags := d.take(1); !d.bad {
		q.Paused = flags[0]&flagPaused != 0
		d.bad = flags[0] > flagPaused
	}
	q.walk(func(v *uint64) { *v = d.uvarint() })
	if d.bad || len(d.b) > 0 {
		return nil, malformed("queue", val)
	}
	return q, nil
}

// forgettable reports whether nothing would be lost with the row but totals.
func (q *Queue) forgettable() bool {
	return q.Settings == Settings{} && q.Now == [statesEnd]uint64{}
}

func (s *Settings) keyLimit() uint64 { return max(s.KeyLimit, 1) }

// MaxLenSet is how many tasks may be open.
func (s *Settings) MaxLenSet() uint64 { return orDefault(s.MaxLen, MaxLenDefault) }

// MaxBytesSet is how many bytes their payloads may have.
func (s *Settings) MaxBytesSet() uint64 { return orDefault(s.MaxBytes, MaxBytesDefault) }

func orDefault(v, def uint64) uint64 {
	if v == 0 {
		return def
	}
	return v
}

// turns is who may be ready or running of the tasks of one KEY. Its row is
// version:1 admitted:uvarint waiting:uvarint first:uvarint; there is none when
// nobody has or waits for a turn.
type turns struct {
	admitted uint64 // they have their turn until they end
	waiting  uint64
	first    uint64 // order from which on those that wait lie
}

func (g *turns) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, version), g.admitted)
	return binary.AppendUvarint(binary.AppendUvarint(b, g.waiting), g.first)
}

func decodeTurns(val []byte) (g turns, err *keyspace.RowError) {
	if err := checkVersion(val, "turns of a KEY"); err != nil {
		return g, err
	}
	d := reader{b: val[1:]}
	g = turns{d.uvarint(), d.uvarint(), d.uvarint()}
	if d.bad || len(d.b) > 0 {
		return turns{}, malformed("turns of a KEY", val)
	}
	return g, nil
}
