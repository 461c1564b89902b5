package check

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Suite says what judges which keys. It travels with the history.
type Suite struct {
	// Rules are looked through from the first to the last; the first whose
	// prefix fits judges a key. A key without a rule is an error.
	Rules []Rule
	// FinalNodes are those through which every key must have been read at the
	// end. Empty: no final reads are asked for.
	FinalNodes []int `json:",omitempty"`
	// TimeError is by how much "expiry" and "lock" let deadlines be off.
	TimeError TimeError `json:",omitzero"`
}

// Rule gives the keys with a prefix to a checker.
type Rule struct {
	Prefix string
	// Check is the name of a model ("register", "list", "hash", "set",
	// "sorted set", "stream", "expiry", "lock"), or "append", "bank", "counter", "adds".
	Check string
	// Total is the sum of all accounts of a bank; Negative allows balances below
	// zero.
	Total    int64 `json:",omitempty"`
	Negative bool  `json:",omitempty"`
}

// Violation is something that the store must not do.
type Violation struct {
	Name string // of the anomaly, such as G1c
	Key  string // empty: several
	Text string // in words
	Ops  []int  // the witness: places in History.Ops
	// Cycle is the transactions that would have to come before themselves.
	Cycle []Step
	// Page is porcupine's picture of the operations, an HTML page of its own.
	Page []byte
}

// String is for a test's log.
func (v *Violation) String() string {
	if v.Key == "" {
		return v.Name + ": " + v.Text
	}
	return fmt.Sprintf("key %s: %s: %s", quote(v.Key), v.Name, v.Text)
}

// Story is the violation with the operations that show it, a line each.
func (v *Violation) Story(h *History) string {
	ops := slices.Clone(v.Ops)
	slices.SortFunc(ops, func(a, b int) int { return cmp.Compare(h.Ops[a].Call, h.Ops[b].Call) })
	var b strings.Builder
	fmt.Fprintln(&b, v)
	for _, i := range ops {
		fmt.Fprintln(&b, &h.Ops[i])
	}
	return b.String()
}

// Check judges a history. The error says what makes the verdict worth nothing:
// a workload outside of what a checker can do, replies that no fault explains.
// It uses real time for its limits: not inside a bubble of virtual time.
func Check(h *History) ([]Violation, error) {
	j := judge{h: h, groups: make(map[string]*group)}
	for _, p := range h.Problems {
		j.errs = append(j.errs, errors.New(p))
	}
	if len(h.Ops) == 0 {
		j.errs = append(j.errs, errors.New("the history is empty"))
	}
	for i := range h.Ops {
		for _, c := range h.Ops[i].Cmds {
			if len(c.keys()) == 0 {
				return nil, errors.Join(append(j.errs, fmt.Errorf("%v: no key, no checker", &h.Ops[i]))...)
			}
		}
	}
	keys := byKey(h)
	j.end = time.Now().Add(searchBase + time.Duration(len(keys))*searchShare)
	for _, k := range keys {
		if rule, ok := h.Suite.rule(k.key); ok {
			j.key(k, rule)
		} else {
			j.errs = append(j.errs, fmt.Errorf("key %s: no rule of the suite judges it", quote(k.key)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.groups)) {
		j.group(j.groups[name])
	}
	found, errs := checkFinal(h, keys)
	return append(j.found, found...), errors.Join(append(j.errs, errs...)...)
}

// judge is one run of Check.
type judge struct {
	h      *History
	groups map[string]*group // by prefix; keys that are judged together
	end    time.Time         // of all searches
	// pictures counts the violations that a search has found.
	pictures int
	found    []Violation
	errs     []error
}

// group is all keys of a rule.
type group struct {
	rule Rule
	keys []string
	ops  map[int]bool
}

func (j *judge) add(found []Violation, err error) {
	j.found = append(j.found, found...)
	if err != nil {
		j.errs = append(j.errs, err)
	}
}

func (j *judge) key(k keyOps, rule Rule) {
	switch rule.Check {
	case "append", "bank":
		g := j.groups[rule.Prefix]
		if g == nil {
			g = &group{rule: rule, ops: make(map[int]bool)}
			j.groups[rule.Prefix] = g
		}
		g.keys = append(g.keys, k.key)
		for _, i := range k.ops {
			g.ops[i] = true
		}
	case "counter":
		j.add(checkCounter(j.h, k))
	case "adds":
		j.add(checkAdds(j.h, k))
	default:
		m, ok := j.h.Suite.model(rule.Check)
		if !ok {
			j.errs = append(j.errs, fmt.Errorf("key %s: no checker %q", quote(k.key), rule.Check))
			return
		}
		j.add(j.search(k, m))
	}
}

func (j *judge) group(g *group) {
	ops := slices.Sorted(maps.Keys(g.ops))
	for _, i := range ops {
		for _, c := range j.h.Ops[i].Cmds {
			for _, key := range c.keys() {
				if r, _ := j.h.Suite.rule(key); r != g.rule {
					j.errs = append(j.errs, fmt.Errorf("%v: keys of several rules", &j.h.Ops[i]))
					return
				}
			}
		}
	}
	if g.rule.Check == "bank" {
		j.add(checkBank(j.h, g.keys, ops, g.rule))
		return
	}
	j.add(checkAppends(j.h, ops))
}

// model returns the model of a name in rules.
func (s *Suite) model(name string) (m Model, ok bool) {
	switch name {
	case "register":
		return Register(), true
	case "list":
		return List(), true
	case "hash":
		return Hash(), true
	case "set":
		return Set(), true
	case "sorted set":
		return SortedSet(), true
	case "stream":
		return Stream(), true
	case "expiry":
		return Expiry(s.TimeError), true
	case "lock":
		return Lock(s.TimeError), true
	}
	return Model{}, false
}

func (s *Suite) rule(key string) (Rule, bool) {
	for _, r := range s.Rules {
		if strings.HasPrefix(key, r.Prefix) {
			return r, true
		}
	}
	return Rule{}, false
}

// byKey gathers the operations of each key, the keys in the order of their
// first use.
func byKey(h *History) []keyOps {
	var all []keyOps
	place := make(map[string]int)
	for i := range h.Ops {
		for _, c := range h.Ops[i].Cmds {
			for _, key := range c.keys() {
				p, ok := place[key]
				if !ok {
					p = len(all)
					place[key] = p
					all = append(all, keyOps{key: key})
				}
				if ops := all[p].ops; len(ops) == 0 || ops[len(ops)-1] != i {
					all[p].ops = append(all[p].ops, i)
				}
			}
		}
	}
	return all
}
