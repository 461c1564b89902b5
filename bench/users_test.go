package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tutti/internal/resp"
)

// ana is a user who may write, then only read, then has another password, is deleted and made
// again, and at last asked for what nobody knows whether it came about.
func ana() *account {
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return &account{name: "ana", changes: []change{
		{rights{mayWrite, "p1", 1}, s(10), s(11), changed},
		{rights{mayRead, "p1", 1}, s(20), s(21), changed},
		{rights{mayWrite, "p1", 1}, s(22), s(23), unchanged},
		{rights{mayRead, "p2", 1}, s(30), s(31), halfDone},
		{rights{mayRead, "p2", 1}, s(32), s(33), changed},
		{rights{gone, "p2", 1}, s(40), s(41), changed},
		{rights{mayRead, "p2", 2}, s(50), s(51), changed},
		{rights{mayNothing, "p2", 2}, s(60), s(61), doubtful},
	}}
}

// Each case is one attempt: what it is, from and until when, behind a login, and what it
// must be taken for.
func TestUsersJudge(t *testing.T) {
	const open = "the connection of a user that is gone, or of an old password, is open"
	const through = "let through by rights that are gone"
	const refusal = "denied though the right was given"
	tests := []struct {
		name     string
		password string
		in       float64 // when it logged in
		what     string
		from, to float64
		answer   answer
		want     string // no violation
	}{
		{"before there is a user", "p1", 5, tryRead, 6, 7, done, through},
		{"a write", "p1", 12, tryWrite, 13, 14, done, ""},
		{"denied a write", "p1", 12, tryWrite, 13, 14, denied, refusal},
		{"a write while the right goes", "p1", 12, tryWrite, 19, 20.5, done, ""},
		{"a write that begins while the right goes", "p1", 12, tryWrite, 20.5, 25, done, ""},
		{"denied while the right goes", "p1", 12, tryTransaction, 19, 20.5, denied, ""},
		{"a write without the right", "p1", 12, tryWrite, 21.5, 22, done, through},
		{"a write by a right that was not given", "p1", 12, tryWrite, 24, 25, done, through},
		{"a read goes on", "p1", 12, tryRead, 24, 25, done, ""},
		{"an old connection outlives the password", "p1", 12, tryRead, 34, 35, done, ""},
		{"a login with the old password reaches data", "p1", 34, tryRead, 35, 36, done, through},
		{"while it is not confirmed both will do", "p1", 31.5, tryRead, 31.6, 31.7, done, ""},
		{"the connection of one that was deleted", "p2", 35, tryRead, 42, 43, undecided, ""},
		{"it is refused and not closed", "p2", 35, tryRead, 42, 43, denied, open},
		{"it is refused while there is a fault", "p2", 35, tryRead, 102, 103, denied, ""},
		{"it is another one", "p2", 35, tryRead, 52, 53, done, through},
		{"that one itself", "p2", 52, tryRead, 53, 54, done, ""},
		{"what is not known may be so", "p2", 52, tryRead, 70, 71, denied, ""},
		{"or so", "p2", 52, tryRead, 70, 71, done, ""},
		{"but it may not be more", "p2", 52, tryWrite, 70, 71, done, through},
		{"a node's own answer", "p1", 12, tryLocal, 13, 14, denied, refusal},
		{"in a fault a node's own answer may be old", "p2", 35, tryLocal, 102, 103, done, ""},
		{"a login", "p2", 0, tryLogin, 34, 35, done, ""},
		{"a login with an old password", "p1", 0, tryLogin, 34, 35, done, "let in with a password that is gone"},
		{"in a fault it reaches nothing", "p1", 0, tryLogin, 102, 103, done, ""},
		{"a login is refused", "p2", 0, tryLogin, 34, 35, denied, "not let in with its password"},
		{"also in a fault", "p2", 0, tryLogin, 52, 53, denied, "not let in with its password"},
		{"a lost connection says nothing", "p1", 12, tryRead, 34, 35, lost, ""},
	}
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := &login{of: ana(), password: tt.password, asked: at(tt.in), end: at(tt.in)}
			x := &attempt{login: l, what: tt.what, asked: at(tt.from), end: at(tt.to), answer: tt.answer}
			j := judgeUsers([]*attempt{x}, []span{{"kill", at(100), at(101)}})
			if got := strings.Join(slices.Sorted(maps.Keys(j.found)), ", "); got != tt.want {
				t.Errorf("found %q, want %q: %v", got, tt.want, j.texts)
			}
		})
	}
}

// Reads are held to the rights as writes are: bo may read, then nothing, is not given the right
// back by a change that was not applied, and is by the next.
func TestUsersJudgeSeesReads(t *testing.T) {
	at := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	bo := &account{name: "bo", changes: []change{
		{rights{mayRead, "p", 1}, at(10), at(11), changed},
		{rights{mayNothing, "p", 1}, at(20), at(21), changed},
		{rights{mayRead, "p", 1}, at(30), at(31), unchanged},
		{rights{mayRead, "p", 1}, at(40), at(41), changed},
	}}
	const through = "let through by rights that are gone"
	for _, tt := range []struct {
		name     string
		from, to float64
		answer   answer
		want     string
	}{
		{"by the right", 12, 13, done, ""},
		{"denied while it is there", 12, 13, denied, "denied though the right was given"},
		{"as it goes", 19, 20.5, done, ""},
		{"begun as it goes", 20.5, 25, done, ""},
		{"denied as it goes", 19, 20.5, denied, ""},
		{"when it is gone", 21.1, 21.2, done, through},
		{"when it is gone, through a node with a fault", 22.5, 22.6, done, through},
		{"denied when it is gone", 22, 23, denied, ""},
		{"not decided when it is gone", 22, 23, undecided, ""},
		{"by a change that was not applied", 32, 33, done, through},
		{"as it comes back", 39, 40.5, done, ""},
		{"when it is back", 42, 43, done, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &login{of: bo, password: "p", asked: at(11.5), end: at(11.5)}
			x := &attempt{login: l, what: tryRead, asked: at(tt.from), end: at(tt.to), answer: tt.answer}
			j := judgeUsers([]*attempt{x}, []span{{metaCut, at(22.4), at(22.8)}})
			if got := strings.Join(slices.Sorted(maps.Keys(j.found)), ", "); got != tt.want {
				t.Errorf("found %q, want %q: %v", got, tt.want, j.texts)
			}
		})
	}
}

// Who is told that a write is denied must find nothing of it.
func TestDeniedWriteLeavesNothing(t *testing.T) {
	l := &login{of: ana(), password: "p1", asked: 22 * time.Second, end: 22 * time.Second}
	tried := func(what string, a answer, value string) *attempt {
		return &attempt{login: l, what: what, asked: 25 * time.Second, end: 26 * time.Second, answer: a, value: value}
	}
	all := []*attempt{tried(tryWrite, denied, "v1"), tried(tryRead, done, "v2"), tried(tryWrite, lost, "v2")}
	if j := judgeUsers(all, nil); len(j.found) > 0 {
		t.Errorf("found %v", j.texts)
	}
	if j := judgeUsers(append(all, tried(tryRead, done, "v1")), nil); j.found["what was denied is there"] != 1 {
		t.Errorf("found %v", j.found)
	}
}

// A SET behind a denied MULTI is a write by itself, as with Redis, where the rights came in
// between (seed 1796001679256222746 had accused that).
func TestWriteBehindDeniedMulti(t *testing.T) {
	simple := func(s string) resp.Value { return resp.Value{Kind: resp.KindSimple, Str: []byte(s)} }
	failed := func(s string) resp.Value { return resp.Value{Kind: resp.KindError, Str: []byte(s)} }
	denied, ok, queued := failed("NOPERM no"), simple("OK"), simple("QUEUED")
	for _, tt := range []struct {
		name    string
		replies []resp.Value
		want    bool
	}{
		{"all denied", []resp.Value{denied, denied, failed("ERR EXEC without MULTI")}, false},
		{"the write alone", []resp.Value{denied, ok, failed("ERR EXEC without MULTI")}, true},
		{"denied within", []resp.Value{ok, denied, failed("EXECABORT")}, false},
		{"denied at the end", []resp.Value{ok, queued, denied}, false},
		{"a lost connection", nil, false},
	} {
		if got := ranAlone(tt.replies); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What comes of a change is told by the words of the answer.
func TestFateOfChange(t *testing.T) {
	for text, want := range map[string]fate{
		"OK": changed, "1": changed,
		"UNCERTAIN the users were changed, but shard 2 has not confirmed that it goes by them. Repeat the command to be sure.": halfDone,
		"CLUSTERDOWN shard 0 has no majority that answers. Not applied, safe to retry.":                                        unchanged,
		"UNCERTAIN no answer. It may have been applied.":                                                                       doubtful,
	} {
		if got := fateOf(text, nil); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := fateOf("", context.DeadlineExceeded); got != doubtful {
		t.Errorf("a lost connection is %q", got)
	}
}

// A sample of what bench users does for minutes: real processes, which are killed and cut off.
func TestUsersChangeOnRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	l := tuttiLab(t)
	r := &usersReport{Nodes: 3, Seed: uint64(time.Now().UnixNano()), Faults: map[string]int{}}
	if err := r.run(t.Context(), l, time.Second); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != "ok" {
		logLogs(t, l)
		t.Errorf("seed %d: %s\n%s\n%s", r.Seed, r.Verdict, strings.Join(r.Texts, "\n"), strings.Join(r.Problems, "\n"))
	}
	if r.Changes[changed] == 0 || len(r.Faults) == 0 {
		t.Errorf("nothing has happened: %v, %v", r.Changes, r.Faults)
	}
}
