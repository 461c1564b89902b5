package main

import (
	"net"
	"strings"
	"testing"

	"tutti/internal/resp"
)

func numbers(list ...int64) (v resp.Value) {
	v.Kind = resp.KindArray
	for _, n := range list {
		v.Elems = append(v.Elems, resp.Value{Kind: resp.KindInt, Int: n})
	}
	return v
}

func TestScriptRaceSeesKeysApart(t *testing.T) {
	var r scriptRace
	r.look(numbers(3, 3, 3))
	if r.apart != 0 {
		t.Errorf("the same three times is seen as apart: %v", r.problems)
	}
	r.look(numbers(3, 3, 2))
	r.look(numbers(2, 3, 3))
	if r.apart != 2 || len(r.problems) != 2 {
		t.Errorf("seen apart %d times: %v", r.apart, r.problems)
	}
}

func TestStreamRunSeesWhatIsDeliveredAmiss(t *testing.T) {
	var s streamRun
	one, two := &streamConsumer{streamRun: &s, name: "one"}, &streamConsumer{streamRun: &s, name: "two"}
	one.deliver([]streamEntry{{"1-0", 1}, {"2-0", 2}, {"5-0", 5}})
	two.deliver([]streamEntry{{"3-0", 3}, {"4-0", 4}})
	if len(s.problems) > 0 {
		t.Fatalf("entries in order are taken amiss: %v", s.problems)
	}
	two.deliver([]streamEntry{{"5-0", 5}}) // which the other has
	one.deliver([]streamEntry{{"7-0", 7}, {"6-0", 6}})
	if len(s.problems) != 2 || !strings.Contains(s.problems[0], "entry 5 as new") || !strings.Contains(s.problems[1], "entry 6 after 7") {
		t.Errorf("got %v", s.problems)
	}
}

func TestHearSeesWhatIsMissing(t *testing.T) {
	messages := func(payloads ...string) (text string) {
		for _, p := range payloads {
			text += string(resp.AppendCommandStrings(nil, "message", messagesChannel, p))
		}
		return text
	}
	in, out := net.Pipe()
	defer out.Close()
	go func() {
		_, _ = in.Write([]byte(messages("0", "1", "3", "2")))
		in.Close()
	}()
	if n, problem := hear(newRESPConn(out)); n != 2 || !strings.Contains(problem, "in the place of message 2") {
		t.Errorf("%d were received: %s", n, problem)
	}
}

func TestPopsSeesWhoGotWhat(t *testing.T) {
	p := &pops{got: []string{"0", "1", "1", ""}, errs: make([]error, 4)}
	if problems := p.wait(); len(problems) != 2 || p.count() != 3 {
		t.Errorf("%d were served: %v", p.count(), problems)
	}
	p = &pops{got: []string{"1", "0"}, errs: make([]error, 2)}
	if problems := p.wait(); len(problems) > 0 {
		t.Errorf("whoever has an element of his own is taken amiss: %v", problems)
	}
}
