package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/resp"
)

// The ledger's keys and sizes.
const (
	clerksCount        = 8
	registersPerClerk  = 4
	ledgerCounter      = "ledger:counter"
	ledgerList         = "ledger:list"
	ledgerCallTimeout  = 10 * time.Second      // longer than a node tries a write
	ledgerRetryPause   = 10 * time.Millisecond // after a refusal
	counterStepLowBits = 20                    // of a step hold its number, the others are random
)

// writeKind is what a clerk does. Each kind shows in its answer what was there
// before, so that a check sees every single write, not just the last.
type writeKind int8

const (
	counterWrite  writeKind = iota // INCRBY of the one counter, by a step no other write has
	listWrite                      // RPUSH of an entry no other write has to the one list
	registerWrite                  // SET … GET of a register that only this clerk writes
	writeKinds
)

// outcome is what the client was told of a write.
type outcome int8

const (
	acked   outcome = iota
	refused         // "Not applied": it must never show
	unknown         // no answer, or one that says it may have been applied: it may show, once
)

func (o outcome) String() string { return [...]string{"acked", "refused", "unknown"}[o] }

// receipt is what a clerk keeps of a write.
type receipt struct {
	clerk, seq int // together they name the write
	kind       writeKind
	outcome    outcome
	node       int           // index of the node it was sent to
	at         time.Duration // when the answer came, since the ledger began
	step       int64         // of a counter write
	register   int           // of a register write
	// What was answered: the counter's new value, the list's new length, the
	// register's value before ("" for none), or the error.
	number int64
	text   string
}

// id is the entry pushed or the value set.
func (r *receipt) id() string { return strconv.Itoa(r.clerk) + "-" + strconv.Itoa(r.seq) }

func registerKey(clerk, register int) string {
	return fmt.Sprintf("ledger:register:%d:%d", clerk, register)
}

func (r *receipt) command() []string {
	switch r.kind {
	case counterWrite:
		return []string{"INCRBY", ledgerCounter, strconv.FormatInt(r.step, 10)}
	case listWrite:
		return []string{"RPUSH", ledgerList, r.id()}
	case registerWrite:
		return []string{"SET", registerKey(r.clerk, r.register), r.id(), "GET"}
	}
	panic(fmt.Sprintf("unknown kind of write %d", r.kind))
}

// answered notes the reply.
func (r *receipt) answered(v resp.Value) {
	switch {
	case v.IsError() && bytes.Contains(v.Str, []byte("Not applied")):
		r.outcome, r.text = refused, string(v.Str)
	case v.IsError():
		r.outcome, r.text = unknown, string(v.Str)
	case r.kind == registerWrite:
		r.outcome, r.text = acked, string(v.Str)
	default:
		r.outcome, r.number = acked, v.Int
	}
}

// ledger writes through random nodes without pause and keeps a receipt of every
// write.
type ledger struct {
	nodes    []target
	began    time.Time
	stopping atomic.Bool
	ackCount atomic.Int64
	wg       sync.WaitGroup
	receipts [clerksCount][]receipt // of each clerk, which alone touches them until it has stopped
}

func startLedger(nodes []target) *ledger {
	l := &ledger{nodes: nodes, began: time.Now()}
	l.start()
	return l
}

// goOn returns a ledger that goes on where this one has stopped, and has its
// receipts.
func (l *ledger) goOn() *ledger {
	next := &ledger{nodes: l.nodes, began: l.began, receipts: l.receipts}
	next.start()
	return next
}

func (l *ledger) start() {
	for i := range l.receipts {
		l.wg.Go(func() { l.write(i) })
	}
}

// stop returns all receipts, those of each clerk in order.
func (l *ledger) stop() []receipt {
	l.stopping.Store(true)
	l.wg.Wait()
	return slices.Concat(l.receipts[:]...)
}

func (l *ledger) now() time.Duration { return time.Since(l.began) }

// write is the work of one clerk.
func (l *ledger) write(clerk int) {
	conns := newClients(l.nodes, ledgerCallTimeout)
	defer conns.close()
	for seq := len(l.receipts[clerk]); !l.stopping.Load(); seq++ {
		r := receipt{clerk: clerk, seq: seq, kind: writeKind(seq % int(writeKinds))}
		switch r.kind {
		case counterWrite:
			r.step = rand.Int64N(1<<counterStepLowBits)<<counterStepLowBits | int64(seq*clerksCount+clerk)
		case registerWrite:
			r.register = rand.IntN(registersPerClerk)
		}
		if !l.send(conns, &r) {
			return
		}
		r.at = l.now()
		l.receipts[clerk] = append(l.receipts[clerk], r)
		switch r.outcome {
		case acked:
			l.ackCount.Add(1)
		case refused:
			time.Sleep(ledgerRetryPause)
		}
	}
}

// send sends a write to a random node that accepts connections. It reports
// false if the ledger stopped before one did: nothing was sent.
func (l *ledger) send(conns *clients, r *receipt) bool {
	command := r.command()
	for {
		r.node = rand.IntN(len(l.nodes))
		replies, sent, err := conns.call(r.node, command)
		switch {
		case err == nil:
			r.answered(replies[0])
			return true
		case sent:
			r.outcome, r.text = unknown, err.Error()
			return true
		case l.stopping.Load():
			return false
		}
		time.Sleep(time.Millisecond) // a node that is down refuses at once
	}
}

// longestGap is the longest time between from and to in which no write was
// acknowledged.
func longestGap(receipts []receipt, from, to time.Duration) time.Duration {
	times := []time.Duration{from, to}
	for i := range receipts {
		if r := &receipts[i]; r.outcome == acked && r.at > from && r.at < to {
			times = append(times, r.at)
		}
	}
	slices.Sort(times)
	var gap time.Duration
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i]-times[i-1])
	}
	return gap
}
