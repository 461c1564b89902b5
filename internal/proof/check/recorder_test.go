package check

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClassify(t *testing.T) {
	for text, want := range map[string]Meaning{
		"UNCERTAIN the leader of shard 1 left before answering. The write may or may not have been applied. Read before you retry.":            Perhaps,
		"UNCERTAIN shard 1 applied the command, but its reply was too large to keep through a leader change. It was applied; read its result.": Perhaps,
		"UNCERTAIN this node is stopping. The write may or may not have been applied. Ask another node.":                                       Perhaps,
		"CLUSTERDOWN shard 1 has had no leader for 3s. Not applied, safe to retry.":                                                            NotApplied,
		"BUSY shard 1 has too much waiting. Not applied, safe to retry.":                                                                       NotApplied,
		"NOSPACE the leader's disk is full. Not applied. Deletes and reads still work; make room on the disk.":                                 NotApplied,
		"ERR the command would write more than 16 MiB at once. Not applied. Split it into smaller ones.":                                       NotApplied,
		"CROSSSHARD the keys of this command live in several shards. Not applied. Use keys with one {hash tag}.":                               NotApplied,
		"EXECABORT Transaction discarded because of previous errors.":                                                                          NotApplied,
		"CLUSTERDOWN The cluster is down":                                   NotApplied,
		"READONLY You can't write against a read only replica.":             NotApplied,
		"WRONGTYPE Operation against a key holding the wrong kind of value": Answered,
		"ERR value is not an integer or out of range":                       Answered,
		"ERR unknown command 'GTE', with args beginning with: ":             Unexplained,
		"ERR syntax error": Unexplained,
	} {
		if got := Classify(failure(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
	for _, r := range []Reply{str("UNCERTAIN "), null(), integer(1), array("a")} {
		if got := Classify(r); got != Answered {
			t.Errorf("%v: %d", r, got)
		}
	}
}

// What the recorder makes of each way in which an operation may end.
func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(Suite{}, 0)
		set, get := Command("SET", "k", "v"), Command("GET", "k")
		swap := []Cmd{Watched(str("a"), "GET", "k"), Command("SET", "k", "v")}
		const uncertain, refused = "UNCERTAIN no answer", "BUSY waits. Not applied"
		for _, c := range []struct {
			name string
			end  func(Op) bool
			cmds []Cmd
			want Outcome
		}{
			{"answered", func(o Op) bool { return r.Answered(o, str("OK")) }, []Cmd{set}, OK},
			{"refused", func(o Op) bool { return r.Answered(o, failure(refused)) }, []Cmd{set}, Failed},
			{"uncertain", func(o Op) bool { return r.Answered(o, failure(uncertain)) }, []Cmd{set}, Unknown},
			{"uncertain read", func(o Op) bool { return r.Answered(o, failure(uncertain)) }, []Cmd{get}, Failed},
			{"strange", func(o Op) bool { return r.Answered(o, failure("ERR what")) }, []Cmd{set}, Unknown},
			{"not sent", func(o Op) bool { r.Lost(o, false, "refused"); return false }, []Cmd{set}, Failed},
			{"lost", func(o Op) bool { r.Lost(o, true, "reset"); return false }, []Cmd{set}, Unknown},
			{"lost read", func(o Op) bool { r.Lost(o, true, "reset"); return false }, []Cmd{get}, Failed},
			{"executed", func(o Op) bool { return r.Executed(o, array("OK")) }, swap, OK},
			{"key changed", func(o Op) bool { return r.Executed(o, null()) }, swap, Failed},
			{"refused", func(o Op) bool { return r.Executed(o, failure(refused)) }, swap, Failed},
			{"uncertain", func(o Op) bool { return r.Executed(o, failure(uncertain)) }, swap, Unknown},
			{"half answered", func(o Op) bool { return r.Executed(o, array()) }, swap, Unknown},
		} {
			op := r.Call(1, 2, append([]Cmd(nil), c.cmds...)...)
			time.Sleep(time.Millisecond)
			ok := c.end(op)
			got := r.h.Ops[len(r.h.Ops)-1]
			if got.Outcome != c.want || ok != (c.want == OK) {
				t.Errorf("%s: %v, %v", c.name, &got, ok)
			}
			if (got.Return == Never) != (c.want == Unknown) || got.Return <= got.Call || got.Until-got.At != time.Millisecond {
				t.Errorf("%s: called at %d, returned at %d, took %v", c.name, got.Call, got.Return, got.Until-got.At)
			}
			if c.want != OK && got.Cmds[len(got.Cmds)-1].Reply.Kind != KindNone {
				t.Errorf("%s: has a reply: %v", c.name, &got)
			}
		}
		open := r.Call(1, 2, set)
		h := r.History()
		if last := h.Ops[len(h.Ops)-1]; last.Outcome != Unknown || last.Call != open.Call {
			t.Errorf("an operation that never ended: %v", &last)
		}
		if len(h.Problems) != 2 {
			t.Errorf("problems: %q", h.Problems)
		}
		if n := h.Refused(); n != 5 {
			t.Errorf("%d refused", n)
		}
	})
}

func TestRecorderIsBounded(t *testing.T) {
	r := NewRecorder(Suite{Rules: []Rule{{Check: "register"}}}, 3)
	for range 5 {
		r.Answered(r.Call(1, 1, Command("GET", "k")), null())
	}
	h := r.History()
	if _, err := Check(h); err == nil || len(h.Ops) != 3 || !strings.Contains(err.Error(), "history is full") {
		t.Errorf("%d operations, %v", len(h.Ops), err)
	}
}
