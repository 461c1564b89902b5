package main

import (
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"

	"tutti/internal/proof/check"
)

// What etcd is asked for must mean what Redis answers: the list model of the
// checker would else accuse it wrongly.
func TestEvaluate(t *testing.T) {
	seen := map[string]etcdValue{"l": {text: "a b", set: true, rev: 7}, "n": {text: "4", set: true, rev: 8}}
	replies, puts := evaluate(seen, []check.Cmd{
		check.Command("RPUSH", "l", "c"), check.Command("LRANGE", "l", "0", "-1"), check.Command("LRANGE", "none", "0", "-1"),
		check.Command("INCR", "n"), check.Command("INCR", "n"), check.Command("GET", "n"), check.Command("GET", "none"), check.Command("SET", "s", "x"),
	})
	var got []string
	for _, r := range replies {
		got = append(got, r.String())
	}
	want := []string{"(3)", "[a b c]", "[]", "(5)", "(6)", "6", "nil", "OK"}
	if !slices.Equal(got, want) {
		t.Errorf("replies %q, want %q", got, want)
	}
	if len(puts) != 3 || puts["l"] != "a b c" || puts["n"] != "6" || puts["s"] != "x" {
		t.Errorf("puts %q", puts)
	}
	if _, puts := evaluate(seen, []check.Cmd{check.Command("GET", "n")}); len(puts) != 0 {
		t.Errorf("a read puts %q", puts)
	}
}

// The switch finds out who dialled it by the owner of the socket.
func TestOwnerOfSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	inode, err := socketInode(c.LocalAddr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	if !holdsSocket(os.Getpid(), inode) {
		t.Error("the own socket was not found")
	}
	if holdsSocket(os.Getppid(), inode) {
		t.Error("the parent has the socket")
	}
}

// Keys are replaced before a checker's search grows too large, counters never.
func TestKeyringBounds(t *testing.T) {
	k := newKeyring()
	r := rand.New(rand.NewPCG(1, 1))
	uses := make(map[string]int)
	for range 5000 {
		for _, kind := range []string{registerKeys, listKeys, counterKeys} {
			for _, key := range k.take(r, kind, 1) {
				uses[key.name]++
			}
		}
	}
	if len(uses) != len(k.all) {
		t.Errorf("%d keys were used, %d are known for the final reads", len(uses), len(k.all))
	}
	for name, n := range uses {
		if n > usesMax[name[:1]] {
			t.Errorf("%s was used %d times", name, n)
		}
	}
	if len(k.active[counterKeys]) != activeKeys[counterKeys] || uses[k.active[counterKeys][0].name] < 1000 {
		t.Errorf("counters were replaced")
	}
	doubtful := k.take(r, registerKeys, 1)
	for range keyDoubts {
		k.doubt(registerKeys, doubtful)
	}
	if slices.Contains(k.active[registerKeys], doubtful[0]) {
		t.Error("a key with many unknown outcomes stays in use")
	}
}

func TestFigureReached(t *testing.T) {
	tests := []struct {
		name string
		f    figure
		want bool
	}{
		{"below", figure{ValuesMs: []float64{5, 9}, GoalMs: 10, GoalOf: "max"}, true},
		{"max above", figure{ValuesMs: []float64{5, 11}, GoalMs: 10, GoalOf: "max"}, false},
		{"median below", figure{ValuesMs: []float64{5, 6, 11}, GoalMs: 10, GoalOf: "median"}, true},
		{"flapping", figure{ValuesMs: []float64{5}, GoalMs: 10, GoalOf: "max", MovesGoal: 1, MovesMax: 2}, false},
		{"ended early", figure{ValuesMs: []float64{5}, GoalMs: 10, GoalOf: "max", FirstError: "lost"}, false},
		{"never run", figure{GoalMs: 10, GoalOf: "max"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.f.finish(); tt.f.Reached != tt.want {
				t.Errorf("reached = %v", tt.f.Reached)
			}
		})
	}
}
