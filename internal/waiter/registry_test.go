package waiter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/group"
)

func add(r *Registry, node, seq uint64, kind string, topics ...string) *Waiter {
	s := group.SessionID(cluster.NodeID(node), 1)
	w := &Waiter{ID: ID{s, seq}, Kind: kind}
	var list [][]byte
	for _, t := range topics {
		list = append(list, []byte(t))
	}
	r.Add(w, 5, list)
	return w
}

// line walks along a topic and names who is met.
func lineOf(r *Registry, topic string) (seqs []uint64) {
	walk := r.Walk(topic, 0)
	for w := walk.Next(); w != nil; w = walk.Next() {
		seqs = append(seqs, w.Seq)
	}
	return seqs
}

func TestLine(t *testing.T) {
	r := New()
	first := add(r, 1, 1, "BLPOP", "a", "b")
	add(r, 2, 2, "BZPOPMIN", "a")
	add(r, 1, 3, "BLPOP", "a")
	r.Keep()
	if got := lineOf(r, "a"); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("a: %v", got)
	}
	walk := r.Walk("a", 0)
	walk.Next()
	walk.Over("BLPOP")
	if w := walk.Next(); w == nil || w.Seq != 2 {
		t.Errorf("after the end of a kind: %v", w)
	}
	if w := walk.Next(); w != nil {
		t.Errorf("and then %v", w)
	}
	r.Remove(first)
	if r.Awaited([]byte("b")) || !slices.Equal(lineOf(r, "a"), []uint64{2, 3}) {
		t.Errorf("without the first: %v", lineOf(r, "a"))
	}
	r.Undo()
	if got := lineOf(r, "a"); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("undone: %v", got)
	}
}

// TestWalkGoesOn: a walk that was broken off goes on behind whom it met last, whatever
// became of him.
func TestWalkGoesOn(t *testing.T) {
	r := New()
	for seq := range uint64(4) {
		add(r, 1, seq+1, []string{"XREAD", "BLPOP"}[seq%2], "a")
	}
	walk := r.Walk("a", 0)
	walk.Next()
	met := walk.Next()
	r.Remove(met)
	walk = r.Walk("a", met.Order)
	for _, want := range []uint64{3, 4} {
		if w := walk.Next(); w == nil || w.Seq != want {
			t.Errorf("%+v, want %d", w, want)
		}
	}
	if w := walk.Next(); w != nil {
		t.Errorf("and then %+v", w)
	}
}

// TestPlace brings waiters to another leader, the later ones first: they keep
// their places, before those who come newly.
func TestPlace(t *testing.T) {
	r := New()
	r.Add(&Waiter{ID: ID{1, 9}, Kind: "BLPOP"}, 6, [][]byte{[]byte("a")})
	for _, w := range []*Waiter{{ID: ID{1, 2}, Order: 5<<32 | 2, Kind: "BLPOP"}, {ID: ID{2, 7}, Order: 5<<32 | 1, Kind: "BLPOP"}} {
		r.Add(w, 6, [][]byte{[]byte("a")})
	}
	if got := lineOf(r, "a"); !slices.Equal(got, []uint64{7, 2, 9}) {
		t.Errorf("%v", got)
	}
	again := &Waiter{ID: ID{1, 9}, Kind: "BLPOP"} // a repetition
	r.Add(again, 6, [][]byte{[]byte("a")})
	if got := lineOf(r, "a"); !slices.Equal(got, []uint64{7, 2, 9}) || r.Len() != 3 {
		t.Errorf("repeated: %v, %d", got, r.Len())
	}
}

// TestRound: what a node says from before it has begun to register anew is refused,
// and those of before are gone.
func TestRound(t *testing.T) {
	r := New()
	w := add(r, 1, 1, "BLPOP", "a")
	r.Keep()
	s := w.Session
	if !r.Enter(s, 0) || !r.Enter(s, 2) || r.Enter(s, 1) || !r.Stale(s, 1) || r.Stale(s, 2) {
		t.Error("rounds")
	}
	if r.Len() != 0 {
		t.Error("a waiter of an older round is there")
	}
	r.EndBefore(group.SessionID(1, 2))
	if r.Stale(s, 1) {
		t.Error("an ended session is known")
	}
}

// TestSilence: who can't be told is passed over until he can.
func TestSilence(t *testing.T) {
	r := New()
	add(r, 1, 1, "BLPOP", "a")
	add(r, 2, 2, "BLPOP", "a")
	r.Silence(1, true)
	if got := lineOf(r, "a"); !slices.Equal(got, []uint64{2}) {
		t.Errorf("silent: %v", got)
	}
	if back := r.Silence(1, false); !slices.Equal(back, []string{"a"}) || r.Silence(1, false) != nil {
		t.Errorf("back: %v", back)
	}
	if got := lineOf(r, "a"); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("heard: %v", got)
	}
}

// TestRandom compares the registry with a list, through additions, removals and
// evaluations that come to nothing.
func TestRandom(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := New()
		kept, now := map[ID]*Waiter{}, map[ID]*Waiter{}
		for step := range 60 {
			switch rnd.IntN(5) {
			case 0, 1:
				w := &Waiter{ID: ID{rnd.Uint64N(3), rnd.Uint64N(10)}, Kind: fmt.Sprint(rnd.IntN(2))}
				r.Add(w, 7, [][]byte{{'a' + byte(rnd.IntN(3))}, {'a' + byte(rnd.IntN(3))}})
				now[w.ID] = w
			case 2:
				if w := r.Find(ID{rnd.Uint64N(3), rnd.Uint64N(10)}); w != nil {
					r.Remove(w)
					delete(now, w.ID)
				}
			case 3:
				r.Keep()
				kept = map[ID]*Waiter{}
				for id, w := range now {
					kept[id] = w
				}
			case 4:
				r.Undo()
				now = map[ID]*Waiter{}
				for id, w := range kept {
					now[id] = w
				}
			}
			want := map[string][]*Waiter{}
			for _, w := range now {
				for _, topic := range w.topics {
					want[topic] = append(want[topic], w)
				}
			}
			for _, topic := range []string{"a", "b", "c"} {
				slices.SortFunc(want[topic], byOrder)
				var seqs []uint64
				for _, w := range want[topic] {
					seqs = append(seqs, w.Seq)
				}
				if got := lineOf(r, topic); !slices.Equal(got, seqs) || r.Awaited([]byte(topic)) != (len(seqs) > 0) {
					t.Fatalf("seed %d step %d: %s is %v, want %v", seed, step, topic, got, seqs)
				}
			}
			if r.Len() != len(now) || len(r.IDs()) != len(now) {
				t.Fatalf("seed %d step %d: %d waiters, want %d", seed, step, r.Len(), len(now))
			}
		}
	}
}
