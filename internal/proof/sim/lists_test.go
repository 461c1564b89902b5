package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// lister changes a list of its own, mostly in its middle, and knows what it has to be.
type lister struct {
	t    *testing.T
	k    *Client
	r    *rand.Rand
	key  string
	list []string
	next int
}

// Lists have so many elements, not many more, when they are filled and while they change.
const listFill, listMost = 700, 900

func (w *lister) fresh() string {
	w.next++
	return fmt.Sprint(w.next)
}

func (w *lister) fill() {
	args := []string{"RPUSH", w.key}
	for range listFill {
		w.list = append(w.list, w.fresh())
		args = append(args, w.list[len(w.list)-1])
	}
	w.k.Must(args...)
}

// change returns a command, the list behind it, and what it answers.
func (w *lister) change() (args []string, list []string, answer string) {
	list, n := slices.Clone(w.list), len(w.list)
	length := func() string { return strconv.Itoa(len(list)) }
	if n < listFill/2 {
		val := w.fresh()
		list = append(list, val)
		return []string{"RPUSH", w.key, val}, list, length()
	}
	at := w.r.IntN(n)
	switch p := w.r.IntN(100); {
	case p < 35 && n < listMost:
		val, side := w.fresh(), "BEFORE"
		if w.r.IntN(2) == 0 {
			side, list = "AFTER", slices.Insert(list, at+1, val)
		} else {
			list = slices.Insert(list, at, val)
		}
		return []string{"LINSERT", w.key, side, w.list[at], val}, list, length()
	case p < 65:
		return []string{"LREM", w.key, "1", w.list[at]}, slices.Delete(list, at, at+1), "1"
	case p < 75:
		val := w.fresh()
		list[at] = val
		return []string{"LSET", w.key, strconv.Itoa(at), val}, list, "OK"
	case p < 82:
		val := w.fresh()
		list = slices.Insert(list, 0, val)
		return []string{"LPUSH", w.key, val}, list, length()
	case p < 90:
		return []string{"LPOP", w.key}, list[1:], w.list[0]
	case p < 97:
		return []string{"RPOP", w.key}, list[:n-1], w.list[n-1]
	default: // some from both ends
		return []string{"LTRIM", w.key, "5", "-4"}, list[5 : n-3], "OK"
	}
}

// work changes and reads until it is told to stop.
func (w *lister) work(stop *atomic.Bool) {
	defer w.k.Close()
	for !stop.Load() && !w.t.Failed() {
		time.Sleep(time.Duration(w.r.IntN(30)) * time.Millisecond)
		if w.r.IntN(4) == 0 {
			w.look()
			continue
		}
		args, after, answer := w.change()
		v, err := w.k.Do(args...)
		switch {
		case err != nil || respclient.Err(v) != nil:
			w.resolve(args, after)
		case Text(v) != answer:
			w.t.Errorf("%s %v answers %s, want %s", stamp(), args, Text(v), answer)
		default:
			w.list = after
		}
	}
}

// look reads a part of the list.
func (w *lister) look() {
	from := w.r.IntN(len(w.list))
	to := min(from+w.r.IntN(40), len(w.list)-1)
	v, err := w.k.Do("LRANGE", w.key, strconv.Itoa(from), strconv.Itoa(to))
	if err != nil || respclient.Err(v) != nil {
		w.k.At(1 + w.r.IntN(3))
		return
	}
	if got := texts(v); !slices.Equal(got, w.list[from:to+1]) {
		w.t.Errorf("%s %s from %d to %d is\n%v, want\n%v", stamp(), w.key, from, to, got, w.list[from:to+1])
	}
}

// resolve finds out whether a command whose answer is not known has been applied.
func (w *lister) resolve(args, after []string) {
	w.list = outcome(w.t, w.k, w.r, args, w.list, after, slices.Equal, func() ([]string, error) {
		v, err := w.k.Do("LRANGE", w.key, "0", "-1")
		return texts(v), errors.Join(err, respclient.Err(v))
	})
}

// outcome returns what a command has made of the client's own key, if it is not known
// whether it has been applied: what was there, or what is there after it. Its node may
// still be sending it: a command that the same key has to wait for behind it tells
// nothing, so it waits out what that node tries.
func outcome[V any](t *testing.T, k *Client, r *rand.Rand, args []string, was, after V, same func(a, b V) bool, read func() (V, error)) V {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		time.Sleep(7 * time.Second) // virtual, as all time of a simulation
		k.At(1 + r.IntN(3))
		got, err := read()
		switch {
		case err != nil:
			continue
		case same(got, was):
			return was
		case !same(got, after):
			t.Errorf("%s behind %.200v, whose answer is not known, there is\n%v, and there was\n%v", stamp(), args, got, was)
		}
		return after
	}
	t.Errorf("what is behind %.200v could not be read for a minute", args)
	return was
}

func texts(v resp.Value) []string {
	var all []string
	for _, e := range v.Elems {
		all = append(all, Text(e))
	}
	return all
}

// Lists are changed in their middle, so that they fall into runs as soon as all nodes know
// such, while nodes are renewed and leaders fail: nobody sees an element twice, in
// another place, or none.
func TestListsInRunsUnderFaults(t *testing.T) {
	const before = cluster.V4 - 1
	formats := map[int]cluster.Version{1: before, 2: before, 3: before}
	bubble(t, Options{Seed: env("TUTTI_SIM_SEED", 4700), Formats: formats, Version: before}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		var stop atomic.Bool
		var wg sync.WaitGroup
		listers := make([]*lister, 4)
		for i := range listers {
			w := &lister{t: t, k: c.Client("").At(i%3 + 1), r: rand.New(rand.NewPCG(c.opts.Seed, uint64(i))), key: fmt.Sprint("list:", i)}
			w.fill()
			listers[i] = w
			wg.Go(func() { w.work(&stop) })
		}
		c.renewAll(cluster.V4, c.inRuns)
		stop.Store(true)
		wg.Wait()
		c.WaitEqual(20 * time.Second)
		k := c.Client("")
		defer k.Close()
		for i := 1; i <= 3; i++ {
			for _, w := range listers {
				if got := texts(k.At(i).Must("LRANGE", w.key, "0", "-1")); !t.Failed() && !slices.Equal(got, w.list) {
					t.Errorf("node %d: %s is\n%v, want\n%v", i, w.key, got, w.list)
				}
			}
		}
		if n := c.inRuns(1); n == 0 {
			t.Error("no list has runs")
		}
	})
}

// inRuns counts the lists on node i that have several runs.
func (c operator) inRuns(i int) int {
	return countObjects(c, i, func(row []byte) bool { return row[0]&0x20 != 0 && row[1] == byte(cluster.V4) })
}

// countObjects counts the objects on node i whose row on its disk is one of those.
func countObjects(c operator, i int, is func(row []byte) bool) (n int) {
	c.t.Helper()
	c.eachRow(i, func(row, val []byte) {
		if keyspace.IsObject(row) && len(val) > 1 && is(val) {
			n++
		}
	})
	return n
}

// eachRow calls f with all rows on the disk of node i, which is stopped for that.
func (c operator) eachRow(i int, f func(row, val []byte)) {
	c.t.Helper()
	c.Stop(i)
	db := openState(c.Cluster, i)
	it, err := db.NewIter(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		f(it.Key(), it.Value())
	}
	if err := errors.Join(it.Close(), db.Close()); err != nil {
		c.t.Fatal(err)
	}
	c.Start(i)
}
