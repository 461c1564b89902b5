package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// honest is a ledger as a cluster without faults would have left it: receipts
// in the order of the writes, and what it holds.
func honest(writes int) ([]receipt, ledgerState) {
	state := ledgerState{registers: map[string]string{}}
	var receipts []receipt
	for i := range writes {
		r := receipt{clerk: i % clerksCount, seq: i / clerksCount, kind: writeKind(i % int(writeKinds)), at: time.Duration(i) * time.Millisecond}
		r.step, r.register = int64(1_000_000+i*i*7), i%registersPerClerk
		state.apply(&r)
		receipts = append(receipts, r)
	}
	return receipts, state
}

// apply executes the write and answers it.
func (s *ledgerState) apply(r *receipt) {
	switch r.kind {
	case counterWrite:
		s.counter += r.step
		r.number = s.counter
	case listWrite:
		s.list = append(s.list, r.id())
		r.number = int64(len(s.list))
	case registerWrite:
		key := registerKey(r.clerk, r.register)
		r.text, s.registers[key] = s.registers[key], r.id()
	}
}

// nth is the index of the nth receipt of a kind.
func nth(receipts []receipt, kind writeKind, n int) int {
	for i := range receipts {
		if receipts[i].kind == kind {
			if n--; n < 0 {
				return i
			}
		}
	}
	panic("not so many")
}

func TestCheckOfAnHonestLedger(t *testing.T) {
	receipts, state := honest(600)
	f := checkLedger(receipts, state)
	if !f.held() || f.acked != 600 || f.unknown != 0 || f.applied != 0 {
		t.Errorf("got %+v", f)
	}
}

// Each fault is put into what the cluster holds after an honest run.
func TestCheckFindsFaults(t *testing.T) {
	const n = 600
	for _, tt := range []struct {
		name                 string
		fault                func(rs []receipt, s *ledgerState)
		lost, doubled, wrong int
	}{
		{"counter lost its last write", func(rs []receipt, s *ledgerState) {
			s.counter -= rs[nth(rs, counterWrite, n/3-1)].step
		}, 1, 0, 0},
		{"counter went back by many writes", func(rs []receipt, s *ledgerState) {
			s.counter = rs[nth(rs, counterWrite, 190)].number
		}, 9, 0, 0},
		{"two increments were answered from the same value", func(rs []receipt, s *ledgerState) {
			i, j := nth(rs, counterWrite, 50), nth(rs, counterWrite, 51)
			rs[j].number = rs[i].number - rs[i].step + rs[j].step
		}, 1, 1, 0}, // the step of the lost one is then missing where the next began
		{"counter applied a write twice", func(rs []receipt, s *ledgerState) {
			s.counter += rs[nth(rs, counterWrite, 30)].step
		}, 0, 1, 0},
		{"counter grew by nobody's step", func(rs []receipt, s *ledgerState) {
			s.counter += 5
		}, 0, 0, 1},
		{"list lost its last entry", func(rs []receipt, s *ledgerState) {
			s.list = s.list[:len(s.list)-1]
		}, 1, 0, 0},
		{"list holds an entry twice", func(rs []receipt, s *ledgerState) {
			s.list = append(s.list, s.list[3])
		}, 0, 1, 0},
		{"list has two entries in each other's place", func(rs []receipt, s *ledgerState) {
			s.list[3], s.list[4] = s.list[4], s.list[3]
		}, 0, 0, 2},
		{"list holds what nobody wrote", func(rs []receipt, s *ledgerState) {
			s.list = append(s.list, "9-9")
		}, 0, 0, 1},
		{"register fell back", func(rs []receipt, s *ledgerState) {
			r := rs[nth(rs, registerWrite, 199)]
			s.registers[registerKey(r.clerk, r.register)] = r.text
		}, 1, 0, 0},
		{"register was empty between two writes", func(rs []receipt, s *ledgerState) {
			rs[nth(rs, registerWrite, 150)].text = ""
		}, 1, 0, 0},
		{"everything is gone", func(rs []receipt, s *ledgerState) {
			*s = ledgerState{}
		}, 200 + 200 + registersWritten(n), 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			receipts, state := honest(n)
			tt.fault(receipts, &state)
			f := checkLedger(receipts, state)
			if len(f.lost) != tt.lost || len(f.doubled) != tt.doubled || len(f.wrong) != tt.wrong {
				t.Errorf("lost %v\ndoubled %v\nwrong %v", f.lost, f.doubled, f.wrong)
			}
		})
	}
}

func registersWritten(n int) int {
	_, state := honest(n)
	return len(state.registers)
}

// An unknown write may have been applied, once, or not; a refused one must not.
func TestCheckOfUnknownAndRefusedWrites(t *testing.T) {
	for kind := range writeKinds {
		for _, tt := range []struct {
			outcome outcome
			times   int
			held    bool
			applied int
		}{
			{unknown, 0, true, 0}, {unknown, 1, true, 1}, {unknown, 2, kind == registerWrite, 1},
			{refused, 0, true, 0}, {refused, 1, false, 0},
		} {
			t.Run(fmt.Sprintf("kind %d %v applied %d times", kind, tt.outcome, tt.times), func(t *testing.T) {
				receipts, state := honest(300)
				odd := receipt{clerk: 1, seq: 1000, kind: kind, outcome: tt.outcome, step: 777_777_777}
				for range tt.times {
					state.apply(&odd)
				}
				odd.number, odd.text = 0, "the connection was lost"
				receipts = append(receipts, odd)
				// Another write of the same kind behind it, by the same clerk.
				next := receipt{clerk: 1, seq: 1001, kind: kind, step: 31}
				state.apply(&next)
				receipts = append(receipts, next)
				f := checkLedger(receipts, state)
				if f.held() != tt.held || tt.held && f.applied != tt.applied {
					t.Errorf("got %+v", f)
				}
			})
		}
	}
}

// Several unknown writes may hide in one hole.
func TestExplainFindsSums(t *testing.T) {
	undecided := map[int64]string{}
	steps := []int64{1009, 20011, 300007, 4000037, 50000017}
	for i, s := range steps {
		undecided[s] = fmt.Sprint(i)
	}
	if got := explain(20011+4000037, undecided); !slices.Equal(got, []int64{4000037, 20011}) {
		t.Errorf("got %v", got)
	}
	if got := explain(20012, undecided); got != nil {
		t.Errorf("got %v for a sum that no steps have", got)
	}
}

func TestLongestGap(t *testing.T) {
	ms := time.Millisecond
	var receipts []receipt
	for _, at := range []time.Duration{5, 10, 40, 45, 50, 200} {
		receipts = append(receipts, receipt{at: at * ms})
	}
	receipts = append(receipts, receipt{at: 25 * ms, outcome: unknown}) // no acknowledgement
	for _, tt := range []struct{ from, to, want time.Duration }{
		{0, 50, 30}, {12, 50, 28}, {41, 60, 10}, {46, 150, 100}, {60, 70, 10},
	} {
		if got := longestGap(receipts, tt.from*ms, tt.to*ms); got != tt.want*ms {
			t.Errorf("from %d to %d: got %v, want %d ms", tt.from, tt.to, got, tt.want)
		}
	}
}
