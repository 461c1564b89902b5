package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// absent is the state of a key that does not exist.
const absent = "nil"

// registers is what a string may do; its state is the value.
var registers = porcupine.Model{
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		s, op, out := state.(string), input.(Op), output.(Op)
		is := func(want string) bool { return out.Unknown || out.Out == want }
		switch op.Args[0] {
		case "GET":
			return is(s), s
		case "SET":
			return is("OK"), op.Args[2]
		case "SETNX":
			if s == absent {
				return is("1"), op.Args[2]
			}
			return is("0"), s
		case "DEL":
			if s == absent {
				return is("0"), s
			}
			return is("1"), absent
		case "INCR":
			s = plusOne(s)
			return is(s), s
		case "INCR+GET":
			s = plusOne(s)
			return is("[" + s + " " + s + "]"), s
		case "GET+GET":
			return is("[" + s + " " + s + "]"), s
		case "SWAP":
			if out.Out == absent { // somebody changed it since it was read
				return true, s
			}
			if s != op.Args[2] {
				return out.Unknown, s
			}
			return is("[OK]"), op.Args[3]
		}
		panic("no model of " + op.Args[0])
	},
	DescribeOperation: describe,
}

func plusOne(s string) string {
	n := 0
	if s != absent {
		n, _ = strconv.Atoi(s)
	}
	return strconv.Itoa(n + 1)
}

// lists is what a list may do; its state is the elements with a blank each.
var lists = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		s, op, out := state.(string), input.(Op), output.(Op)
		is := func(want string) bool { return out.Unknown || out.Out == want }
		switch op.Args[0] {
		case "LRANGE":
			return is("[" + strings.TrimSuffix(s, " ") + "]"), s
		case "RPUSH":
			s += op.Args[2] + " "
			return is(strconv.Itoa(strings.Count(s, " "))), s
		case "LPOP":
			head, rest, ok := strings.Cut(s, " ")
			if !ok {
				return is("nil"), ""
			}
			return is(head), rest
		}
		panic("no model of " + op.Args[0])
	},
	DescribeOperation: describe,
}

func describe(input, output any) string {
	o := output.(Op)
	if o.Unknown {
		o.Out = "?"
	}
	return strings.Join(o.Args, " ") + " -> " + o.Out
}

const checkTimeout = 10 * time.Second

// check judges a history. It runs outside of the bubble, on real time.
func check(t *testing.T, h *History) {
	t.Helper()
	for _, p := range h.Problems {
		t.Errorf("unexplained reply: %s", p)
	}
	keys := make(map[string][]porcupine.Operation)
	for _, op := range h.Ops {
		keys[op.Key] = append(keys[op.Key], porcupine.Operation{ClientId: op.Client, Input: op, Output: op, Call: op.Call, Return: op.Return})
	}
	for key, ops := range keys {
		model := registers
		if key[0] == 'l' {
			model = lists
		}
		switch porcupine.CheckOperationsTimeout(model, ops, checkTimeout) {
		case porcupine.Illegal:
			t.Errorf("key %s is not linearizable:\n%s", key, story(ops))
		case porcupine.Unknown:
			t.Errorf("key %s: %d operations could not be checked in %v", key, len(ops), checkTimeout)
		}
	}
	t.Logf("%d operations on %d keys, %d refused, %d unknown %v", len(h.Ops), len(keys), h.Refused, h.Unknown, h.Texts)
}

func story(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintln(&b, o.Input.(Op))
	}
	return b.String()
}
