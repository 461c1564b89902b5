package report

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tutti/internal/proof/check"
)

// evil is what a client may have sent.
const evil = "</title></script><script>alert(1)</script>\"'<b>\x00\xff{{.}}"

// bad is a run with faults, and a violation of each form: a picture, a cycle, a
// pair of operations. The drawing repeats it.
func bad(t *testing.T, ops int) Run {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	h := &check.History{Suite: check.Suite{Rules: []check.Rule{{Prefix: "r", Check: "register"}, {Prefix: "l", Check: "append"}, {Check: "counter"}}}}
	place, at := int64(0), time.Duration(0)
	do := func(client int, outcome check.Outcome, cmds ...check.Cmd) {
		place += 2
		took := time.Duration(200+r.IntN(3000)) * time.Microsecond
		op := check.Op{Client: client, Node: 1 + client%3, Cmds: cmds, Call: place, Return: place + 1, At: at, Until: at + took, Outcome: outcome}
		if outcome != check.OK {
			op.Why = evil
		}
		if outcome == check.Unknown {
			op.Return, op.Until = check.Never, op.Until+100*time.Millisecond
		}
		h.Ops = append(h.Ops, op)
		at += time.Duration(r.IntN(2000)) * time.Microsecond
	}
	say := func(s string) check.Reply { return check.Reply{Kind: check.KindString, Str: s} }
	number := func(n int) check.Reply { return check.Reply{Kind: check.KindInt, Int: int64(n)} }
	list := func(elems ...string) check.Reply {
		v := check.Reply{Kind: check.KindArray}
		for _, e := range elems {
			v.Elems = append(v.Elems, say(e))
		}
		return v
	}
	do(1, check.OK, check.Cmd{Args: []string{"SET", "r" + evil, evil}, Reply: say("OK")})
	for n := range ops {
		outcome := check.OK
		switch r.IntN(40) {
		case 0:
			outcome = check.Failed
		case 1:
			outcome = check.Unknown
		}
		c := check.Cmd{Args: []string{"INCR", fmt.Sprint("count", n)}}
		if outcome == check.OK {
			c.Reply = number(1)
		}
		do(1+r.IntN(8), outcome, c)
		do(check.FinalReader, check.OK, check.Cmd{Args: []string{"GET", fmt.Sprint("count", n)}, Reply: say(map[check.Outcome]string{check.OK: "1", check.Failed: "0", check.Unknown: "1"}[outcome])})
	}
	do(1, check.OK, check.Cmd{Args: []string{"GET", "r" + evil}, Reply: say("never written")})
	do(2, check.OK, check.Cmd{Args: []string{"RPUSH", "l" + evil, evil}, Reply: number(1)})
	do(3, check.OK, check.Cmd{Args: []string{"LRANGE", "l" + evil, "0", "-1"}, Reply: list()})
	do(4, check.OK, check.Cmd{Args: []string{"LRANGE", "l" + evil, "0", "-1"}, Reply: list(evil)})
	do(check.FinalReader, check.OK, check.Cmd{Args: []string{"GET", "count0"}, Reply: say("2")})
	for i := range 12 {
		from := at * time.Duration(i) / 13
		h.Faults = append(h.Faults, check.Span{Name: []string{"crash 2", "isolate 1", "slow disk 3 200ms", evil}[i%4], From: from, To: from + at/time.Duration(4+i)})
	}
	for i := range 5 {
		h.Leaders = append(h.Leaders, check.Leader{At: at * time.Duration(i) / 6, Shard: 1, Node: (i * 2) % 4, Term: uint64(i + 2)})
	}
	found, err := check.Check(h)
	if err != nil {
		t.Fatal(err)
	}
	return Run{Title: "TestSwarm/17 " + evil, Seed: 17, Commit: "0123abc", Command: "TUTTI_SIM_SEED=17 go test ./internal/proof/sim -run Swarm -count=10", Times: 10,
		History: h, Found: found, Err: errors.New("a problem: " + evil)}
}

func TestPageSaysAllAndExecutesNothing(t *testing.T) {
	r := bad(t, 2000)
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"not linearizable", "G-single-realtime", "count", "Stale read", r.Command, "10 times", "0123abc",
		"it had returned before the next was called", "leader of shard 1", "slow disk 3 200ms", `class="unknown`, `class="failed`, `class="ok guilty"`, "of 4006 operations"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "alert(1)\x00") || strings.Contains(page, "\x00") {
		t.Error("bytes of a client are part of the page")
	}
	if outside := regexp.MustCompile(`(src|href)="(?:https?:)?//`).FindString(page); outside != "" {
		t.Errorf("the page loads %s", outside)
	}
	picture := regexp.MustCompile(`srcdoc="([^"]*)"`).FindStringSubmatch(page)
	if picture == nil || html.UnescapeString(picture[1]) != string(r.Found[0].Page) {
		t.Error("the picture is not the one that the checker drew")
	}
	if strings.Contains(string(r.Found[0].Page), "<script>alert") {
		t.Error("bytes of a client are part of the picture")
	}
	if len(page) > 4<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// What is saved can be judged again.
func TestSave(t *testing.T) {
	r := bad(t, 10)
	dir := t.TempDir()
	path, err := Save(filepath.Join(dir, "new"), "Test/17: a", r)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "new", "Test_17__a.html"); path != want {
		t.Errorf("saved as %s, want %s", path, want)
	}
	f, err := os.Open(strings.TrimSuffix(path, ".html") + ".history.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := check.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := check.Check(h); err != nil || len(found) != len(r.Found) {
		t.Errorf("%d violations in what was saved (%v), %d before", len(found), err, len(r.Found))
	}
}

// A run without operations, or of one moment, has a page, too.
func TestPageOfNothing(t *testing.T) {
	for _, h := range []*check.History{{}, {Ops: []check.Op{{Cmds: []check.Cmd{check.Command("GET", "k")}, Call: 1, Return: 2}}}} {
		if err := Write(&bytes.Buffer{}, Run{History: h}); err != nil {
			t.Error(err)
		}
	}
}

// However much is wrong, the page stays one that a browser opens.
func TestPageIsBounded(t *testing.T) {
	r := bad(t, 5000)
	for range 500 {
		r.Found = append(r.Found, r.Found[:3]...)
	}
	r.Found[len(r.Found)-1].Name = "the last one"
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "<section"); n != foundMax {
		t.Errorf("%d violations in full", n)
	}
	if !strings.Contains(b.String(), "1483 more violations") || !strings.Contains(b.String(), "the last one") {
		t.Error("the others are not named")
	}
	if b.Len() > 8<<20 {
		t.Errorf("the page has %d bytes", b.Len())
	}
}
