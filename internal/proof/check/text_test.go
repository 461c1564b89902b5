package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// history reads a history as it stands in the tables of these tests, an
// operation a line:
//
//	1-4 1: SET k v -> OK         client 1, called at 1, returned at 4
//	2-? 2: INCR k                unknown
//	3-5! 1: SET k w              failed
//	6-7 1: @GET k -> v; SET k w -> OK     a transaction after a read under WATCH
//	8-9 1/2: GET k -> nil        through node 2; client 1000 is the final reader
//
// Places are milliseconds, too. Replies are written as Reply.String does.
func history(t *testing.T, text string, rules ...Rule) *History {
	t.Helper()
	h := &History{Suite: Suite{Rules: rules}}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		head, rest, _ := strings.Cut(line, ": ")
		when, who, _ := strings.Cut(head, " ")
		op := interval(t, when)
		client, node, _ := strings.Cut(who, "/")
		op.Client = number(t, client)
		if op.Node = 1; node != "" {
			op.Node = number(t, node)
		}
		for part := range strings.SplitSeq(rest, "; ") {
			args, reply, told := strings.Cut(part, " -> ")
			c := Cmd{Args: strings.Fields(args)}
			c.Args[0], c.Watched = strings.TrimPrefix(c.Args[0], "@"), strings.HasPrefix(args, "@")
			if told {
				c.Reply = parseReply(t, reply)
			}
			op.Cmds = append(op.Cmds, c)
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

// transactions reads a history of appends and reads:
//
//	1-4 +x1 +y2 x[1,3] z[]       appends 1 to x and 2 to y, reads x and z
//	5-6 +x4:3                    was told that x has 3 elements now
//	5-6 @x[1] +x4                the read was under WATCH
func transactions(t *testing.T, text string) *History {
	t.Helper()
	h := &History{Suite: Suite{Rules: []Rule{{Check: "append"}}}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		op := interval(t, words[0])
		op.Client, op.Node = len(h.Ops)+1, 1
		for _, w := range words[1:] {
			if w, ok := strings.CutPrefix(w, "+"); ok {
				value, length, told := strings.Cut(w[1:], ":")
				c := Command("RPUSH", w[:1], value)
				if told {
					c.Reply = integer(int64(number(t, length)))
				}
				op.Cmds = append(op.Cmds, c)
				continue
			}
			w, watched := strings.CutPrefix(w, "@")
			elems := strings.FieldsFunc(w[1:], func(r rune) bool { return strings.ContainsRune("[,]", r) })
			op.Cmds = append(op.Cmds, Cmd{Args: []string{"LRANGE", w[:1], "0", "-1"}, Watched: watched, Reply: array(elems...)})
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

func interval(t *testing.T, text string) (op Op) {
	t.Helper()
	call, end, _ := strings.Cut(text, "-")
	op.Call = int64(number(t, call))
	end, failed := strings.CutSuffix(end, "!")
	switch {
	case end == "?":
		op.Outcome, op.Return, op.Why = Unknown, Never, "test"
	case failed:
		op.Outcome, op.Why = Failed, "test"
		fallthrough
	default:
		op.Return = int64(number(t, end))
		op.Until = time.Duration(op.Return) * time.Millisecond
	}
	op.At = time.Duration(op.Call) * time.Millisecond
	return op
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseReply(t *testing.T, text string) Reply {
	t.Helper()
	switch {
	case text == "nil":
		return null()
	case strings.HasPrefix(text, "-") && text[1] >= 'A':
		return failure(text[1:])
	case strings.HasPrefix(text, "("):
		return integer(int64(number(t, strings.Trim(text, "()"))))
	case strings.HasPrefix(text, "["):
		r := Reply{Kind: KindArray}
		for _, e := range elements(text[1 : len(text)-1]) {
			r.Elems = append(r.Elems, parseReply(t, e))
		}
		return r
	}
	return str(text)
}

// elements cuts the inside of an array at the blanks that stand in no array within.
func elements(text string) (list []string) {
	depth := 0
	for _, word := range strings.Fields(text) {
		if depth > 0 {
			list[len(list)-1] += " " + word
		} else {
			list = append(list, word)
		}
		depth += strings.Count(word, "[") - strings.Count(word, "]")
	}
	return list
}

// wantNames checks that a history shows exactly these anomalies.
func wantNames(t *testing.T, h *History, want ...string) {
	t.Helper()
	found, err := Check(h)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var all strings.Builder
	for i := range found {
		names = append(names, found[i].Name)
		fmt.Fprintln(&all, found[i].Story(h))
	}
	slices.Sort(names)
	slices.Sort(want)
	if names = slices.Compact(names); !slices.Equal(names, want) {
		t.Errorf("found %v, want %v\n%s", names, want, all.String())
	}
}
