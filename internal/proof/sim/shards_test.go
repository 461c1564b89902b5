package sim

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestShards(t *testing.T) {
	for _, shards := range []int{1, 4, 16} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			bubbleLoad(t, Options{Seed: 80, Shards: shards}, LoadOptions{Keys: 16}, func(c *Cluster) {
				basics(t, c, shards)
				transactions(t, c)
				counters(t, c)
				c.Crash(c.WaitLeader(shards))
				time.Sleep(2 * time.Second)
			})
		})
	}
}

// basics tries what depends on where keys live.
func basics(t *testing.T, c *Cluster, shards int) {
	k := c.Client("")
	defer k.Close()
	for i := range 50 {
		k.At(i%3+1).Must("SET", fmt.Sprintf("b:%d", i), fmt.Sprint(i))
	}
	cmds := make([][]string, 0, 50)
	for i := range 50 {
		cmds = append(cmds, []string{"GET", fmt.Sprintf("b:%d", i)})
	}
	values, err := k.Pipe(cmds...)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range values {
		if Text(v) != fmt.Sprint(i) {
			t.Errorf("GET b:%d in a pipeline over all shards: %s", i, Text(v))
		}
	}
	for _, args := range [][]string{{"MSET", "b:1", "x", "b:2", "y", "b:3", "z", "b:4", "w"}, {"DEL", "b:5", "b:6", "b:7", "b:8"}, {"FLUSHALL"}} {
		if args[0] == "FLUSHALL" && shards == 1 {
			continue // it would work
		}
		v, err := k.Do(args...)
		refused := strings.HasPrefix(string(v.Str), "CROSSSHARD ")
		if err != nil || refused != (shards > 1) {
			t.Errorf("%v over %d shards: %v %s", args, shards, err, Text(v))
		}
	}
	// A read behind a write that did nothing must not wait for somebody else.
	start := time.Now()
	values, err = k.Pipe([]string{"DEL", "{b}none"}, []string{"GET", "{b}none"}, []string{"SETNX", "{b}x", "1"}, []string{"SETNX", "{b}x", "2"}, []string{"GET", "{b}x"})
	if err != nil || Text(values[4]) != "1" || Text(values[3]) != "0" {
		t.Errorf("pipeline: %v %v", err, values)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("a pipeline took %v", took)
	}
}

func transactions(t *testing.T, c *Cluster) {
	k, o := c.Client("").At(1), c.Client("").At(2)
	defer k.Close()
	defer o.Close()
	k.Must("SET", "{t}a", "1")
	k.Must("WATCH", "{t}a", "{t}absent")
	k.Must("MULTI")
	k.Must("INCR", "{t}a")
	k.Must("RPUSH", "{t}l", "x")
	if got := Text(k.Must("EXEC")); got != "[2 1]" {
		t.Errorf("EXEC: %s", got)
	}
	k.Must("WATCH", "{t}a")
	o.Must("SET", "{t}a", "9")
	k.Must("MULTI")
	k.Must("INCR", "{t}a")
	if got := Text(k.Must("EXEC")); got != "nil" {
		t.Errorf("EXEC after a change: %s", got)
	}
	// An absent key that came and went has changed, too.
	k.Must("WATCH", "{t}absent")
	o.Must("SET", "{t}absent", "x")
	o.Must("DEL", "{t}absent")
	k.Must("MULTI")
	k.Must("INCR", "{t}a")
	if got := Text(k.Must("EXEC")); got != "nil" {
		t.Errorf("EXEC after ABA: %s", got)
	}
	if got := Text(o.Must("GET", "{t}a")); got != "9" {
		t.Errorf("a: %s", got)
	}
}

// counters lets many add to one key by optimistic transactions through all
// nodes.
func counters(t *testing.T, c *Cluster) {
	var wg sync.WaitGroup
	for i := range 3 {
		k := c.Client("").At(i + 1)
		wg.Go(func() {
			defer k.Close()
			for done := 0; done < 10; {
				k.Must("WATCH", "counter")
				n := 0
				if v := k.Must("GET", "counter"); !v.Null {
					n = number(t, Text(v))
				}
				k.Must("MULTI")
				k.Must("SET", "counter", fmt.Sprint(n+1))
				if !k.Must("EXEC").Null {
					done++
				}
			}
		})
	}
	wg.Wait()
	k := c.Client("")
	defer k.Close()
	if got := Text(k.Must("GET", "counter")); got != "30" {
		t.Errorf("counter: %s", got)
	}
}
