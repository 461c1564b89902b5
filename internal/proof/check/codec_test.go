package check

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
)

const sample = `
	1-4 1: SET k v -> OK
	2-5! 2/2: SET k w
	3-? 3: INCR n
	6-7 1/3: @GET k -> v; SET k x -> OK; INCR n -> (1)
	8-9 1000: LRANGE l 0 -1 -> [a b nil -ERR [(-3)]]`

func TestHistoryIsReadAsItWasWritten(t *testing.T) {
	h := history(t, sample, Rule{Prefix: "k", Check: "register"}, Rule{Prefix: "b", Check: "bank", Total: 5, Negative: true})
	h.Suite.FinalNodes, h.Suite.TimeError = []int{1, 2}, TimeError{Early: Slack{5, 0.5}, Late: Slack{Fixed: 6}}
	h.Ops[0].Cmds[0].Args[1] = "\x00\xff<script>\n"
	h.Ops[0].Cmds[0].Reply = str("\xfe\u2028")
	h.Ops[1].Why = "\xf0 broke"
	h.Faults = []Span{{"crash 1", 5, 7}}
	h.Leaders = []Leader{{At: 5, Shard: 1, Node: 2, Term: 3}}
	h.Problems = []string{"strange"}
	var b bytes.Buffer
	if err := Encode(&b, h); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, h) {
		t.Errorf("read\n%+v\nwritten\n%+v", got, h)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const first = `{"tutti_history":1,"suite":{}}` + "\n"
	for name, text := range map[string]string{
		"other version": `{"tutti_history":2,"suite":{}}`,
		"no suite":      `{"tutti_history":1}`,
		"no commands":   first + `{"op":{"client":1,"call":1,"return":2,"outcome":"ok","cmds":[]}}`,
		"no name":       first + `{"op":{"client":1,"call":1,"return":2,"outcome":"ok","cmds":[{"args":[]}]}}`,
		"back in time":  first + `{"op":{"client":1,"call":3,"return":2,"outcome":"ok","cmds":[{"args":["GET","k"]}]}}`,
		"other outcome": first + `{"op":{"client":1,"call":1,"return":2,"outcome":"good","cmds":[{"args":["GET","k"]}]}}`,
		"nested reply":  first + `{"op":{"client":1,"call":1,"return":2,"outcome":"ok","cmds":[{"args":["GET","k"],"reply":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}]}}`,
		"unknown field": first + `{"oop":{}}`,
		"cut off":       first + `{"op":{"client":1,`,
	} {
		if _, err := Decode(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	if err := Encode(&b, history(&testing.T{}, sample, Rule{Check: "register"})); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"tutti_history":1,"suite":{"Rules":[{"Check":"append"}]}}
{"op":{"client":1,"node":1,"call":1,"outcome":"unknown","cmds":[{"args":["RPUSH","k",{"base64":"/w=="}]}]}}
{"op":{"client":2,"node":1,"call":2,"return":3,"outcome":"ok","cmds":[{"args":["LRANGE","k","0","-1"],"reply":[{"base64":"/w=="}]}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := Encode(&b, h); err != nil {
			t.Fatal(err)
		}
		again, err := Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		var c bytes.Buffer
		if err := Encode(&c, again); err != nil {
			t.Fatal(err)
		}
		var first bytes.Buffer
		_ = Encode(&first, h)
		if !bytes.Equal(first.Bytes(), c.Bytes()) {
			t.Errorf("first\n%s\nagain\n%s", first.Bytes(), c.Bytes())
		}
		if len(h.Ops) <= 6 {
			_, _ = Check(h) // must not panic, whatever it says
		}
	})
}

// A history that a failed run has left is judged again:
//
//	TUTTI_HISTORY=run.history.jsonl go test ./internal/proof/check -run SavedHistory -v
func TestSavedHistory(t *testing.T) {
	name := os.Getenv("TUTTI_HISTORY")
	if name == "" {
		name = "testdata/stale.history.jsonl"
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	found, err := Check(h)
	if err != nil {
		t.Error(err)
	}
	if os.Getenv("TUTTI_HISTORY") == "" {
		if len(found) != 1 || found[0].Name != "not linearizable" || len(found[0].Page) == 0 {
			t.Errorf("found %v", found)
		}
		return
	}
	for i := range found {
		t.Error(found[i].Story(h))
	}
	t.Logf("%d operations, %d unknown, %d refused", len(h.Ops), h.Count(Unknown), h.Refused())
}
