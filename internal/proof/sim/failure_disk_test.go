package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Failure modes of disks that lose, tear, swap or garble what was written. Who
// finds damage is rebuilt from the others; a torn write is none.

// manyEnv makes the rounds of damage longer, for the nightly run.
const manyEnv = "TUTTI_FAULTS_MANY"

// rounds is how often damage is done in a test: few, or ten times as often.
func rounds(few int) int {
	if os.Getenv(manyEnv) != "" {
		return 10 * few
	}
	return few
}

// powerOff ends node i; survivor makes what is left of its disk.
func (c *Cluster) powerOff(i int, survivor func(mem *vfs.MemFS) *vfs.MemFS) {
	c.Net.Down(c.machine(i).name, false)
	time.Sleep(vowLag) // what is lost behind the last vow is beyond detection, see GUARANTEES
	c.end(i, func(d *disk) *vfs.MemFS { return survivor(d.mem) })
}

// The disk of one node does nothing when it is told to fsync its log, and loses
// power. The node finds that its vow promises more than its log holds, and is
// rebuilt; nothing acknowledged is lost, though a majority was one copy less.
func TestFault08LyingDisk(t *testing.T) {
	bubble(t, Options{Seed: 208}, func(t *testing.T, c *Cluster) {
		lead := c.WaitLeader(1)
		s := startSet(c)
		for _, i := range []int{lead%3 + 1, lead} {
			time.Sleep(time.Second)
			m := c.machine(i)
			m.disk.setLies(m.dir + "/log")
			time.Sleep(time.Second)
			m.rotten = "its disk has lied about fsyncs"
			c.powerOff(i, func(mem *vfs.MemFS) *vfs.MemFS { return mem.CrashClone(vfs.CrashCloneCfg{}) })
			c.WaitLeader(1)
			c.Start(i)
			c.WaitRebuilt(i, 1, time.Minute)
			m.rotten = ""
		}
		s.check(t, 200)
		c.WaitEqual(10 * time.Second)
	})
}

// The power goes in the middle of writes, of one node after the other: the torn
// end of a log is cut, no operator and no rebuild is needed.
func TestFault09TornTail(t *testing.T) {
	bubble(t, Options{Seed: 209, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		s := startSet(c)
		r := rand.New(rand.NewPCG(209, 9))
		for round := range rounds(12) {
			time.Sleep(time.Duration(50+c.Rand.IntN(300)) * time.Millisecond)
			i := round%3 + 1
			c.powerOff(i, func(mem *vfs.MemFS) *vfs.MemFS {
				torn, err := tear(mem, r)
				if err != nil {
					t.Error(err)
				}
				return torn
			})
			c.Start(i)
			c.WaitLeader(1)
		}
		s.check(t, 200)
		c.WaitEqual(10 * time.Second)
		for i := 1; i <= 3; i++ {
			if st, err := c.Status(i); err != nil || st.Generation != 0 {
				t.Errorf("node %d is of generation %d (%v): a torn write was taken for damage", i, st.Generation, err)
			}
		}
	})
}

// rot damages the files of a stopped node again and again, starts it, and reads
// all keys through it: it never answers with a wrong value, and in the end, a
// rebuild later or not, is like the others.
func rot(t *testing.T, seed uint64, times int, damage func(c *Cluster, i int, r *rand.Rand) (what string)) {
	bubble(t, Options{Seed: seed, LogBytesMax: 16 << 10}, func(t *testing.T, c *Cluster) {
		r := rand.New(rand.NewPCG(seed, 11))
		const keys = 200
		value := func(i, round int) string { return strings.Repeat(fmt.Sprint(i, ".", round, " "), 60) }
		hurt, harmless, rebuilt := 0, 0, uint64(0)
		missed := make(map[int]bool) // by nodes: damage that was harmless so far
		for round := range times {
			lead := c.WaitLeader(1)
			hurt = lead%3 + 1
			m := c.machine(hurt)
			k := c.Client("").At(lead)
			for i := range keys {
				k.Must("SET", fmt.Sprint("key:", i), value(i, round))
			}
			time.Sleep(time.Second)
			before, err := c.Status(hurt)
			if err != nil {
				t.Fatal(err)
			}
			c.powerOff(hurt, func(mem *vfs.MemFS) *vfs.MemFS { return mem.CrashClone(vfs.CrashCloneCfg{}) })
			if m.rotten = damage(c, hurt, r); m.rotten == "" {
				t.Fatalf("%s nothing to damage", stamp())
			}
			c.Start(hurt)
			readAllThrough(t, c, hurt, keys, func(i int) string { return value(i, round) })
			c.Attend(5 * time.Second) // it may find out and start again
			c.WaitLeader(1)
			c.WaitEqual(30 * time.Second)
			after, err := c.Status(hurt)
			if err != nil {
				t.Fatal(err)
			}
			if after.Generation > before.Generation {
				c.WaitRebuilt(hurt, after.Generation, time.Minute)
				rebuilt++
				delete(missed, hurt)
			} else {
				harmless++
				missed[hurt] = true
			}
			// What a cache has hidden so far may be found only now.
			readAllThrough(t, c, hurt, keys, func(i int) string { return value(i, round) })
			c.Attend(10 * time.Second)
			for i := range keys {
				if got := Text(k.At(hurt).Must("GET", fmt.Sprint("key:", i))); got != value(i, round) {
					t.Fatalf("%s after %s key:%d is %.40s", stamp(), m.rotten, i, got)
				}
			}
			k.Close()
			if !missed[hurt] { // else somebody may read it later, as who merges tables does
				m.rotten = ""
			}
		}
		t.Logf("%d times: %d rebuilt, %d harmless", times, rebuilt, harmless)
	})
}

// readAllThrough reads all keys through a node that may notice damage
// meanwhile.
func readAllThrough(t *testing.T, c *Cluster, i, keys int, want func(i int) string) {
	t.Helper()
	k := c.Client("").At(i)
	k.Timeout = 3 * time.Second
	defer k.Close()
	for n := range keys {
		v, err := k.Do("GET", fmt.Sprint("key:", n))
		if err != nil || v.IsError() {
			return
		}
		if Text(v) != want(n) {
			t.Fatalf("%s after %s key:%d is %.40s", stamp(), c.machine(i).rotten, n, Text(v))
		}
	}
}

// A bit of a file of the raft log flips.
func TestFault10BitRotInLog(t *testing.T) {
	rot(t, 210, rounds(6), func(c *Cluster, i int, r *rand.Rand) string {
		m := c.machine(i)
		text, err := flipBit(m.disk.mem, m.dir+"/log", "wal", r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	})
}

// A bit of a table or manifest of the state flips.
func TestFault11BitRotInState(t *testing.T) {
	for _, of := range []string{"table", "manifest"} {
		t.Run(of, func(t *testing.T) {
			rot(t, 211, rounds(4), func(c *Cluster, i int, r *rand.Rand) string {
				m := c.machine(i)
				text, err := flipBit(m.disk.mem, m.dir+"/state", of, r)
				if err != nil {
					t.Fatal(err)
				}
				return text
			})
		})
	}
}

// sector is what a disk writes as a whole.
const sector = 4096

// Two sectors of a file stand in each other's place, or one write was lost and
// what was there before still is: nothing.
func TestFault12MisdirectedWrite(t *testing.T) {
	for _, how := range []string{"swapped", "lost"} {
		t.Run(how, func(t *testing.T) {
			rot(t, 212, rounds(5), func(c *Cluster, i int, r *rand.Rand) string {
				names := c.dataFiles(i)
				for range 1000 {
					name := names[r.IntN(len(names))]
					if of := class(name); of != "wal" && of != "table" {
						continue
					}
					done := ""
					c.change(i, name, func(data []byte) []byte {
						n := len(data) / sector
						if n < 2 {
							return data
						}
						a, b := r.IntN(n)*sector, r.IntN(n)*sector
						was := bytes.Clone(data)
						if how == "lost" {
							clear(data[a : a+sector])
						} else {
							copy(data[a:a+sector], was[b:])
							copy(data[b:b+sector], was[a:])
						}
						if !bytes.Equal(was, data) {
							done = fmt.Sprintf("%s: sector %d %s (%d)", name, a/sector, how, b/sector)
						}
						return data
					})
					if done != "" {
						return done
					}
				}
				return ""
			})
		})
	}
}

// Frames between nodes come twice and overtake each other.
func TestFault22ReorderDuplicate(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 222}, LoadOptions{Clients: 6, Timeout: 6 * time.Second}, func(c *Cluster) {
		everyLink(c, func(p *Path) { p.Frames = Frames{Duplicate: 0.2, Reorder: 0.25} })
		time.Sleep(5 * time.Second)
		lead := c.WaitLeader(1)
		c.Kill(lead)
		time.Sleep(2 * time.Second)
		c.Start(lead)
		time.Sleep(2 * time.Second)
		if n := c.Net.FrameCount(); n.Duplicated < 100 || n.Reordered < 100 {
			t.Errorf("frames: %+v", n)
		}
	})
	if len(h.Ops) < 1000 {
		t.Errorf("only %d operations", len(h.Ops))
	}
}

func everyLink(c *Cluster, f func(p *Path)) {
	for i := 1; i <= c.Nodes(); i++ {
		for _, o := range apart(c, i) {
			c.Net.Set(c.Name(i), o, f)
		}
	}
}

// Bits flip in frames between nodes that nothing below them has noticed, in
// snapshots, too: connections end and begin again, nobody crashes, nothing wrong
// is stored.
func TestFault23CorruptFrames(t *testing.T) {
	h := bubbleLoad(t, Options{Seed: 223, LogBytesMax: 4 << 10}, LoadOptions{Clients: 6, Timeout: 6 * time.Second}, func(c *Cluster) {
		everyLink(c, func(p *Path) { p.Frames = Frames{Flip: 0.003} })
		for range 3 {
			time.Sleep(3 * time.Second)
			i := 1 + c.Rand.IntN(3)
			c.Crash(i)
			time.Sleep(time.Second)
			c.Start(i)
		}
		if n := c.Net.FrameCount(); n.Flipped < 10 {
			t.Errorf("frames: %+v", n)
		}
	})
	if len(h.Ops) < 500 {
		t.Errorf("only %d operations", len(h.Ops))
	}
}
