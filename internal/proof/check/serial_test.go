package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// serial is a store that executes one transaction at a time, at some moment
// between call and return, for clients whose operations overlap. What it records
// is strictly serializable.
type serial struct {
	r       *rand.Rand
	h       *History
	lengths bool // appends are told the length
	lists   map[string][]Reply
	keys    []string // alive
	made    int      // keys
	value   int
	place   int64
}

const serialKeyLen = 12 // a list is given up when it has so many elements

func newSerial(seed uint64, lengths bool) *serial {
	s := &serial{r: rand.New(rand.NewPCG(seed, 7)), lengths: lengths, lists: make(map[string][]Reply)}
	s.h = &History{Suite: Suite{Rules: []Rule{{Check: "append"}}}}
	for range 6 {
		s.keys = append(s.keys, s.newKey())
	}
	return s
}

func (s *serial) newKey() string {
	s.made++
	return fmt.Sprint("k", s.made)
}

// run lets clients execute transactions until so many have ended. Of a hundred,
// about two end without an outcome and one fails.
func (s *serial) run(txns, clients int) *History {
	type client struct {
		phase int // 0 idle, 1 called, 2 executed
		op    Op
	}
	all := make([]client, clients)
	for busy := 0; len(s.h.Ops) < txns || busy > 0; {
		i := s.r.IntN(clients)
		c := &all[i]
		if c.phase == 0 && len(s.h.Ops)+busy >= txns {
			continue
		}
		s.place++
		switch c.phase {
		case 0:
			c.op = Op{Client: i, Node: 1, Cmds: s.draw(), Call: s.place, At: time.Duration(s.place) * time.Millisecond}
			c.phase = 1
			busy++
		case 1:
			switch n := s.r.IntN(100); {
			case n == 0:
				c.op.Outcome = Failed
			case n < 3:
				c.op.Outcome = Unknown
			}
			if c.op.Outcome == OK || c.op.Outcome == Unknown && s.r.IntN(2) == 0 {
				s.execute(&c.op)
			}
			c.phase = 2
		case 2:
			c.op.Return, c.op.Until = s.place, time.Duration(s.place)*time.Millisecond
			if c.op.Outcome == Unknown {
				c.op.Return = Never
			}
			s.h.Ops = append(s.h.Ops, c.op)
			c.phase = 0
			busy--
		}
	}
	return s.h
}

// draw makes a transaction of one to four appends and reads.
func (s *serial) draw() []Cmd {
	cmds := make([]Cmd, 1+s.r.IntN(4))
	for i := range cmds {
		k := s.r.IntN(len(s.keys))
		if len(s.lists[s.keys[k]]) >= serialKeyLen {
			s.keys[k] = s.newKey()
		}
		cmds[i] = Command("LRANGE", s.keys[k], "0", "-1")
		if s.r.IntN(2) == 0 {
			s.value++
			cmds[i] = Command("RPUSH", s.keys[k], fmt.Sprint(s.value))
		}
	}
	return cmds
}

func (s *serial) execute(op *Op) {
	for i := range op.Cmds {
		c := &op.Cmds[i]
		key := c.Args[1]
		list := s.lists[key]
		reply := Reply{Kind: KindArray, Elems: list[:len(list):len(list)]}
		if c.Args[0] == "RPUSH" {
			s.lists[key] = append(list, str(c.Args[2]))
			reply = Reply{}
			if s.lengths {
				reply = integer(int64(len(list)) + 1)
			}
		}
		if op.Outcome == OK {
			c.Reply = reply
		}
	}
}

// stale makes one read say what the list was before the transaction was called.
// It reports false if it found none that could.
func (s *serial) stale() bool {
	writers := make(map[string]*Op)
	for i := range s.h.Ops {
		for _, c := range s.h.Ops[i].Cmds {
			if c.Args[0] == "RPUSH" {
				writers[c.Args[1]+" "+c.Args[2]] = &s.h.Ops[i]
			}
		}
	}
	for range 1000 {
		op := &s.h.Ops[s.r.IntN(len(s.h.Ops))]
		c := &op.Cmds[s.r.IntN(len(op.Cmds))]
		if op.Outcome != OK || c.Args[0] != "LRANGE" || len(c.Reply.Elems) == 0 {
			continue
		}
		k := s.r.IntN(len(c.Reply.Elems)) // what is left
		w := writers[c.Args[1]+" "+c.Reply.Elems[k].Str]
		alone := 0 // the transaction must not contradict itself
		for _, o := range op.Cmds {
			if o.Args[1] == c.Args[1] {
				alone++
			}
		}
		if w.Outcome == OK && w.Return < op.Call && alone == 1 {
			c.Reply.Elems = c.Reply.Elems[:k]
			return true
		}
	}
	return false
}

func TestSerializableHistoriesRaiseNoAlarm(t *testing.T) {
	total, start := 0, time.Now()
	for seed := range uint64(100) {
		txns, clients := 1000, 2+int(seed%20)
		if seed%10 == 9 {
			txns = 100
		}
		s := newSerial(seed, seed%2 == 0)
		wantNames(t, s.run(txns, clients))
		total += txns
	}
	wantNames(t, newSerial(1000, true).run(20_000, 30))
	total += 20_000
	t.Logf("%d transactions judged in %v", total, time.Since(start))
	if total < 100_000 {
		t.Errorf("only %d transactions", total)
	}
}

func TestStaleReadsAreCaught(t *testing.T) {
	for _, lengths := range []bool{true, false} {
		tried, caught, names := 0, 0, make(map[string]int)
		for seed := range uint64(300) {
			s := newSerial(2000+seed, lengths)
			h := s.run(150, 2+int(seed%10))
			if !s.stale() {
				continue
			}
			tried++
			found, err := Check(h)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 {
				caught++
				names[found[0].Name]++
			}
		}
		t.Logf("told lengths: %v: %d of %d stale reads caught, as %v", lengths, caught, tried, names)
		if tried < 290 || caught*100 < tried*99 {
			t.Errorf("told lengths: %v: caught only %d of %d", lengths, caught, tried)
		}
	}
}

func BenchmarkAppends(b *testing.B) {
	for _, txns := range []int{1000, 10_000, 100_000} {
		h := newSerial(1, true).run(txns, 20)
		b.Run(fmt.Sprint(txns), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if found, err := Check(h); err != nil || len(found) > 0 {
					b.Fatal(found, err)
				}
			}
		})
	}
}
