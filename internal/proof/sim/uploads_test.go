package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/proof/respclient"
	"tutti/internal/server"
)

// setter changes a string of its own, whose values go in parts, and knows what it has to be.
type setter struct {
	t    *testing.T
	k    *Client
	r    *rand.Rand
	key  string
	val  string // "" if it is absent
	next int
}

// fresh returns a value that nobody else has.
func (w *setter) fresh() string {
	w.next++
	return fmt.Sprintf("%s.%d.%s", w.key, w.next, strings.Repeat(fmt.Sprint(w.next%10), w.r.IntN(150)))
}

// change returns a command, the value behind it, and what it answers.
func (w *setter) change() (args []string, val, answer string) {
	val = w.fresh()
	switch w.r.IntN(10) {
	case 0:
		return []string{"GETSET", w.key, val}, val, w.val
	case 1:
		return []string{"SET", w.key, val, "GET"}, val, w.val
	case 2:
		if w.val != "" {
			return []string{"SET", w.key, val, "NX"}, w.val, ""
		}
		return []string{"SET", w.key, val, "NX"}, val, "OK"
	case 3:
		return []string{"SETEX", w.key, "10000", val}, val, "OK"
	case 4:
		return []string{"APPEND", w.key, "more"}, w.val + "more", fmt.Sprint(len(w.val) + 4)
	case 5:
		return []string{"COPY", w.key, "{" + w.key + "}copy", "REPLACE"}, w.val, map[bool]string{true: "1", false: "0"}[w.val != ""]
	case 6:
		return []string{"DEL", w.key}, "", map[bool]string{true: "1", false: "0"}[w.val != ""]
	default:
		return []string{"SET", w.key, val}, val, "OK"
	}
}

// work changes and reads until it is told to stop.
func (w *setter) work(stop *atomic.Bool) {
	defer w.k.Close()
	for !stop.Load() && !w.t.Failed() {
		time.Sleep(time.Duration(w.r.IntN(30)) * time.Millisecond)
		if w.r.IntN(3) == 0 {
			if got, err := w.look(); err == nil && got != w.val {
				w.t.Errorf("%s %s is %q, want %q", stamp(), w.key, got, w.val)
			}
			continue
		}
		args, after, answer := w.change()
		v, err := w.k.Do(args...)
		switch {
		case err != nil || respclient.Err(v) != nil:
			w.resolve(args, after)
		case Text(v) != answer && !(v.Null && answer == ""):
			w.t.Errorf("%s %q answers %q, want %q", stamp(), args, Text(v), answer)
		default:
			w.val = after
		}
	}
}

func (w *setter) look() (val string, err error) {
	v, err := w.k.Do("GET", w.key)
	if err = errors.Join(err, respclient.Err(v)); err != nil {
		w.k.At(1 + w.r.IntN(3))
	}
	return string(v.Str), err
}

// resolve finds out whether a command whose answer is not known has been applied.
func (w *setter) resolve(args []string, after string) {
	w.val = outcome(w.t, w.k, w.r, args, w.val, after, func(a, b string) bool { return a == b }, w.look)
}

// Values go in parts as soon as all nodes know such strings, while nodes are renewed and
// leaders fail: each is there as a whole or not at all, and what was given up half way is
// removed.
func TestUploadsUnderFaults(t *testing.T) {
	const before = cluster.V6 - 1
	formats := map[int]cluster.Version{1: before, 2: before, 3: before}
	o := Options{Seed: env("TUTTI_SIM_SEED", 4900), Formats: formats, Version: before, Uploads: server.Uploads{From: 40, Part: 16}}
	bubble(t, o, func(t *testing.T, all *Cluster) {
		c := operator{all}
		c.WaitLeader(1)
		var stop atomic.Bool
		var wg sync.WaitGroup
		setters := make([]*setter, 4)
		for i := range setters {
			w := &setter{t: t, k: c.Client("").At(i%3 + 1), r: rand.New(rand.NewPCG(c.opts.Seed, uint64(i))), key: fmt.Sprint("string:", i)}
			setters[i] = w
			wg.Go(func() { w.work(&stop) })
		}
		c.renewAll(cluster.V6, func(i int) int { return c.inParts(i).strings })
		wg.Go(func() { // a node ends while it sends parts
			k := c.Client("").At(3)
			defer k.Close()
			if v, err := k.Do("SET", "half", strings.Repeat("x", 10_000)); err == nil && respclient.Err(v) == nil {
				t.Error("10,000 bytes have gone in parts of 16 within 100 ms")
			}
		})
		time.Sleep(100 * time.Millisecond)
		c.Kill(3)
		time.Sleep(2 * time.Second)
		if n := c.inParts(2); n.strings == 0 || n.uploads == 0 || n.parts == 0 {
			t.Errorf("on node 2 there are %+v", n)
		}
		c.Start(3)
		time.Sleep(2 * time.Second)
		stop.Store(true)
		wg.Wait()
		time.Sleep(2 * time.Minute) // what was given up expires meanwhile
		c.WaitEqual(20 * time.Second)
		k := c.Client("")
		defer k.Close()
		for i := 1; i <= 3; i++ {
			for _, w := range setters {
				if got := string(k.At(i).Must("GET", w.key).Str); !t.Failed() && got != w.val {
					t.Errorf("node %d: %s is %q, want %q", i, w.key, got, w.val)
				}
			}
		}
		for _, w := range setters {
			k.Must("DEL", w.key, "{"+w.key+"}copy")
		}
		time.Sleep(10 * time.Second)
		if n := c.inParts(1); n != (partCount{}) {
			t.Errorf("when all keys are gone there are %+v", n)
		}
	})
}

// partCount is what a node has of strings in parts.
type partCount struct{ strings, uploads, parts int }

// inParts counts the rows on the disk of node i.
func (c operator) inParts(i int) (n partCount) {
	c.t.Helper()
	c.eachRow(i, func(row, val []byte) {
		_, pdb, object := keyspace.ObjectKey(row)
		switch {
		case object && pdb == 1<<32-1:
			n.uploads++
		case object && len(val) > 1 && val[0]&0x0f == byte(keyspace.TypeString) && val[0]&0x20 != 0 && val[1] == byte(cluster.V6):
			n.strings++
		case len(row) == 16 && row[0] == 1 && row[3] == 's':
			n.parts++
		}
	})
	return n
}
