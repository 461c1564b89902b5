package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/proof/respclient"
	"tutti/internal/shard"
)

// spreader gives five keys of its own one value, so much that it goes into the log in
// pieces, and knows what they have to be.
type spreader struct {
	t    *testing.T
	k    *Client
	r    *rand.Rand
	keys []string
	val  string // "": there are none
	next int
}

func newSpreader(t *testing.T, k *Client, seed, id uint64) *spreader {
	w := &spreader{t: t, k: k, r: rand.New(rand.NewPCG(seed, id))}
	for i := range 5 {
		w.keys = append(w.keys, fmt.Sprintf("{%d}%d", id, i))
	}
	return w
}

// change returns a command that changes all keys at once, and the value behind it.
func (w *spreader) change() (args []string, val string) {
	w.next++
	val = fmt.Sprintf("%s.%d.%s", w.keys[0], w.next, strings.Repeat(fmt.Sprint(w.next%10), 100+w.r.IntN(100)))
	switch w.r.IntN(5) {
	case 0:
		return append([]string{"DEL"}, w.keys...), ""
	case 1:
		const script = "for _, k in ipairs(KEYS) do redis.call('SET', k, ARGV[1]) end return 'OK'"
		return append(append([]string{"EVAL", script, "5"}, w.keys...), val), val
	case 2: // what it looks at is what it had better be
		const script = "if redis.call('GET', KEYS[1]) ~= (ARGV[2] ~= '' and ARGV[2]) then return {err = 'ERR it is another'} end " +
			"for _, k in ipairs(KEYS) do redis.call('SET', k, ARGV[1]) end return 'OK'"
		return append(append([]string{"EVAL", script, "5"}, w.keys...), val, w.val), val
	}
	args = []string{"MSET"}
	for _, key := range w.keys {
		args = append(args, key, val)
	}
	return args, val
}

// work changes and reads until it is told to stop.
func (w *spreader) work(stop *atomic.Bool) {
	defer w.k.Close()
	for !stop.Load() && !w.t.Failed() {
		time.Sleep(time.Duration(w.r.IntN(30)) * time.Millisecond)
		if w.r.IntN(3) == 0 {
			if got, err := w.look(); err == nil && got != w.val {
				w.t.Errorf("%s %s is %q, want %q", stamp(), w.keys, got, w.val)
			}
			continue
		}
		args, after := w.change()
		v, err := w.k.Do(args...)
		if err = errors.Join(err, respclient.Err(v)); err != nil && strings.Contains(err.Error(), "it is another") {
			w.t.Errorf("%s %q: %v", stamp(), args, err)
		}
		if err == nil {
			w.val = after
			continue
		}
		w.val = outcome(w.t, w.k, w.r, args, w.val, after, func(a, b string) bool { return a == b }, w.look)
	}
}

// look reads the value that all keys have.
func (w *spreader) look() (val string, err error) {
	v, err := w.k.Do(append([]string{"MGET"}, w.keys...)...)
	if err = errors.Join(err, respclient.Err(v)); err != nil {
		w.k.At(1 + w.r.IntN(3))
		return "", err
	}
	all := texts(v)
	if len(slices.Compact(slices.Clone(all))) != 1 {
		w.t.Errorf("%s keys that are changed at once are %q", stamp(), all)
	}
	return string(v.Elems[0].Str), nil
}

// Large effects go into the log in pieces as soon as all nodes know such, while nodes are
// renewed, leaders fail and snapshots are sent: all of them are there at once, or none is,
// and no piece stays.
func TestPiecesUnderFaults(t *testing.T) {
	const before = cluster.V7 - 1
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := Options{Seed: env("TUTTI_SIM_SEED", 5000+seed), Formats: map[int]cluster.Version{1: before, 2: before, 3: before}, Version: before,
				LogBytesMax: 4 << 10, Large: shard.Large{PiecesFrom: 100, PieceBytes: 24, CarryFrom: 100}}
			bubble(t, o, func(t *testing.T, all *Cluster) {
				c := operator{all}
				c.WaitLeader(1)
				var stop atomic.Bool
				var wg sync.WaitGroup
				spreaders := make([]*spreader, 4)
				for i := range spreaders {
					w := newSpreader(t, c.Client("").At(i%3+1), c.opts.Seed, uint64(i))
					spreaders[i] = w
					wg.Go(func() { w.work(&stop) })
				}
				c.renewAll(cluster.V8, c.pieces)
				seen := 0
				for range 10 { // with what has come of one, and not all
					time.Sleep(time.Second)
					seen += c.pieces(1 + c.WaitLeader(1)%3)
				}
				if seen == 0 {
					t.Error("no node has had a piece")
				}
				stop.Store(true)
				wg.Wait()
				c.WaitEqual(20 * time.Second)
				k := c.Client("")
				defer k.Close()
				for _, w := range spreaders {
					w.k = k.At(1 + w.r.IntN(3))
					if got, err := w.look(); err != nil || got != w.val {
						t.Errorf("%s is %q, %v, want %q", w.keys, got, err, w.val)
					}
				}
				for i := 1; i <= 3; i++ {
					if n := c.pieces(i); n > 0 {
						t.Errorf("node %d keeps %d pieces", i, n)
					}
				}
			})
		})
	}
}

// pieces counts those on the disk of node i.
func (c operator) pieces(i int) (n int) {
	c.t.Helper()
	c.eachRow(i, func(row, _ []byte) {
		if len(row) == 14 && row[0] == 0 && row[9] == 'p' {
			n++
		}
	})
	return n
}
