package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// flipKinds are the files of a node whose bytes are flipped.
var flipKinds = []struct{ name, prefix, suffix string }{
	{"log: write-ahead log", "log/", ".log"},
	{"log: tables", "log/", ".sst"},
	{"log: manifest", "log/MANIFEST", ""},
	{"log: options", "log/OPTIONS", ""},
	{"state: tables", "state/", ".sst"},
	{"state: manifest", "state/MANIFEST", ""},
	{"state: options", "state/OPTIONS", ""},
	{"vow", "vow", ""},
}

// vowUsed is the part of each of the two records of the vow that is looked at:
// what follows the promise of one shard is never read.
const vowUsed = 20 + 40

// The integrity sweep: node after node loses one byte of its files while it is
// down, and starts. The damage is harmless, or it is found and the node is
// rebuilt; no read gets a wrong value and no operator is needed.
//
//	TUTTI_SIM_FLIPS=0 go test -timeout=0 ./internal/proof/sim -run Flipped   every byte, for hours
func TestFlippedByteIsHarmlessOrRepaired(t *testing.T) {
	flips := int(env("TUTTI_SIM_FLIPS", 64))
	t.Logf("%d flips (TUTTI_SIM_FLIPS; 0: every byte)", flips)
	bubble(t, Options{Seed: 230, LogBytesMax: 4 << 10, ScrubEvery: time.Second}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		values := make(map[string]string)
		next := make([]int, len(flipKinds))
		outcome := make(map[string]int)
		done := func(kind, size int) bool { return flips == 0 && next[kind] >= size }
		for n, left := 0, len(flipKinds); left > 0 && (flips == 0 || n < flips); n++ {
			hurt, kind := n%3+1, n/3%len(flipKinds)
			write(c, hurt%3+1, n, values)
			time.Sleep(100 * time.Millisecond)
			generation := c.generation(hurt)
			if n%2 == 0 {
				c.Stop(hurt)
			} else {
				c.Kill(hurt) // the newest writes are not vowed for
			}
			name := c.newest(hurt, kind)
			if name == "" {
				c.Start(hurt)
				continue
			}
			c.change(hurt, name, func(data []byte) []byte {
				at := flipAt(&next[kind], name, len(data), flips == 0, c)
				data[at] ^= 1 << c.Rand.IntN(8)
				if done(kind, len(data)) {
					left--
				}
				return data
			})
			c.Start(hurt)
			c.WaitLeader(1)
			readAllAt(t, c, hurt, values, false)
			c.Attend(3 * time.Second) // two scrubs
			for c.Rebuilding(hurt) {
				c.Attend(100 * time.Millisecond)
			}
			c.WaitEqual(10 * time.Second)
			readAllAt(t, c, hurt, values, true)
			what := " harmless"
			if c.generation(hurt) > generation {
				what = " rebuilt"
			}
			outcome[flipKinds[kind].name+what]++
		}
		for _, what := range slices.Sorted(maps.Keys(outcome)) {
			t.Logf("%4d × %s", outcome[what], what)
		}
		for _, what := range []string{"log: write-ahead log rebuilt", "state: tables rebuilt"} {
			if outcome[what] == 0 {
				t.Errorf("no damage was found: %s", what)
			}
		}
	})
}

// flipAt returns the place of the next flip in a file: a random one, or one
// after the other.
func flipAt(next *int, name string, size int, every bool, c *Cluster) int {
	at := c.Rand.IntN(size)
	if every {
		at = *next % size
		*next++
	}
	if name == "vow" && !every {
		at = c.Rand.IntN(2)*(64<<10) + c.Rand.IntN(vowUsed)
	} else if name == "vow" && at == vowUsed {
		*next = 64 << 10
	} else if name == "vow" && at == 64<<10+vowUsed {
		*next = size
	}
	return min(at, size-1)
}

// newest returns the newest file of a kind, "" if there is none.
func (c *Cluster) newest(i, kind int) (name string) {
	k := flipKinds[kind]
	for _, f := range c.dataFiles(i) {
		if strings.HasPrefix(f, k.prefix) && strings.HasSuffix(f, k.suffix) && c.size(i, f) > 0 {
			name = f
		}
	}
	return name
}

func (c *Cluster) size(i int, name string) int64 {
	m := c.machine(i)
	info, err := m.disk.mem.Stat(m.disk.mem.PathJoin(m.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return info.Size()
}

func (c *Cluster) generation(i int) uint64 {
	c.t.Helper()
	s, err := c.Status(i)
	if err != nil {
		c.t.Fatal(err)
	}
	return s.Generation
}

func write(c *Cluster, i, n int, values map[string]string) {
	k := c.Client("w").At(i)
	defer k.Close()
	for j := range 4 {
		key := fmt.Sprint("key:", (4*n+j)%40)
		values[key] = strings.Repeat(fmt.Sprint(n, " "), 20)
		k.Must("SET", key, values[key])
	}
}

// readAllAt reads all through node i. Unless it must succeed, an error is no
// wrong value.
func readAllAt(t *testing.T, c *Cluster, i int, values map[string]string, must bool) {
	t.Helper()
	k := c.Client("r").At(i)
	k.Timeout = 2 * time.Second
	defer k.Close()
	for key, want := range values {
		v, err := k.Do("GET", key)
		if err == nil && !v.IsError() && Text(v) != want {
			t.Fatalf("%s node %d answers %q for %s, want %q", stamp(), i, Text(v), key, want)
		}
		if must && (err != nil || v.IsError()) {
			t.Fatalf("%s node %d can't answer for %s: %v %s", stamp(), i, key, err, v.Str)
		}
		if err != nil {
			return // it has stopped itself
		}
	}
}
