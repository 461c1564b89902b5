package keyspace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// listTrial is a list in a store beside a slice that should be the same.
type listTrial struct {
	t    *testing.T
	s    *rowStore
	r    *rand.Rand
	vals []string
	next int
}

func (l *listTrial) fresh() string {
	l.next++
	return fmt.Sprint("e", l.next)
}

// step changes list and slice in the same way.
func (l *listTrial) step(o *Object) {
	n, val := len(l.vals), l.fresh()
	switch op := l.r.IntN(12); {
	case n < 2 || op == 0:
		for range 1 + l.r.IntN(8) {
			val = l.fresh()
			o.PushTail([]byte(val))
			l.vals = append(l.vals, val)
		}
	case op == 1:
		o.PushHead([]byte(val))
		l.vals = slices.Insert(l.vals, 0, val)
	case op == 2:
		l.same("head", string(o.PopHead()), l.vals[0])
		l.vals = l.vals[1:]
	case op == 3:
		l.same("tail", string(o.PopTail()), l.vals[n-1])
		l.vals = l.vals[:n-1]
	case op == 4:
		i := l.r.IntN(n)
		o.SetIndex(i, []byte(val))
		l.vals[i] = val
	case op == 5 && l.r.IntN(4) == 0:
		start := l.r.IntN(1 + n/8)
		end := n - l.r.IntN(1+n/8)
		o.Trim(start, end)
		l.vals = slices.Clone(l.vals[start:end])
	case op <= 7:
		i := l.r.IntN(n)
		var at []int
		for ; i < n && len(at) < 1+l.r.IntN(6); i += 1 + l.r.IntN(3) {
			at = append(at, i)
		}
		o.Remove(at...)
		for _, i := range slices.Backward(at) {
			l.vals = slices.Delete(l.vals, i, i+1)
		}
	default:
		i := l.r.IntN(n + 1)
		o.Insert(i, []byte(val))
		l.vals = slices.Insert(l.vals, i, val)
	}
}

func (l *listTrial) same(what string, got, want string) {
	l.t.Helper()
	if got != want {
		l.t.Fatalf("%s is %q, want %q", what, got, want)
	}
}

// check reads the list in every way there is, and counts its rows.
func (l *listTrial) check(o *Object) {
	l.t.Helper()
	n := len(l.vals)
	if o == nil {
		if n > 0 {
			l.t.Fatalf("no list where %d elements should be", n)
		}
		return
	}
	if o.Len() != n {
		l.t.Fatalf("%d elements, want %d", o.Len(), n)
	}
	from := l.r.IntN(n)
	for _, reverse := range []bool{false, true} {
		i := from
		o.ListEach(from, reverse, func(val []byte) bool {
			l.same(fmt.Sprint("element ", i, " of ", n), string(val), l.vals[i])
			if reverse {
				i--
			} else {
				i++
			}
			return true
		})
		if reverse && i != -1 || !reverse && i != n {
			l.t.Fatalf("the walk from %d of %d ended at %d", from, n, i)
		}
	}
	for range 5 {
		i := l.r.IntN(n)
		l.same(fmt.Sprint("index ", i), string(o.Index(i)), l.vals[i])
	}
	if o.Packed() {
		return
	}
	rows := 0
	it := o.tx.Iter(subPrefix(nil, o.slot, o.id), prefixEnd(nil, subPrefix(nil, o.slot, o.id)))
	for ok := it.First(); ok; ok = it.Next() {
		rows++
	}
	it.Close()
	if o.runs != nil && o.runs.first.n+o.runs.last.n < o.count {
		n++
	}
	if rows != n {
		l.t.Fatalf("%d rows, want %d", rows, n)
	}
	if o.runs != nil && !apart(allRuns(o)) {
		l.t.Fatalf("runs %v", allRuns(o))
	}
}

func (l *listTrial) open(tx *Tx) *Object {
	if o := tx.Open(0, []byte("l")); o != nil {
		return o
	}
	return tx.New(0, []byte("l"), TypeList)
}

// TestListRuns does random things to lists and to slices.
func TestListRuns(t *testing.T) {
	var most int
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &listTrial{t: t, s: newRowStore(t), r: rand.New(rand.NewPCG(seed, 1))}
			size := []int{3, 60, 300, 3000}[seed%4]
			l.s.at(0, func(tx *Tx) {
				o := l.open(tx)
				for range size {
					l.vals = append(l.vals, l.fresh())
					o.PushTail([]byte(l.vals[len(l.vals)-1]))
				}
				o.Save()
			})
			for range 150 {
				l.s.at(0, func(tx *Tx) {
					for range 1 + l.r.IntN(4) {
						o := l.open(tx)
						for range 1 + l.r.IntN(2) {
							l.step(o)
						}
						o.Save()
						if o.runs != nil {
							most = max(most, 2+len(o.runs.inner))
						}
						l.check(tx.Open(0, []byte("l")))
					}
				})
				l.s.at(0, func(tx *Tx) { l.check(tx.Open(0, []byte("l"))) })
			}
			l.s.at(0, func(tx *Tx) {
				o := l.open(tx)
				o.CopyTo(0, []byte("{l}copy"))
				o.Delete()
				l.check(tx.Open(0, []byte("{l}copy")))
			})
			l.s.at(0, func(tx *Tx) {
				o := tx.Open(0, []byte("{l}copy"))
				l.check(o)
				l.check(o)
				tx.Open(0, []byte("{l}copy")).Delete()
			})
			type mark struct {
				slot uint16
				id   uint64
			}
			var marks []mark
			if err := Pending(l.s, 0, Slots, nil, func(slot uint16, id uint64) { marks = append(marks, mark{slot, id}) }); err != nil {
				t.Fatal(err)
			}
			l.s.at(0, func(tx *Tx) {
				for _, m := range marks {
					if gone, err := tx.PurgeTrash(m.slot, m.id, 1<<20); !gone || err != nil {
						t.Errorf("garbage %v: gone %v, %v", m, gone, err)
					}
				}
			})
			if got := l.s.rows(); got != "" {
				t.Errorf("rows are left: %s", got)
			}
		})
	}
	if most < 2*runsMin {
		t.Errorf("no list had more than %d runs", most)
	}
}

// TestListRunsMany removes elements from more places than a list may have runs, and from
// as many as it may.
func TestListRunsMany(t *testing.T) {
	for _, places := range []int{runsMax - 1, runsMax} {
		l := &listTrial{t: t, s: newRowStore(t), r: rand.New(rand.NewPCG(5, 5))}
		l.s.at(0, func(tx *Tx) {
			o := l.open(tx)
			for range 3*runsMax + 10 {
				l.vals = append(l.vals, l.fresh())
				o.PushTail([]byte(l.vals[len(l.vals)-1]))
			}
			o.Save()
		})
		writes := 0
		remove := func(at []int) {
			l.s.at(0, func(tx *Tx) {
				o := l.open(tx)
				o.Remove(at...)
				o.Save()
				tx.Effects(func(_, _ []byte) { writes++ }, func([]byte) {})
			})
			for _, i := range slices.Backward(at) {
				l.vals = slices.Delete(l.vals, i, i+1)
			}
			l.s.at(0, func(tx *Tx) { l.check(l.open(tx)) })
		}
		var at []int
		for i := range places {
			at = append(at, 5+3*i)
		}
		remove(at)
		if moved := writes > runsMax; moved != (places == runsMax) {
			t.Errorf("%d places: %d rows were written", places, writes)
		}
		remove([]int{len(l.vals) / 2})
	}
}

// TestListRunsMoveLittle inserts into a long list until it has as many runs as it should:
// no command writes more than a few of its rows, and the runs stay few.
func TestListRunsMoveLittle(t *testing.T) {
	const n = 20_000
	l := &listTrial{t: t, s: newRowStore(t), r: rand.New(rand.NewPCG(6, 6))}
	l.s.at(0, func(tx *Tx) { fill(tx, "l", TypeList, n) })
	sum, most, runs := 0, 0, 0
	for range 1000 {
		l.s.at(0, func(tx *Tx) {
			o := tx.Open(0, []byte("l"))
			o.Insert(l.r.IntN(o.Len()+1), []byte("new"))
			o.Save()
			rows := 0
			tx.Effects(func(_, _ []byte) { rows++ }, func([]byte) { rows++ })
			sum, most = sum+rows, max(most, rows)
			runs = len(allRuns(o))
		})
	}
	t.Logf("rows of an insert: %d on average, %d at most; %d runs", sum/1000, most, runs)
	if sum/1000 > n/50 || most > n/10 || runs > 2*141 { // 141 is the root of n
		t.Errorf("rows of an insert: %d on average, %d at most; %d runs", sum/1000, most, runs)
	}
}
