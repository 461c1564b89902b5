package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// concurrent records clients that a store serves one operation at a time, at
// some moment between call and return. A place is a millisecond. Of fifty writes
// one ends without an outcome.
func concurrent(r *rand.Rand, check string, ops, clients int, draw func() []Cmd, execute func(op *Op)) *History {
	h := &History{Suite: Suite{Rules: []Rule{{Prefix: "k", Check: check}}}}
	active, executed := make([]*Op, clients), make([]bool, clients)
	for place := int64(1); len(h.Ops) < ops; place++ {
		i, now := r.IntN(clients), time.Duration(place)*time.Millisecond
		op := active[i]
		switch {
		case op == nil:
			active[i], executed[i] = &Op{Client: i, Node: 1, Call: place, At: now, Cmds: draw()}, false
		case !executed[i]:
			op.Until = now
			execute(op)
			if executed[i] = true; op.Outcome == OK && !op.reads() && r.IntN(50) == 0 {
				op.lose()
			}
		default:
			if op.Until = now; op.Outcome != Unknown {
				op.Return = place
			}
			h.Ops = append(h.Ops, *op)
			active[i] = nil
		}
	}
	for i, op := range active { // their clients have not waited
		if op != nil && executed[i] && op.Outcome != Failed && !op.reads() {
			op.lose()
			h.Ops = append(h.Ops, *op)
		}
	}
	return h
}

// lose makes the outcome unknown.
func (o *Op) lose() {
	o.Outcome, o.Return = Unknown, Never
	for i := range o.Cmds {
		if !o.Cmds[i].Watched {
			o.Cmds[i].Reply = Reply{}
		}
	}
}

// registers is a naive store of one string: read, written, compared and set.
func registers(seed uint64, ops, clients int) *History {
	r := rand.New(rand.NewPCG(seed, 3))
	value, written := null(), 0
	return concurrent(r, "register", ops, clients, func() []Cmd {
		written++
		set := Command("SET", "k", fmt.Sprint(written))
		switch r.IntN(4) {
		case 0:
			return []Cmd{set}
		case 1:
			return []Cmd{Watched(value, "GET", "k"), set}
		}
		return []Cmd{Command("GET", "k")}
	}, func(op *Op) {
		last := &op.Cmds[len(op.Cmds)-1]
		switch {
		case last.Args[0] == "GET":
			last.Reply = value
		case op.Cmds[0].Watched && !op.Cmds[0].Reply.Equal(value):
			op.Outcome = Failed
		default:
			value, last.Reply = str(last.Args[2]), str("OK")
		}
	})
}

// locks is a naive store of one lock, whose deadlines are off by at most 20 ms.
func locks(seed uint64, ops, clients int) *History {
	r := rand.New(rand.NewPCG(seed, 5))
	holder, deadline, token := null(), time.Duration(0), 0
	h := concurrent(r, "lock", ops, clients, func() []Cmd {
		token++
		switch r.IntN(4) {
		case 0:
			return []Cmd{Watched(holder, "GET", "k"), Command("DEL", "k")}
		case 1:
			return []Cmd{Command("GET", "k")}
		}
		return []Cmd{Command("SET", "k", fmt.Sprint(token), "NX", "PX", "50")}
	}, func(op *Op) {
		last := &op.Cmds[len(op.Cmds)-1]
		if holder.Kind == KindString && op.Until >= deadline {
			holder = null()
		}
		switch last.Args[0] {
		case "GET":
			last.Reply = holder
		case "SET":
			last.Reply = null()
			if holder.Kind == KindNil {
				holder, last.Reply = str(last.Args[2]), str("OK")
				deadline = op.Until + time.Duration(50-20+r.IntN(41))*time.Millisecond
			}
		case "DEL":
			if !op.Cmds[0].Reply.Equal(holder) {
				op.Outcome = Failed
				return
			}
			last.Reply = boolean(holder.Kind == KindString)
			holder = null()
		}
	})
	h.Suite.TimeError = TimeError{Early: Slack{Fixed: 20 * time.Millisecond}, Late: Slack{Fixed: 20 * time.Millisecond}}
	return h
}

// A search for an order finds the one that there was, and none when a read says
// what had been overwritten before it was called.
func TestRandomRegisters(t *testing.T) {
	caught, tried := 0, 0
	for seed := range uint64(300) {
		h := registers(seed, 130, 2+int(seed%8))
		wantNames(t, h)
		r := rand.New(rand.NewPCG(seed, 4))
		for range 1000 {
			read, write := &h.Ops[r.IntN(len(h.Ops))], &h.Ops[r.IntN(len(h.Ops))]
			set := write.Cmds[len(write.Cmds)-1]
			overwritten := false // by one that began after it and ended before the read
			for i := range h.Ops {
				o := &h.Ops[i]
				overwritten = overwritten || o.Outcome == OK && !o.reads() && o.Call > write.Return && o.Return < read.Call
			}
			if read.Outcome != OK || !read.reads() || write.Outcome != OK || set.Args[0] != "SET" || !overwritten {
				continue
			}
			read.Cmds[0].Reply = str(set.Args[2])
			tried++
			if found, err := Check(h); err != nil {
				t.Fatal(err)
			} else if len(found) == 1 && found[0].Name == "not linearizable" {
				caught++
			}
			break
		}
	}
	t.Logf("%d of %d stale reads caught", caught, tried)
	if tried < 290 || caught < tried {
		t.Errorf("caught %d of %d", caught, tried)
	}
}

// Deadlines within their bounds raise no alarm; a lock that is granted to two
// does.
func TestRandomLocks(t *testing.T) {
	caught, tried := 0, 0
	for seed := range uint64(200) {
		h := locks(seed, 130, 2+int(seed%8))
		wantNames(t, h)
		for i := range h.Ops {
			first := &h.Ops[i]
			if first.Outcome != OK || first.Cmds[0].Args[0] != "SET" || first.Cmds[0].Reply.Kind != KindString {
				continue
			}
			// Refused right after the first was granted, too soon for its deadline,
			// and nobody released it meanwhile: now it says granted.
			second := refusedWithin(h, first, 25*time.Millisecond)
			if second == nil {
				continue
			}
			second.Cmds[0].Reply = str("OK")
			tried++
			if found, err := Check(h); err != nil {
				t.Fatal(err)
			} else if len(found) == 1 && found[0].Name == "not linearizable" {
				caught++
			}
			break
		}
	}
	t.Logf("%d of %d locks granted twice caught", caught, tried)
	if tried < 90 || caught < tried {
		t.Errorf("caught %d of %d", caught, tried)
	}
}

// refusedWithin finds an attempt to lock, called after the lock was granted and
// refused soon, while nobody else can have released or taken it.
func refusedWithin(h *History, granted *Op, soon time.Duration) *Op {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Cmds[0].Args[0] != "SET" || op.Outcome != OK || op.Cmds[0].Reply.Kind != KindNil || op.Call < granted.Return || op.Until > granted.At+soon {
			continue
		}
		alone := true
		for j := range h.Ops {
			o := &h.Ops[j]
			changes := o.Outcome == Unknown || o.Outcome == OK && !o.reads() && o != granted && o.Cmds[len(o.Cmds)-1].Reply.Kind != KindNil
			alone = alone && !(changes && o.Call < op.Return && o.Return > granted.Call)
		}
		if alone {
			return op
		}
	}
	return nil
}
