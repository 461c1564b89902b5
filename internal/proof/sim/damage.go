package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/store"
)

// Attend lets d pass, and starts nodes again that stopped themselves, as `tutti
// dev` does. It returns how often.
func (c *Cluster) Attend(d time.Duration) (starts int) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		starts += c.restart()
	}
	return starts
}

// restart starts nodes again that stopped themselves and returns how many.
func (c *Cluster) restart() int {
	c.t.Helper()
	stopped := 0
	for _, i := range c.Reap() {
		if c.Dead(i) == nil {
			c.Start(i)
			stopped++
		}
	}
	return stopped
}

// WaitRebuilt attends until node i says that it is of a generation, a voter of
// all its shards, and has removed what was damaged.
func (c *Cluster) WaitRebuilt(i int, generation uint64, within time.Duration) {
	c.t.Helper()
	last := "it did not answer"
	for end := time.Now().Add(within); time.Now().Before(end); c.Attend(200 * time.Millisecond) {
		s, err := Verdict(c, i)
		if err != nil {
			continue
		}
		last = fmt.Sprintf("generation %d, damage %q, %s", s.Generation, s.Damage, s.Verdict)
		if s.Generation == generation && s.Damage == "" && !rebuilding(s, i) && led(s) {
			return
		}
	}
	c.t.Fatalf("%s node %d was not rebuilt within %v: %s\n%s", stamp(), i, within, last, c.machine(i).log.String())
}

func led(s node.Status) bool {
	for _, info := range s.Shards {
		if info.Leader == 0 {
			return false
		}
	}
	return true
}

// dataFiles lists the files of a node, but for those that were set aside, in
// order.
func (c *Cluster) dataFiles(i int) (names []string) {
	c.t.Helper()
	m := c.machine(i)
	if err := eachFile(m.disk.mem, m.dir, func(path string) error {
		name := strings.TrimPrefix(path[len(m.dir):], "/")
		if !strings.HasPrefix(name, "damaged-") {
			names = append(names, name)
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	return names
}

// change lets f change a file of node i, which is down, durably.
func (c *Cluster) change(i int, name string, f func(data []byte) []byte) {
	c.t.Helper()
	m := c.machine(i)
	fs := m.disk.mem
	path := fs.PathJoin(m.dir, name)
	m.rotten = name + " was changed"
	data, err := contents(fs, path)
	if err != nil {
		c.t.Fatal(err)
	}
	file, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		_, err = file.Write(f(data))
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	m.disk.syncDir(fs.PathDir(path))
}

// LoseLogTail takes the newest part of the raft log from node i, which is down:
// its disk had not written what it said it had.
func (c *Cluster) LoseLogTail(i int) {
	c.t.Helper()
	lost := 0
	for _, name := range c.dataFiles(i) {
		if strings.HasPrefix(name, "log/") && strings.HasSuffix(name, ".log") {
			c.change(i, name, func(data []byte) []byte { lost += len(data); return nil })
		}
	}
	if lost == 0 {
		c.t.Fatalf("node %d had nothing in the tail of its log", i)
	}
}

// FlipTables flips a bit in the middle of each table of the state of node i,
// which is down, and returns how many there are.
func (c *Cluster) FlipTables(i int) (tables int) {
	c.t.Helper()
	for _, name := range c.dataFiles(i) {
		if strings.HasPrefix(name, "state/") && strings.HasSuffix(name, ".sst") {
			tables++
			c.change(i, name, func(data []byte) []byte { data[len(data)/4] ^= 0x10; return data })
		}
	}
	return tables
}

// set aside lists the folders of damaged data that node i keeps.
func (c *Cluster) setAside(i int) (names []string) {
	c.t.Helper()
	m := c.machine(i)
	list, err := m.disk.mem.List(m.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range list {
		if strings.HasPrefix(name, "damaged-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// openState opens the state of node i, which is down.
func openState(c *Cluster, i int) *pebble.DB {
	c.t.Helper()
	m := c.machine(i)
	db, err := pebble.Open(m.disk.mem.PathJoin(m.dir, "state"), &pebble.Options{FS: m.disk.mem, FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	if err != nil {
		c.t.Fatal(err)
	}
	return db
}

// ChangeState changes the first row of the state of node i, which is down, for
// which f says so: not as a disk would, but as a defective program or memory.
func (c *Cluster) ChangeState(i int, f func(row, val []byte) bool) {
	c.t.Helper()
	c.machine(i).rotten = "a row was changed"
	db := openState(c, i)
	it, err := db.NewIter(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	changed := false
	for ok := it.First(); ok && !changed; ok = it.Next() {
		row, val := slices.Clone(it.Key()), slices.Clone(it.Value())
		if changed = f(row, val); changed {
			err = db.Set(row, val, pebble.NoSync)
		}
	}
	if err = errors.Join(err, it.Close(), db.Flush(), db.Close()); err != nil || !changed {
		c.t.Fatalf("change the state of node %d: changed %v, %v", i, changed, err)
	}
}

// silent drops what Pebble says.
type silent struct{}

func (silent) Infof(string, ...any)         {}
func (silent) Errorf(string, ...any)        {}
func (silent) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func flip(b []byte, at int) bool {
	b[at] ^= 1
	return true
}

// Rebuilding reports whether node i is not, or not yet, what it was. What it says of
// itself is not enough: when it has just started nobody has told it yet. What was
// damaged lies on its disk until all its replicas vote again.
func (c *Cluster) Rebuilding(i int) bool {
	s, err := c.Status(i)
	if err != nil || rebuilding(s, i) || s.Damage != "" {
		return true
	}
	m := c.machine(i)
	aside, err := store.ListAside(m.disk.mem, m.dir)
	damaged := func(a store.Aside) bool { return !a.Kept }
	return err != nil || slices.ContainsFunc(aside, damaged) || lostVotes(c.machines, i)
}

// lostVotes reports whether a shard still counts a replica that node i has lost, beside
// the one in its place: where the cluster wants that to have no vote the node is what it
// is to be before the lost vote is gone. The newest map that any of the machines has tells.
func lostVotes(machines []*machine, i int) bool {
	var newest *cluster.Map
	for _, m := range machines {
		if known, err := node.ReadMap(m.disk.mem, m.dir); err == nil && (newest == nil || known.Epoch > newest.Epoch) {
			newest = known
		}
	}
	if newest == nil {
		return true
	}
	return slices.ContainsFunc(newest.Shards, func(s cluster.Shard) bool {
		here := 0
		for _, r := range s.Replicas {
			if int(r.Node) == i {
				here++
			}
		}
		return here > 1
	})
}

// rebuilding reports whether a status says of node i that its data is being made
// anew.
func rebuilding(s node.Status, i int) bool {
	return slices.ContainsFunc(s.Nodes, func(x node.NodeStatus) bool { return int(x.ID) == i && x.Rebuilding })
}
