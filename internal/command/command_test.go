package command

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/task"
)

// bench evaluates commands as a shard does, without raft: every batch of
// commands is one transaction, whose effects are then applied to a store.
type bench struct {
	t      testing.TB
	db     *pebble.DB
	table  *Table
	dbs    *keyspace.Databases
	counts map[uint32]int64
	rand   *rand.Rand
	now    int64
	index  uint64
	id     uint64
	proto  int
	logic  uint8
	tasks  *task.Lead
}

func newBench(t testing.TB) *bench {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), DisableWAL: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &bench{t: t, db: db, table: NewTable(), dbs: keyspace.NewDatabases(), counts: map[uint32]int64{},
		rand: rand.New(rand.NewPCG(1, 2)), now: 1_700_000_000_000, proto: 2, tasks: task.NewLead(nil)}
}

type pebbleReader struct{ db *pebble.DB }

func (r pebbleReader) Get(row, dst []byte) ([]byte, bool, error) {
	v, closer, err := r.db.Get(row)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, err
	}
	defer closer.Close()
	return append(dst, v...), true, nil
}

func (r pebbleReader) Iter(lower, upper []byte) (keyspace.Iterator, error) {
	return r.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
}

func (b *bench) begin() *keyspace.Tx {
	b.tasks.Batch(pebbleReader{b.db}, 1, time.Duration(b.now)*time.Millisecond)
	return keyspace.NewTx(pebbleReader{b.db}, keyspace.Env{Now: b.now, Applied: b.now, Index: b.index, Databases: b.dbs,
		Keys:  func(pdb uint32) (int64, error) { return b.counts[pdb], nil },
		NewID: func() uint64 { b.id++; return b.id }, Rand: b.rand.Uint64N})
}

// batch runs command lines in one transaction and returns their replies.
func (b *bench) batch(lines ...string) []string {
	b.t.Helper()
	b.index++
	tx := b.begin()
	var replies []string
	for _, line := range lines {
		replies = append(replies, b.eval(tx, line))
	}
	b.apply(tx)
	return replies
}

// apply applies the effects of a transaction.
func (b *bench) apply(tx *keyspace.Tx) {
	b.t.Helper()
	if err := tx.Err(); err != nil {
		b.t.Fatal(err)
	}
	w := b.db.NewBatch()
	tx.Effects(func(row, val []byte) { _ = w.Set(row, val, nil) }, func(row []byte) { _ = w.Delete(row, nil) })
	if err := w.Commit(pebble.NoSync); err != nil {
		b.t.Fatal(err)
	}
	b.tasks.Applied(tx, true)
	maps.Copy(b.counts, tx.KeyCounts())
	b.dbs = tx.Databases
}

func (b *bench) eval(tx *keyspace.Tx, line string) string {
	b.t.Helper()
	args := splitLine(b.t, line)
	cmd, text := b.table.Lookup(args)
	if cmd == nil {
		return "(error) " + text
	}
	c := &Ctx{Writer: resp.Writer{Proto: b.proto}, Tx: tx, DB: b.logic, Args: args, Office: Office{Tasks: b.tasks}}
	c.Run(cmd)
	v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(c.Out)))
	if err != nil {
		b.t.Fatalf("%s: reply %q: %v", line, c.Out, err)
	}
	return strings.TrimRight(v.FormatCLI(), "\n")
}

// endEarly evaluates a command for nothing, again and again, ended after each
// number of steps that it takes: none of its code may rely on what it reads then.
func (b *bench) endEarly(line string) {
	b.t.Helper()
	args := splitLine(b.t, line)
	cmd, _ := b.table.Lookup(args)
	if cmd == nil {
		return
	}
	for n := 1; n < 200; n++ {
		tx := b.begin()
		tx.Allow(n)
		c := &Ctx{Writer: resp.Writer{Proto: b.proto}, Tx: tx, DB: b.logic, Args: args, Office: Office{Tasks: b.tasks}}
		c.Run(cmd)
		switch over := tx.Steps() > n; {
		case !over && tx.Err() == nil:
			return
		case !over || !errors.Is(tx.Err(), keyspace.ErrHeavy):
			b.t.Fatalf("%s, %d steps allowed: %d taken, %v", line, n, tx.Steps(), tx.Err())
		case tx.Steps() > n+400+4*len(args): // a loop over its arguments may go on, over what lies in the store not
			b.t.Fatalf("%s, %d steps allowed: goes on to %d", line, n, tx.Steps())
		}
	}
}

// do runs one command in a batch of its own.
func (b *bench) do(line string) string {
	b.t.Helper()
	return b.batch(line)[0]
}

// splitLine cuts a command line at blanks; "quoted" words may hold any Go escape.
func splitLine(t testing.TB, line string) (args [][]byte) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] == '"' {
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				t.Fatalf("bad quotes in %q", line)
			}
			s, _ := strconv.Unquote(q)
			args, line = append(args, []byte(s)), line[len(q):]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		args, line = append(args, []byte(word)), rest
	}
	return args
}

// TestScripts runs the scenarios in testdata/*.txt. A line "> CMD" is
// evaluated, and what follows up to the next such line or blank line is its
// reply as redis-cli prints it. "batch" before commands puts those up to the
// next blank line into one transaction, where their replies follow each
// command all the same; "sleep N" advances the shard time by N milliseconds;
// "resp3" changes the protocol; "select N" the database. Every script runs
// twice: as written, and with every command in a batch of its own and the
// store flushed between, so that nothing depends on where rows come from.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		t.Run(name, func(t *testing.T) { runScript(t, f, false) })
		t.Run(name+"/flushed", func(t *testing.T) { runScript(t, f, true) })
	}
}

type step struct {
	line, want string
	at         int
}

func runScript(t *testing.T, file string, flushed bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	var steps []step
	batched := false
	run := func() {
		t.Helper()
		if batched && !flushed {
			lines := make([]string, len(steps))
			for i, s := range steps {
				lines[i] = s.line
			}
			for i, got := range b.batch(lines...) {
				steps[i].check(t, file, got)
			}
		} else {
			for _, s := range steps {
				if flushed {
					b.endEarly(s.line)
				}
				s.check(t, file, b.do(s.line))
				if flushed {
					if err := b.db.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		steps, batched = nil, false
	}
	for i, line := range strings.Split(string(text), "\n") {
		switch word, rest, _ := strings.Cut(line, " "); {
		case strings.HasPrefix(line, "#"):
		case word == ">":
			if !batched {
				run()
			}
			steps = append(steps, step{line: rest, at: i + 1})
		case line == "":
			run()
		case len(steps) > 0:
			s := &steps[len(steps)-1]
			s.want = strings.TrimPrefix(s.want+"\n"+line, "\n")
		case word == "batch":
			batched = true
		case word == "resp3":
			b.proto = 3
		case word == "select":
			n, _ := strconv.Atoi(rest)
			b.logic = uint8(n)
		case word == "sleep":
			n, _ := strconv.ParseInt(rest, 10, 64)
			b.now += n
		default:
			t.Fatalf("%s:%d: %q is neither a command nor a reply", file, i+1, line)
		}
	}
	run()
}

func (s step) check(t *testing.T, file, got string) {
	t.Helper()
	if got != s.want {
		t.Errorf("%s:%d: %s\n got: %s\nwant: %s", file, s.at, s.line, got, s.want)
	}
}

// TestTable checks what every row of the table must have.
func TestTable(t *testing.T) {
	for _, c := range NewTable().All() {
		rows := append([]*Command{c}, c.Subs...)
		for _, r := range rows {
			if r.Arity == 0 || r.Group == "" || r.Doc == "" || r.Since == "" {
				t.Errorf("%s: incomplete row: %+v", r.Name, *r)
			}
			if r.Name != strings.ToLower(r.Name) {
				t.Errorf("%s: not in lower case", r.Name)
			}
			if r.Run != nil && r.Changes() == (r.Flags&ReadOnly != 0) {
				t.Errorf("%s: must be either Write (or MayWrite) or ReadOnly", r.Name)
			}
			if n := fmt.Sprint(r.KeyArgs(nil, make([][]byte, max(3, -r.Arity)))); r.Keys.First > 0 && r.Keys.Find == nil && n == "[]" {
				t.Errorf("%s: keys %+v find nothing", r.Name, r.Keys)
			}
		}
	}
}

// A row that contradicts itself does not get into the table.
func TestRowsThatContradictThemselves(t *testing.T) {
	run := func(*Ctx) {}
	for name, row := range map[string]Command{
		"a shard without Run":     {Name: "x", Where: OnShard, Flags: Write},
		"meta without Run":        {Name: "x", Where: OnMeta, Flags: Write},
		"a node with Run":         {Name: "x", Where: OnNode, Run: run},
		"a connection with Run":   {Name: "x", Where: OnConnection, Run: run},
		"a shard at once":         {Name: "x", Where: OnShard, Flags: Write | AtOnce, Run: run},
		"a subcommand of a shard": {Name: "x", Subs: []*Command{{Name: "x|y", Flags: Write}}},
		"two rows":                {Name: "x", Run: run, Subs: []*Command{{Name: "x", Run: run}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was accepted", name)
				}
			}()
			newTable([]Command{row})
		}()
	}
	if c := newTable([]Command{{Name: "x", Where: OnMeta, Run: run}}).Find([]byte("x")); c == nil || !c.Where.Evaluated() {
		t.Error("a row of the meta shard was not accepted")
	}
}

// purge removes some garbage, as a leader does, and returns how much there was.
func (b *bench) purge(limit int) (n int) {
	b.t.Helper()
	b.index++
	tx := b.begin()
	for _, row := range b.rows() {
		if slot, id, ok := keyspace.Trash(row); ok {
			if _, err := tx.PurgeTrash(slot, id, limit); err != nil {
				b.t.Fatal(err)
			}
			n++
		}
	}
	b.apply(tx)
	return n
}

// rows lists the keys of all rows.
func (b *bench) rows() (rows [][]byte) {
	b.t.Helper()
	it, err := b.db.NewIter(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		rows = append(rows, bytes.Clone(it.Key()))
	}
	if err := it.Close(); err != nil {
		b.t.Fatal(err)
	}
	return rows
}
