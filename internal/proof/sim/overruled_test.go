package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Two losses of three: a node comes back on a copy of its disk that was made while it
// ran, and reaches only one that lacks the newest write too. Nobody can know of it, and
// the two go on without it. But it is not lost in silence: the one node that has it
// says so when it is back, keeps what it has in a folder of its own, and is made anew
// from the others.
func TestOldImageThatMeetsNobodyWhoKnows(t *testing.T) {
	for seed := range env("TUTTI_SIM_SEEDS", 5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { imageMeetsNobodyWhoKnows(t, 327+seed) })
	}
}

func imageMeetsNobodyWhoKnows(t *testing.T, seed uint64) {
	bubble(t, Options{Seed: seed, Expect: "the others have forgotten what was committed"}, func(t *testing.T, c *Cluster) {
		lead, m, k, image := imageOfFollower(c)
		third := 6 - lead - m.id
		defer k.Close()
		for _, o := range apart(c, third) {
			c.Cut(c.Name(third), o)
		}
		k.Must("SET", "k", "only-here") // lead and m have it, third has not
		time.Sleep(time.Second)
		c.Kill(m.id)
		c.Cut(c.Name(lead), m.name)
		for _, way := range [][2]string{{m.name, c.Name(third)}, {c.Name(third), m.name}} {
			c.Net.Set(way[0], way[1], func(p *Path) { p.Cut = false })
		}
		m.disk = newDisk(image, m.gate, &m.room)
		c.Start(m.id)
		time.Sleep(3 * time.Second)
		k.Close()
		k.At(third)
		if got := Text(k.Must("GET", "k")); got != "old" {
			t.Fatalf("k is %s: the write was to be forgotten", got)
		}
		k.Must("SET", "k", "newer")
		c.Heal()
		time.Sleep(5 * time.Second)
		if got := c.Reap(); len(got) != 1 || got[0] != lead {
			t.Fatalf("%v stopped themselves, want node %d", got, lead)
		}
		if c.Logged(lead, "the others have forgotten what was committed") == 0 {
			t.Error("it does not say why")
		}
		c.machine(lead).rotten = "the others have forgotten what it knows of"
		for range 2 { // what is kept outlives the rebuild, and a start after it
			c.Start(lead)
			c.WaitRebuilt(lead, 1, 20*time.Second)
			for i := 1; i <= 3; i++ {
				k.Close()
				k.At(i)
				if got := Text(k.Must("GET", "k")); got != "newer" {
					t.Errorf("k is %s at node %d", got, i)
				}
			}
			s, err := c.Status(lead)
			if err != nil || !strings.Contains(s.Kept, "kept-0: ") || s.Damage != "" {
				t.Errorf("%v, kept: %q, damage: %q", err, s.Kept, s.Damage)
			}
			c.Kill(lead)
		}
		mem, dir := c.machine(lead).disk.mem, c.machine(lead).dir
		if !holds(t, mem, mem.PathJoin(dir, "kept-0", "log"), "only-here") {
			t.Error("the write is not in what was kept")
		}
	})
}

// holds reports whether a file of a folder holds some text.
func holds(t *testing.T, fs vfs.FS, dir, text string) bool {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			return true
		}
	}
	return false
}
