package sim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// flipKinds are the files of a node whose bytes are flipped.
var flipKinds = []struct{ name, files string }{
	{"log: write-ahead log", `log/.*\.log`},
	{"log: tables", `log/.*\.sst`},
	{"log: manifest", `log/MANIFEST-.*`},
	{"log: options", `log/OPTIONS-.*`},
	{"state: tables", `state/.*\.sst`},
	{"state: values beside the tables", `state/.*\.blob`},
	{"state: manifest", `state/MANIFEST-.*`},
	{"state: options", `state/OPTIONS-.*`},
	{"state: write-ahead log, of which nothing is used", `state/.*\.log`},
	{"vow", `vow`},
	{"counters", `counters`},
	{"counters, second copy", `counters\.2`},
	{"starts", `starts`},
	{"starts, second copy", `starts\.2`},
	{"node.json", `node\.json`},
	{"node.json, second copy", `node\.json\.2`},
	{"map", `map`},
	{"map, second copy", `map\.2`},
	{"ca.pem", `ca\.pem`},
	{"ca.pem, second copy", `ca\.pem\.2`},
	{"node.pem", `node\.pem`},
	{"node.pem, second copy", `node\.pem\.2`},
	{"node.key", `node\.key`},
	{"node.key, second copy", `node\.key\.2`},
	{"service.pem", `service\.pem`},
	{"service.pem, second copy", `service\.pem\.2`},
	{"users", `users`},
	{"users, second copy", `users\.2`},
}

// smallKinds are from here on: of two copies one is enough.
const smallKinds = 10

// emptyFiles hold nothing that could change.
var emptyFiles = regexp.MustCompile(`^(LOCK|ballast|spare|trial|(log|state)/(LOCK|marker\..*))$`)

func isKind(kind int, name string) bool {
	return regexp.MustCompile("^" + flipKinds[kind].files + "$").MatchString(name)
}

// allAreSwept fails the test if a node has a file that is of no kind.
func (c *Cluster) allAreSwept(i int) {
	c.t.Helper()
	for _, name := range c.dataFiles(i) {
		of := emptyFiles.MatchString(name)
		for kind := range flipKinds {
			of = of || isKind(kind, name)
		}
		if !of {
			c.t.Errorf("no bit of %s is flipped", name)
		}
	}
}

// vowUsed is the part of each of the two records of the vow that is looked at:
// what follows the promise of one shard is never read.
const vowUsed = 20 + 40

// The integrity sweep: node after node loses one byte of its files while it is
// down or while it runs, and starts. The damage is harmless, or it is found and
// the node is rebuilt; no read gets a wrong value and no operator is needed.
//
//	TUTTI_SIM_FLIPS=0 go test -timeout=0 ./internal/proof/sim -run Flipped   every byte, for hours
func TestFlippedByteIsHarmlessOrRepaired(t *testing.T) {
	flips := int(env("TUTTI_SIM_FLIPS", 168))
	t.Logf("%d flips (TUTTI_SIM_FLIPS; 0: every byte)", flips)
	bubble(t, Options{Seed: 230, LogBytesMax: 4 << 10, ScrubEvery: time.Second}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		s := sweep{c: c, values: make(map[string]string), next: make([]int, len(flipKinds)), every: flips == 0}
		outcome := make(map[string]int)
		for n := 0; n < flips || s.every && s.done < len(flipKinds); n++ {
			kind := n / 3 % len(flipKinds)
			if what := s.flip(n, n%3+1, kind); what != "" {
				outcome[flipKinds[kind].name+" "+what]++
				if kind >= smallKinds && strings.HasSuffix(what, "rebuilt") {
					t.Errorf("%s: one copy was not enough", flipKinds[kind].name)
				}
			}
		}
		c.allAreSwept(1)
		for _, what := range slices.Sorted(maps.Keys(outcome)) {
			t.Logf("%4d × %s", outcome[what], what)
		}
		for _, what := range []string{"log: write-ahead log", "state: tables"} {
			if outcome[what+" while down: rebuilt"]+outcome[what+" while running: rebuilt"] == 0 {
				t.Errorf("no damage was found: %s", what)
			}
		}
	})
}

// sweep is a run of the integrity sweep.
type sweep struct {
	c      *Cluster
	values map[string]string // what was written
	every  bool              // byte after byte, not random ones
	next   []int             // of each kind, the next byte
	done   int               // kinds of which every byte was flipped
}

// flip is the n-th flip, of a file of a kind of node hurt. It returns when that
// was and what became of it, or nothing if there is no such file.
func (s *sweep) flip(n, hurt, kind int) string {
	c := s.c
	s.write(hurt%3+1, n)
	time.Sleep(100 * time.Millisecond)
	generation := c.generation(hurt)
	end := c.Stop
	if n%2 == 1 {
		end = c.Kill // the newest writes are not vowed for
	}
	when := "while down"
	running := c.Rand.IntN(3) == 0
	if !running {
		end(hurt)
	}
	name := c.newest(hurt, kind)
	if name != "" {
		s.rot(hurt, kind, name)
	}
	if running {
		when = "while running"
		s.write(hurt%3+1, n)
		c.Attend(time.Second) // it may notice
		end(hurt)
	}
	c.Start(hurt)
	if name == "" {
		return ""
	}
	c.WaitLeader(1)
	readAllAt(c.t, c, hurt, s.values, false)
	c.Attend(3 * time.Second) // two scrubs
	for c.Rebuilding(hurt) {
		c.Attend(100 * time.Millisecond)
	}
	c.WaitEqual(10 * time.Second)
	readAllAt(c.t, c, hurt, s.values, true)
	if c.generation(hurt) > generation {
		return when + ": rebuilt"
	}
	return when + ": harmless"
}

// rot flips a bit of a file of node i, in its place, whether it runs or not.
func (s *sweep) rot(i, kind int, name string) {
	m := s.c.machine(i)
	path := m.disk.mem.PathJoin(m.dir, name)
	data, err := contents(m.disk.mem, path)
	if err != nil {
		s.c.t.Fatal(err)
	}
	at := flipAt(&s.next[kind], name, len(data), s.every, s.c)
	if s.every && s.next[kind] == len(data) {
		s.done++
	}
	m.rotten = name + " was changed"
	if err := overwrite(m.disk.mem, path, int64(at), []byte{data[at] ^ 1<<s.c.Rand.IntN(8)}); err != nil {
		s.c.t.Fatal(err)
	}
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
	for _, f := range c.dataFiles(i) {
		if isKind(kind, f) && c.size(i, f) > 0 {
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

// write writes some keys through node i.
func (s *sweep) write(i, n int) {
	k := s.c.Client("w").At(i)
	defer k.Close()
	for j := range 4 {
		key := fmt.Sprint("key:", (4*n+j)%40)
		s.values[key] = strings.Repeat(fmt.Sprint(n, " "), 20)
		k.Must("SET", key, s.values[key])
	}
}

// readAllAt reads all through node i. Unless it must succeed, an error is no
// wrong value.
func readAllAt(t testing.TB, c *Cluster, i int, values map[string]string, must bool) {
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
