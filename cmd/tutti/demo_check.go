package main

import (
	"cmp"
	"fmt"
	"slices"
)

// Bounds of the search for the unknown writes that explain a jump of the
// counter.
const explainStepsMax = 200_000

// findings is what the check of receipts found.
type findings struct {
	acked, unknown, refused int // writes by what the client was told
	applied                 int // unknown ones that were applied, as far as it shows
	lost                    []string
	doubled                 []string
	wrong                   []string // neither of both, but not as promised
}

func (f *findings) held() bool { return len(f.lost)+len(f.doubled)+len(f.wrong) == 0 }

func (f *findings) add(o findings) {
	f.applied += o.applied
	f.lost = append(f.lost, o.lost...)
	f.doubled = append(f.doubled, o.doubled...)
	f.wrong = append(f.wrong, o.wrong...)
}

// ledgerState is what the cluster holds of the ledger at the end.
type ledgerState struct {
	counter   int64
	list      []string
	registers map[string]string // by key
}

// checkLedger compares all receipts, each clerk's in order, with what the
// cluster holds.
func checkLedger(receipts []receipt, state ledgerState) findings {
	var f findings
	var byKind [writeKinds][]receipt
	for _, r := range receipts {
		byKind[r.kind] = append(byKind[r.kind], r)
		switch r.outcome {
		case acked:
			f.acked++
		case unknown:
			f.unknown++
		case refused:
			f.refused++
		}
	}
	f.add(checkCounter(byKind[counterWrite], state.counter))
	f.add(checkList(byKind[listWrite], state.list))
	f.add(checkRegisters(byKind[registerWrite], state.registers))
	return f
}

// checkCounter lays the acknowledged steps side by side: a write that answered
// v and added s covers (v-s, v]. Two that overlap: one of them is not in the
// counter. A hole: something was added that nobody was told of, which only
// unknown writes may, each once. Steps are random, so no other sum fits a hole
// by accident.
func checkCounter(receipts []receipt, final int64) findings {
	var f findings
	var acks []receipt
	undecided := map[int64]string{} // step -> write
	for _, r := range receipts {
		switch r.outcome {
		case acked:
			acks = append(acks, r)
		case unknown:
			undecided[r.step] = r.id()
		}
	}
	slices.SortFunc(acks, func(a, b receipt) int { return cmp.Compare(a.number, b.number) })
	at := int64(0)
	hole := func(size int64) {
		if steps := explain(size, undecided); steps != nil {
			f.applied += len(steps)
			for _, s := range steps {
				delete(undecided, s)
			}
			return
		}
		for _, r := range receipts {
			if r.step != size {
				continue
			}
			if r.outcome == refused {
				f.wrong = append(f.wrong, fmt.Sprintf("INCRBY %s was refused as not applied, and was applied", r.id()))
			} else {
				f.doubled = append(f.doubled, fmt.Sprintf("INCRBY %s (%s) was applied twice", r.id(), r.outcome))
			}
			return
		}
		f.wrong = append(f.wrong, fmt.Sprintf("the counter grew from %d by %d, which no write explains", at, size))
	}
	for _, r := range acks {
		switch from := r.number - r.step; {
		case r.number > final:
			f.lost = append(f.lost, fmt.Sprintf("INCRBY %s answered %d, the counter holds %d", r.id(), r.number, final))
			continue
		case from < at:
			f.lost = append(f.lost, fmt.Sprintf("INCRBY %s answered %d, which leaves no room for its step or the one before", r.id(), r.number))
		case from > at:
			hole(from - at)
		}
		at = max(at, r.number)
	}
	if final > at {
		hole(final - at)
	}
	return f
}

// explain returns steps among undecided that add up to size, nil if none do.
func explain(size int64, undecided map[int64]string) []int64 {
	var steps []int64
	for s := range undecided {
		steps = append(steps, s)
	}
	slices.SortFunc(steps, func(a, b int64) int { return cmp.Compare(b, a) })
	budget := explainStepsMax
	var search func(i int, left int64, chosen []int64) []int64
	search = func(i int, left int64, chosen []int64) []int64 {
		if left == 0 {
			return chosen
		}
		for ; i < len(steps) && budget > 0; i++ {
			budget--
			if steps[i] > left {
				continue
			}
			if found := search(i+1, left-steps[i], append(chosen, steps[i])); found != nil {
				return found
			}
		}
		return nil
	}
	return search(0, size, nil)
}

// checkList finds every entry, at the place that its write was told.
func checkList(receipts []receipt, list []string) findings {
	var f findings
	places := make(map[string][]int, len(list))
	for i, entry := range list {
		places[entry] = append(places[entry], i+1)
	}
	for _, r := range receipts {
		at := places[r.id()]
		delete(places, r.id())
		switch {
		case len(at) > 1:
			f.doubled = append(f.doubled, fmt.Sprintf("RPUSH %s (%s) stands at %v", r.id(), r.outcome, at))
		case r.outcome == acked && len(at) == 0:
			f.lost = append(f.lost, fmt.Sprintf("RPUSH %s was acknowledged as entry %d and is not there", r.id(), r.number))
		case r.outcome == acked && int64(at[0]) != r.number:
			f.wrong = append(f.wrong, fmt.Sprintf("RPUSH %s was acknowledged as entry %d and is entry %d", r.id(), r.number, at[0]))
		case r.outcome == refused && len(at) > 0:
			f.wrong = append(f.wrong, fmt.Sprintf("RPUSH %s was refused as not applied, and was applied", r.id()))
		case r.outcome == unknown:
			f.applied += len(at)
		}
	}
	for entry := range places {
		f.wrong = append(f.wrong, fmt.Sprintf("entry %s of the list was written by nobody", entry))
	}
	return f
}

// checkRegisters follows each register from write to write: what a write found
// must be what the one before left, or an unknown one that has not shown yet.
func checkRegisters(receipts []receipt, final map[string]string) findings {
	var f findings
	type chain struct {
		value     string          // what the last acknowledged write left
		undecided map[string]bool // unknown writes that have not shown
		refused   map[string]bool
	}
	chains := map[string]*chain{}
	find := func(key string, c *chain, found string) {
		switch {
		case found == c.value:
		case c.undecided[found]:
			delete(c.undecided, found)
			f.applied++
		case c.refused[found]:
			f.wrong = append(f.wrong, fmt.Sprintf("SET %s %s was refused as not applied, and was applied", key, found))
		default:
			f.lost = append(f.lost, fmt.Sprintf("SET %s %s was acknowledged, later %q was there", key, c.value, found))
		}
	}
	for _, r := range receipts {
		key := registerKey(r.clerk, r.register)
		c := chains[key]
		if c == nil {
			c = &chain{undecided: map[string]bool{}, refused: map[string]bool{}}
			chains[key] = c
		}
		switch r.outcome {
		case acked:
			find(key, c, r.text)
			c.value = r.id()
		case unknown:
			c.undecided[r.id()] = true
		case refused:
			c.refused[r.id()] = true
		}
	}
	for key, c := range chains {
		find(key, c, final[key])
	}
	return f
}
