package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Suite says what judges which keys. It travels with the history.
type Suite struct {
	// Rules are looked through from the first to the last; the first whose
	// prefix fits judges a key. A key without a rule is an error.
	Rules []Rule
	// FinalNodes are those through which every key must have been read at the
	// end. Empty: no final reads are asked for.
	FinalNodes []int `json:",omitempty"`
}

// Rule gives the keys with a prefix to a checker.
type Rule struct {
	Prefix string
	// Check is "register" or "list".
	Check string
}

// Violation is something that the store must not do.
type Violation struct {
	Name string // of the anomaly, such as G1c
	Key  string // empty: several
	Text string // in words
	Ops  []int  // the witness: places in History.Ops
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
	slices.SortFunc(ops, func(a, b int) int { return int(h.Ops[a].Call - h.Ops[b].Call) })
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
	var found []Violation
	var errs []error
	for _, p := range h.Problems {
		errs = append(errs, errors.New(p))
	}
	for _, k := range byKey(h) {
		rule, ok := h.Suite.rule(k.key)
		if !ok {
			errs = append(errs, fmt.Errorf("key %s: no rule of the suite judges it", quote(k.key)))
			continue
		}
		model, ok := models[rule.Check]
		if !ok {
			errs = append(errs, fmt.Errorf("key %s: no checker %q", quote(k.key), rule.Check))
			continue
		}
		v, err := linearizable(h, k, model())
		if err != nil {
			errs = append(errs, err)
		}
		if v != nil {
			found = append(found, *v)
		}
	}
	return found, errors.Join(errs...)
}

// models by their names in rules.
var models = map[string]func() Model{"register": Register, "list": List}

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
