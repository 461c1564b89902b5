package check

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Model is the meaning of the commands on one key.
type Model struct {
	name string
	// knows reports whether the model has a meaning for a command.
	knows func(args []string) bool
	model porcupine.Model
}

// The most that a search for an order can be asked for. Above it the time
// explodes; a workload takes a new key instead.
const (
	clientsMax = 10 // on one key, the final reader apart
	keyOpsMax  = 150
)

// searchTimeout bounds the search for the order of one key. Where many keys are
// hard, the time of all together is bounded by a share for each.
const (
	searchTimeout = 10 * time.Second
	searchBase    = time.Minute
	searchShare   = 250 * time.Millisecond
)

// picturesMax bounds the violations that are drawn: each takes a longer search.
const picturesMax = 5

// command is the meaning of one command: from a state and the arguments after
// the key to the next state, which shares nothing that changes with the old
// one, and the reply. A reply of KindNone says that these arguments have no
// meaning here, in whatever state.
type command[S any] struct {
	args int // how many follow the key; -n: at least n
	do   func(s S, args []string) (S, Reply)
}

// spec is a model in which a state and a command leave one way to go on.
type spec[S any] struct {
	name     string
	zero     S
	commands map[string]command[S]
	equal    func(a, b S) bool
}

// unordered are the commands whose reply is a set: the elements come in groups
// of so many, and the groups in any order.
var unordered = map[string]int{"HGETALL": 2, "SMEMBERS": 1}

func (m spec[S]) run(s S, args []string) (S, Reply) {
	c, ok := m.commands[args[0]]
	given := len(args) - 2
	if !ok || given != c.args && (c.args >= 0 || given < -c.args) {
		return s, Reply{}
	}
	next, reply := c.do(s, args[2:])
	return next, ordered(args, reply)
}

// ordered puts a reply without an order into one.
func ordered(args []string, r Reply) Reply {
	n := unordered[args[0]]
	if n == 0 || r.Kind != KindArray || len(r.Elems)%n != 0 {
		return nameless(r)
	}
	groups := slices.Collect(slices.Chunk(slices.Clone(r.Elems), n))
	slices.SortFunc(groups, func(a, b []Reply) int { return bytes.Compare([]byte(a[0].Str), []byte(b[0].Str)) })
	r.Elems = slices.Concat(groups...)
	return r
}

// step runs an operation. Replies that are known must be what the model says.
// If the outcome is unknown, reads under WATCH that do not hold any more mean
// that it was not applied.
func (m spec[S]) step(s S, op *Op) (bool, S) {
	before := s
	for _, c := range op.Cmds {
		var want Reply
		s, want = m.run(s, c.Args)
		if c.Reply.Kind != KindNone && !ordered(c.Args, c.Reply).Equal(want) {
			return op.Outcome == Unknown, before
		}
	}
	return true, s
}

// Model returns the model for porcupine.
func (m spec[S]) build() Model {
	return Model{
		name: m.name,
		knows: func(args []string) bool {
			_, reply := m.run(m.zero, args)
			return reply.Kind != KindNone
		},
		model: porcupine.Model{
			Init: func() any { return m.zero },
			Step: func(state, input, _ any) (bool, any) {
				return m.step(state.(S), input.(*Op))
			},
			Equal:             func(a, b any) bool { return m.equal(a.(S), b.(S)) },
			DescribeOperation: func(input, _ any) string { return input.(*Op).Describe() },
			DescribeState:     func(state any) string { return fmt.Sprintf("%q", state) },
		},
	}
}

// keyOps is all operations on one key.
type keyOps struct {
	key string
	ops []int // in the history
}

// search judges one key. An error says that the workload did not keep to what a
// search can do.
func (j *judge) search(k keyOps, m Model) ([]Violation, error) {
	ops, err := m.operations(j.h, k)
	if err != nil {
		return nil, err
	}
	for _, some := range guesses(ops) {
		if result, _ := j.decide(m, some); result == porcupine.Ok {
			return nil, nil
		}
	}
	result, timeout := j.decide(m, ops)
	switch result {
	case porcupine.Ok:
		return nil, nil
	case porcupine.Unknown:
		return []Violation{{Name: "undecided", Key: k.key, Ops: k.ops,
			Text: fmt.Sprintf("no order of %d operations was found or excluded in %v", len(ops), max(timeout, 0))}}, nil
	}
	v := Violation{Name: "not linearizable", Key: k.key, Ops: k.ops,
		Text: "no order of these operations, each between its call and its return, explains all replies (model " + m.name + ")"}
	if j.pictures++; j.pictures <= picturesMax {
		_, info := porcupine.CheckOperationsVerbose(m.model, ops, searchTimeout)
		var page bytes.Buffer
		if err := porcupine.Visualize(m.model, info, &page); err != nil {
			return nil, fmt.Errorf("key %s: draw the witness: %w", quote(k.key), err)
		}
		v.Page = page.Bytes()
	}
	return []Violation{v}, nil
}

// unknownFew is how many operations of unknown outcome a search has no trouble
// with.
const unknownFew = 5

// guesses are parts of the operations on a key that are quick to look at: an order
// in which operations of unknown outcome never happened is an order, too, and ten
// of them that nobody saw have millions of others.
func guesses(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
	seen := make(map[string]bool)
	without := func(skip func(op *Op) bool) []porcupine.Operation {
		return slices.DeleteFunc(slices.Clone(ops), func(o porcupine.Operation) bool {
			op := o.Input.(*Op)
			return op.Outcome == Unknown && skip(op)
		})
	}
	certain := without(func(*Op) bool { return true })
	if len(ops)-len(certain) <= unknownFew {
		return nil
	}
	for _, o := range certain {
		for _, c := range o.Input.(*Op).Cmds {
			c.Reply.collect(seen)
			for _, a := range c.Args {
				seen[a] = true
			}
		}
	}
	// One that writes a value which nobody read, or had the name of, did most likely not happen.
	likely := without(func(op *Op) bool {
		return slices.ContainsFunc(op.Cmds, func(c Cmd) bool {
			return slices.ContainsFunc(c.Args[1:], func(a string) bool { return !seen[a] })
		})
	})
	if parts = append(parts, certain); len(likely) > len(certain) && len(likely) < len(ops) {
		parts = append(parts, likely)
	}
	return parts
}

// decide looks for an order of operations, and says for how long it would have.
func (j *judge) decide(m Model, ops []porcupine.Operation) (porcupine.CheckResult, time.Duration) {
	timeout := min(searchTimeout, time.Until(j.end))
	if timeout <= 0 {
		return porcupine.Unknown, timeout
	}
	return porcupine.CheckOperationsTimeout(m.model, ops, timeout), timeout
}

// operations are those of a key that a search looks at: all but failed ones.
func (m *Model) operations(h *History, k keyOps) (ops []porcupine.Operation, err error) {
	clients := make(map[int]int) // numbered for the picture
	for _, i := range k.ops {
		op := &h.Ops[i]
		for _, c := range op.Cmds {
			if keys := c.keys(); len(keys) != 1 || keys[0] != k.key {
				return nil, fmt.Errorf("key %s: %v: model %s is of one key", quote(k.key), op, m.name)
			}
			if !m.knows(c.Args) {
				return nil, fmt.Errorf("key %s: %v: model %s has no such command", quote(k.key), op, m.name)
			}
		}
		if op.Outcome == Failed {
			continue
		}
		if _, ok := clients[op.Client]; !ok {
			clients[op.Client] = len(clients)
		}
		ops = append(ops, porcupine.Operation{ClientId: clients[op.Client], Input: op, Call: op.Call, Return: op.Return})
	}
	n := len(clients)
	if _, ok := clients[FinalReader]; ok {
		n--
	}
	if n > clientsMax || len(ops) > keyOpsMax {
		return nil, fmt.Errorf("key %s: %d operations of %d clients, at most %d of %d can be checked", quote(k.key), len(ops), n, keyOpsMax, clientsMax)
	}
	return ops, nil
}
