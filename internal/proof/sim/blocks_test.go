package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/proof/respclient"
)

// trimmer changes a long stream of its own, mostly at its head, and knows what it has to be.
type trimmer struct {
	t    *testing.T
	k    *Client
	r    *rand.Rand
	key  string
	ids  []int // of entries n-0
	last int
}

// A stream has so many entries at least: it counts them by blocks, if it may.
const trimmerLeast, trimmerMost = 9000, 16_000

const addMany = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('XADD', KEYS[1], i, 'n', i) end return redis.call('XLEN', KEYS[1])"

// change returns a command, the entries behind it, and what it answers.
func (w *trimmer) change() (args []string, ids []int, answer string) {
	n := len(w.ids)
	p := w.r.IntN(100)
	switch {
	case n < trimmerLeast || p < 40 && n < trimmerMost:
		ids = slices.Clone(w.ids)
		first := w.last + 1 + w.r.IntN(3)
		w.last = first + 200 + w.r.IntN(2500)
		for id := first; id <= w.last; id++ {
			ids = append(ids, id)
		}
		return []string{"EVAL", addMany, "1", w.key, strconv.Itoa(first), strconv.Itoa(w.last)}, ids, strconv.Itoa(len(ids))
	case p < 60:
		keep := n - w.r.IntN(n/3)
		return []string{"XTRIM", w.key, "MAXLEN", strconv.Itoa(keep)}, w.ids[n-keep:], strconv.Itoa(n - keep)
	case p < 80:
		at := w.r.IntN(n / 3)
		return []string{"XTRIM", w.key, "MINID", strconv.Itoa(w.ids[at])}, w.ids[at:], strconv.Itoa(at)
	}
	at, some := w.r.IntN(n-100), 1+w.r.IntN(100)
	args = []string{"XDEL", w.key}
	for _, id := range w.ids[at : at+some] {
		args = append(args, strconv.Itoa(id))
	}
	return args, slices.Delete(slices.Clone(w.ids), at, at+some), strconv.Itoa(some)
}

// work changes until it is told to stop.
func (w *trimmer) work(stop *atomic.Bool) {
	defer w.k.Close()
	for !stop.Load() && !w.t.Failed() {
		time.Sleep(time.Duration(w.r.IntN(300)) * time.Millisecond)
		args, after, answer := w.change()
		v, err := w.k.Do(args...)
		switch {
		case err != nil || respclient.Err(v) != nil:
			w.resolve(args, after)
		case Text(v) != answer:
			w.t.Errorf("%s %.100v answers %s, want %s", stamp(), args, Text(v), answer)
		default:
			w.ids = after
		}
	}
}

// resolve finds out whether a command whose answer is not known has been applied.
func (w *trimmer) resolve(args []string, after []int) {
	w.ids = outcome(w.t, w.k, w.r, args, w.ids, after, slices.Equal, w.read)
}

func (w *trimmer) read() (ids []int, err error) {
	v, err := w.k.Do("XRANGE", w.key, "-", "+")
	if err = errors.Join(err, respclient.Err(v)); err != nil {
		return nil, err
	}
	for _, e := range v.Elems {
		ms, _, _ := strings.Cut(Text(e.Elems[0]), "-")
		id, err := strconv.Atoi(ms)
		if err != nil {
			w.t.Errorf("an id of %s: %v", w.key, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Long streams count their entries by blocks as soon as all nodes know such, while nodes are
// renewed and leaders fail: what is trimmed and deleted is what each command has to, once.
func TestLongStreamsUnderFaults(t *testing.T) {
	const before = cluster.V5 - 1
	formats := map[int]cluster.Version{1: before, 2: before, 3: before}
	bubble(t, Options{Seed: env("TUTTI_SIM_SEED", 4800), Formats: formats, Version: before}, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		var stop atomic.Bool
		var wg sync.WaitGroup
		trimmers := make([]*trimmer, 2)
		for i := range trimmers {
			w := &trimmer{t: t, k: c.Client("").At(i%3 + 1), r: rand.New(rand.NewPCG(c.opts.Seed, uint64(i))), key: fmt.Sprint("long:", i)}
			trimmers[i] = w
			wg.Go(func() { w.work(&stop) })
		}
		time.Sleep(4 * time.Second)
		c.renewAll(cluster.V5, c.inBlocks)
		stop.Store(true)
		wg.Wait()
		c.WaitEqual(20 * time.Second)
		for i := 1; i <= 3; i++ {
			for _, w := range trimmers {
				w.k = c.Client("").At(i)
				if got, err := w.read(); !t.Failed() && (err != nil || !slices.Equal(got, w.ids)) {
					t.Errorf("node %d: %s has %d entries, want %d", i, w.key, len(got), len(w.ids))
				}
				w.k.Close()
			}
		}
		if n := c.inBlocks(1); n == 0 {
			t.Error("no stream has blocks")
		}
	})
}

// inBlocks counts the streams on node i that have blocks.
func (c operator) inBlocks(i int) int {
	return countObjects(c, i, func(row []byte) bool {
		return row[0]&0x0f == byte(keyspace.TypeStream) && row[1] == byte(cluster.V5)
	})
}
