package eval

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

const testShard = 3

// testCore is a core with a state that its batches are applied to, as if every
// proposal succeeded.
type testCore struct {
	t     testing.TB
	state *store.State
	core  *Core
	at    store.Applied
	dbs   *keyspace.Databases
	now   int64
	owned cluster.Descriptor
	users uint64
	seq   uint64
	ids   uint64
	rand  *rand.Rand
}

const testWall = 1_700_000_000_000

var testSession = group.SessionID(1, 1)

// newTestCore returns the core of a leader that knows testSession.
func newTestCore(t testing.TB) *testCore {
	fs := vfs.NewMem()
	state, err := store.OpenState(store.Config{FS: fs, Dir: "node", Small: true, RowBytes: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	c := &testCore{t: t, owned: cluster.Descriptor{ID: testShard, Slots: cluster.AllSlots, Generation: 1}, state: state, at: store.Applied{Index: 10, Term: 1}, dbs: keyspace.NewDatabases(), now: testWall}
	if err := state.Create(cluster.Descriptor{ID: testShard}, c.at, &pb.ConfState{Voters: []uint64{1}}); err != nil {
		t.Fatal(err)
	}
	if err := state.LookThrough(testShard); err != nil {
		t.Fatal(err)
	}
	c.reign()
	c.run(&group.Group{Session: testSession, Open: true})
	return c
}

// reign starts to lead in a new term, with nothing but the applied state.
func (c *testCore) reign() {
	c.t.Helper()
	c.at.Term++
	view := c.state.View(testShard, c.at, c.dbs, func() {})
	defer view.Release()
	c.rand = rand.New(rand.NewPCG(1, 1))
	var err error
	c.core, err = New(Config{Shard: testShard, Table: command.NewTable(), Known: keyspace.NewKnown(1),
		NewID: func() uint64 { c.ids++; return c.ids }, Rand: c.rand.Uint64N}, view)
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCore) input() Input {
	newest := c.state.Newest(testShard, c.at.Index)
	return Input{State: newest, Owned: c.owned, Users: c.users, Keys: newest.Keys, Databases: c.dbs,
		Applied: c.at.Time, Now: c.now, Index: c.at.Index + 1, Term: c.at.Term}
}

// write returns a group of commands with the next sequence number.
func (c *testCore) write(lines ...string) *group.Group {
	c.seq++
	return newGroup(testSession, c.seq, lines...)
}

func newGroup(session, seq uint64, lines ...string) *group.Group {
	g := &group.Group{Shard: testShard, Session: session, Seq: seq, Attempt: 1, Proto: 2}
	for _, line := range lines {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		g.Cmds = append(g.Cmds, group.Command{Args: args})
	}
	return g
}

// queue is groups as they wait for their first evaluation.
func queue(groups ...*group.Group) []Waiting {
	var q []Waiting
	for _, g := range groups {
		q = append(q, Waiting{Group: g})
	}
	return q
}

// evaluate evaluates one batch of all groups.
func (c *testCore) evaluate(in Input, groups ...*group.Group) *Batch {
	c.t.Helper()
	return c.evaluateAll(in, queue(groups...))
}

func (c *testCore) evaluateAll(in Input, q []Waiting) *Batch {
	c.t.Helper()
	b, n, err := c.core.Evaluate(in, q)
	if err != nil || n != len(q) {
		c.t.Fatalf("%d of %d groups evaluated, %v", n, len(q), err)
	}
	return b
}

func (c *testCore) apply(b *Batch) {
	c.t.Helper()
	w := c.state.NewBatch()
	var err error
	if c.at, err = w.Apply(testShard, c.at, b.Index, b.Term, b.Data); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		c.t.Fatal(err)
	}
	if b.dbs != nil {
		c.dbs = b.dbs
	}
	if b.Data != nil {
		c.core.Applied(b)
	}
}

// run evaluates and applies one batch and returns the replies as text.
func (c *testCore) run(groups ...*group.Group) []string {
	c.t.Helper()
	return c.runAll(queue(groups...))
}

func (c *testCore) runAll(q []Waiting) []string {
	c.t.Helper()
	b := c.evaluateAll(c.input(), q)
	if b.Data != nil {
		c.apply(b)
	}
	var out []string
	for _, r := range b.Replies {
		out = append(out, text(r))
	}
	return out
}

func text(r group.Reply) string {
	if r.Status != group.OK {
		return fmt.Sprint("status ", r.Status)
	}
	replies := slices.Clone(r.Replies)
	for i, p := range replies {
		if len(p) == 0 {
			replies[i] = []byte("dropped ")
		}
	}
	return strings.ReplaceAll(string(bytes.Join(replies, nil)), "\r\n", " ")
}

func (c *testCore) want(got []string, want ...string) {
	c.t.Helper()
	if !slices.Equal(got, want) {
		c.t.Errorf("replies are %q, want %q", got, want)
	}
}

// rows lists the shard-local rows of some kinds, as text.
func (c *testCore) rows(kinds string) []string {
	c.t.Helper()
	view := c.state.View(testShard, c.at, c.dbs, func() {})
	defer view.Release()
	var out []string
	if err := view.Rows(cluster.SlotRange{}, func(row, val []byte) error {
		if kind, key, is := store.LocalKey(row); is && strings.ContainsRune(kinds, rune(kind)) {
			out = append(out, fmt.Sprintf("%c %x %x", kind, key, val))
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func TestCoreBatch(t *testing.T) {
	c := newTestCore(t)
	c.want(c.run(c.write("SET a 1", "GET a"), c.write("INCR a"), c.write("NOSUCH x")),
		"+OK $1 1 ", ":2 ", "-ERR the leader does not know this command (ERR unknown command 'NOSUCH', with args beginning with: 'x' ). Not applied. ")
	before := c.at
	b := c.evaluate(c.input(), c.write("GET a", "DEL nothing", "SETNX a 5"))
	if b.Data != nil {
		t.Error("a batch without effects has an entry")
	}
	if c.at != before || text(b.Replies[0]) != "$1 2 :0 :0 " {
		t.Errorf("replies are %q", text(b.Replies[0]))
	}
	in := c.input()
	in.Tick = true
	if b := c.evaluate(in); b.Data == nil || b.Data.Time() != c.now {
		t.Error("a tick has no entry")
	}
}

// TestCoreFull refuses what needs room while the disk is full, all writes when
// it is nearly used up, and a transaction as a whole.
func TestCoreFull(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 1"))
	full, tight := c.input(), c.input()
	full.Full, tight.Tight = true, true
	c.want([]string{text(c.evaluate(full, c.write("SET b 1", "GET a", "DEL a")).Replies[0])}, "-"+group.TextNoSpace+" $1 1 :1 ")
	c.want([]string{text(c.evaluate(tight, c.write("SET b 1", "GET a", "DEL a")).Replies[0])}, "-"+errTight+" $1 1 -"+errTight+" ")
	g := c.write("GET a", "SET b 1")
	g.Atomic = true
	c.want([]string{text(c.evaluate(full, g).Replies[0])}, fmt.Sprint("status ", group.NoSpace))
}

// TestCoreTime checks that a decision which depended on the time is recorded.
func TestCoreTime(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET k v PX 100"))
	c.now += 99
	if b := c.evaluate(c.input(), c.write("GET k")); b.Data != nil || text(b.Replies[0]) != "$1 v " {
		t.Errorf("too soon: %q", text(b.Replies[0]))
	}
	c.now++
	b := c.evaluate(c.input(), c.write("GET k"))
	if b.Data == nil || b.Data.Time() != c.now || text(b.Replies[0]) != "$-1 " {
		t.Errorf("in time: %q", text(b.Replies[0]))
	}
}

// TestCoreWatch evaluates groups whose watched keys changed or did not.
func TestCoreWatch(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 1"))
	version := c.at.Index
	exec := func(w group.Watch) *group.Group {
		g := c.write("INCR b")
		g.Atomic, g.Watches = true, []group.Watch{w}
		return g
	}
	failed := fmt.Sprint("status ", group.WatchFailed)
	c.want(c.run(exec(group.Watch{Key: []byte("a"), Version: version, Exists: true})), ":1 ")
	c.want(c.run(exec(group.Watch{Key: []byte("a"), Version: version, Exists: false})), failed)
	c.want(c.run(exec(group.Watch{Key: []byte("a"), Version: version + 1, Exists: true})), failed)
	c.want(c.run(exec(group.Watch{Key: []byte("c")})), ":2 ")
	c.want(c.run(c.write("SET a 2"), exec(group.Watch{Key: []byte("a"), Version: version, Exists: true})), "+OK ", failed)
	c.want(c.run(c.write("GET b")), "$1 2 ")
}

// TestCoreBudget checks that a batch ends when it has written, read or answered
// enough, and that it always takes one group.
func TestCoreBudget(t *testing.T) {
	c := newTestCore(t)
	big := strings.Repeat("x", batchBytesMax/4)
	var writes, reads []*group.Group
	for i := range 12 {
		writes = append(writes, c.write(fmt.Sprintf("SET k%d %s", i, big)))
	}
	b, n, err := c.core.Evaluate(c.input(), queue(writes...))
	if err != nil || n < 4 || n > 5 || len(b.Data) > 2*batchBytesMax {
		t.Errorf("%d writes of a quarter of a batch taken, %v", n, err)
	}
	line := "RPUSH list"
	for i := range 4000 {
		line += fmt.Sprintf(" e%d", i)
	}
	c.run(c.write(line))
	for range 12 {
		reads = append(reads, c.write("LRANGE list 0 -1"))
	}
	if _, n, err = c.core.Evaluate(c.input(), queue(reads...)); err != nil || n > 6 {
		t.Errorf("%d reads of a quarter of a batch taken, %v", n, err)
	}
	line = strings.Replace(line, "list", "other", 1) + " " + strings.Repeat("y", batchBytesMax)
	if _, n, err = c.core.Evaluate(c.input(), queue(c.write(line), c.write("SET z 1"))); err != nil || n != 1 {
		t.Errorf("%d groups taken, %v", n, err)
	}
}

// TestCoreReplay records the inputs of random batches and evaluates them again
// in another core: all bytes must be equal.
func TestCoreReplay(t *testing.T) {
	play := func(seed uint64) (out []string) {
		c := newTestCore(t)
		r := rand.New(rand.NewPCG(seed, 6))
		seqs := map[uint64]uint64{}
		for range 120 {
			c.now += int64(r.IntN(20))
			var list []*group.Group
			for range 1 + r.IntN(6) {
				session := group.SessionID(cluster.NodeID(1+r.IntN(5)), 1)
				if session != testSession && (c.core.sessions.byID[session] == nil || r.IntN(30) == 0) {
					list = append(list, &group.Group{Session: group.SessionID(group.SessionNode(session), 1+uint64(r.IntN(2))), Open: true})
					continue
				}
				seqs[session]++
				g := newGroup(session, seqs[session], randomLine(r), randomLine(r))
				for i := range g.Cmds {
					g.Cmds[i].DB = uint8(r.IntN(4))
				}
				if s := c.core.sessions.byID[session]; r.IntN(3) == 0 {
					s.ack(seqs[session] - uint64(r.IntN(int(min(seqs[session], 4)))) - 1)
				}
				list = append(list, g)
			}
			b := c.evaluate(c.input(), list...)
			line := fmt.Sprintf("%x", []byte(b.Data))
			for _, reply := range b.Replies {
				line += fmt.Sprintf(" %q", text(reply))
			}
			out = append(out, line)
			if b.Data != nil {
				c.apply(b)
			}
		}
		return append(out, fmt.Sprintf("%x", c.at.Hash))
	}
	for seed := range uint64(4) {
		first, second := play(seed), play(seed)
		for i := range first {
			if first[i] != second[i] {
				t.Fatalf("seed %d, batch %d:\n%.400s\n%.400s", seed, i, first[i], second[i])
			}
		}
	}
}

func randomLine(r *rand.Rand) string {
	k, n := fmt.Sprint("k", r.IntN(12)), r.IntN(50)
	switch r.IntN(12) {
	case 0:
		return fmt.Sprint("SET ", k, " ", n)
	case 1:
		return fmt.Sprint("SET ", k, " ", n, " PX ", 1+n)
	case 2:
		return fmt.Sprint("INCR ", k)
	case 3:
		return fmt.Sprint("SADD s", k, " ", n, " ", n+1, " ", n+2)
	case 4:
		return fmt.Sprint("SPOP s", k, " 2")
	case 5:
		return fmt.Sprint("HSET h", k, " f", n, " ", n)
	case 6:
		return fmt.Sprint("ZADD z", k, " ", n, " m", n)
	case 7:
		return fmt.Sprint("DEL ", k, " s", k)
	case 8:
		return "RANDOMKEY"
	case 9:
		return fmt.Sprint("RPUSH l", k, strings.Repeat(" x", n))
	case 10:
		return "FLUSHDB"
	}
	return fmt.Sprint("GET ", k)
}

// TestCoreCounts follows the number of keys, over flushes: no row of it stays
// for a database that was purged.
func TestCoreCounts(t *testing.T) {
	c := newTestCore(t)
	c.want(c.run(c.write("SET a 1", "SET b 1", "SET c 1", "DEL a", "DBSIZE")), "+OK +OK +OK :1 :2 ")
	c.want(c.run(c.write("DEL b c", "DBSIZE")), ":2 :0 ")
	if rows := c.rows("k"); len(rows) != 0 {
		t.Errorf("rows %q", rows)
	}
	c.run(c.write("SET a 1 PX 1", "SET b 1"))
	c.want(c.run(c.write("FLUSHALL", "DBSIZE", "SET c 1", "DBSIZE")), "+OK :0 +OK :1 ")
	c.now += 10
	for !slices.Equal(c.dbs.Trash(), nil) {
		in := c.input()
		old := c.dbs.Trash()[0]
		in.Sweep = func(tx *keyspace.Tx) {
			for slot := range keyspace.Slots {
				tx.Expire(uint16(slot), 10)
			}
			for next, done := 0, false; !done; {
				next, done = tx.PurgeDatabase(old, next, keyspace.Slots, 100)
			}
			tx.SetDatabases(tx.Databases.Purged(old))
		}
		c.apply(c.evaluate(in))
	}
	if rows := c.rows("k"); len(rows) != 1 || !strings.HasSuffix(rows[0], "0000000000000001") {
		t.Errorf("rows %q", rows)
	}
}

// TestExpiredWithoutEffect finds a key expired by a command that fails, so
// nothing is written: the time of that must be recorded all the same.
func TestExpiredWithoutEffect(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET k v PX 100"))
	c.now += 100
	b := c.evaluate(c.input(), c.write("RENAME k {k}2"))
	if got := text(b.Replies[0]); got != "-ERR no such key " {
		t.Errorf("the reply is %q", got)
	}
	if b.Data == nil || b.Data.Time() != c.now {
		t.Error("no entry tells the time")
	}
}

// TestFieldDeadlinesNeedAllMembers: so it is with deadlines of fields.
func TestFieldDeadlinesNeedAllMembers(t *testing.T) {
	c := newTestCore(t)
	format := byte(2)
	c.core.cfg.Format = func() byte { return format }
	if got := c.run(c.write("HSET h f v"))[0]; !strings.Contains(got, "1") {
		t.Errorf("HSET: %s", got)
	}
	if got := c.run(c.write("HEXPIRE h 10 FIELDS 1 f"))[0]; !strings.Contains(got, "NEEDVERSION") {
		t.Errorf("not all know them: %s", got)
	}
	format = 3
	if got := c.run(c.write("HEXPIRE h 10 FIELDS 1 f"))[0]; !strings.Contains(got, "1") || strings.Contains(got, "NEEDVERSION") {
		t.Errorf("all know them: %s", got)
	}
}

// TestRunsNeedAllMembers: as long as a member knows lists of one run only, the elements
// behind what changes move, and no row of the later format is written.
func TestRunsNeedAllMembers(t *testing.T) {
	c := newTestCore(t)
	format := byte(3)
	c.core.cfg.Format = func() byte { return format }
	push := []string{"RPUSH l"}
	for i := range 100 {
		push = append(push, fmt.Sprint("e", i))
	}
	c.run(c.write(strings.Join(push, " ")))
	inRuns := func(cmd, is string) bool {
		b := c.evaluate(c.input(), c.write(cmd))
		if got := text(b.Replies[0]); got != is {
			t.Errorf("%s: %q, want %q", cmd, got, is)
		}
		later := false
		b.tx.Effects(func(row, val []byte) {
			later = later || keyspace.IsObject(row) && len(val) > 1 && val[0]&0x20 != 0 && val[1] == 4
		}, func([]byte) {})
		c.apply(b)
		return later
	}
	if inRuns("LINSERT l BEFORE e50 new", ":101 ") || inRuns("LREM l 1 e40", ":1 ") {
		t.Error("a list was written that not all members can read")
	}
	format = 4
	if !inRuns("LREM l 1 e30", ":1 ") {
		t.Error("all members know runs, and the list has one")
	}
}

// TestStreamsNeedAllMembers: as long as a member knows only the rows before, nobody
// makes a stream.
func TestStreamsNeedAllMembers(t *testing.T) {
	c := newTestCore(t)
	format := byte(1)
	c.core.cfg.Format = func() byte { return format }
	for _, line := range []string{"XADD s * f v", "XGROUP CREATE s g 0 MKSTREAM"} {
		if got := c.run(c.write(line))[0]; !strings.Contains(got, "NEEDVERSION") {
			t.Errorf("%s: %s", line, got)
		}
	}
	format = 2
	if got := c.run(c.write("XADD s 1-1 f v"))[0]; !strings.Contains(got, "1-1") {
		t.Errorf("all know them: %s", got)
	}
}
