package command

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tutti/internal/keyspace"
	"tutti/internal/rdb"
	"tutti/internal/resp"
)

// tx starts a transaction over the state of the bench that is never applied.
func (b *bench) tx() *keyspace.Tx {
	b.tasks.Batch(pebbleReader{b.db}, 1, 0)
	return keyspace.NewTx(pebbleReader{b.db}, keyspace.Env{Now: b.now, Applied: b.now, Index: b.index + 1, Databases: b.dbs,
		Keys: func(uint32) (int64, error) { return 0, nil }, NewID: func() uint64 { b.id++; return b.id }, Rand: b.rand.Uint64N})
}

// FuzzCommands evaluates any commands: lines of words. Each gives exactly one
// well-formed reply, in both protocols, and one that fails changes nothing.
func FuzzCommands(f *testing.F) {
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for scene := range strings.SplitSeq(string(text), "\n\n") {
			var lines []string
			for line := range strings.Lines(scene) {
				if cmd, ok := strings.CutPrefix(line, "> "); ok {
					lines = append(lines, strings.TrimSpace(cmd))
				}
			}
			if len(lines) > 0 {
				f.Add(strings.Join(lines, "\n"), false)
			}
		}
	}
	for _, line := range []string{"SRANDMEMBER k -9223372036854775808", "SETRANGE k 536870911 x", "SETBIT k 4294967295 1", "LPOP k 9223372036854775807",
		"BITFIELD k SET i64 #9223372036854775807 1", "ZADD k nan m", "SORT k BY * GET # LIMIT 0 -1", "SCAN 18446744073709551615 COUNT 9223372036854775807",
		"LCS a b IDX MINMATCHLEN 9223372036854775807", "EXPIRE k 9223372036854775807", "ZRANGEBYLEX k - + LIMIT 1 -1", "HRANDFIELD k -4611686018427387905 WITHVALUES",
		"TASK.ADD q COUNT 2 a b PRIO 9 KEY k TTL 5 TIMEOUT 7\nTASK.CLAIM w COUNT 2 LEASE 1000 FROM q r\nTASK.BEAT w {2Rh}q:3 1 m", "TASK.ADD q COUNT 9223372036854775807 a",
		"TASK.ADD q p AFTER 9223372036854775807 a", "TASK.ADD q p AFTER 1 {2Rh}q:1 IN 0 UNIQUE u BACKOFF 1 2 NEAR {q}k KEEP 0 KEEPFAILED 0 RETRY 0", "TASK.DONE {2Rh}q:1 1 r\nTASK.FAIL {2Rh}q:1 2 e DEAD\nTASK.RETRY {2Rh}q:1",
		"TASK.GET {2Rh}q:1 WAIT 0", "TASK.CLAIM w BLOCK 9223372036854775807 FROM q"} {
		f.Add("SADD k a\n"+line, true)
		f.Add(line, true)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, lines string, three bool) {
		if len(lines) > 4<<10 {
			return
		}
		tx := b.tx()
		for line := range strings.SplitSeq(lines, "\n") {
			var args [][]byte
			for word := range strings.FieldsSeq(line) {
				args = append(args, []byte(word))
			}
			if len(args) == 0 {
				continue
			}
			cmd, _ := b.table.Lookup(args)
			if cmd == nil || cmd.Run == nil {
				continue
			}
			c := &Ctx{Writer: resp.Writer{Proto: 2}, Tx: tx, Args: args, Office: Office{Tasks: b.tasks}}
			if three {
				c.Proto = 3
			}
			size := tx.Size()
			c.Run(cmd)
			if c.Failed() && tx.Size() != size {
				t.Errorf("%q failed and changed something", line)
			}
			r := bufio.NewReader(bytes.NewReader(c.Out))
			if _, err := resp.ReadValue(r); err != nil {
				t.Fatalf("%q answers %.200q: %v", line, c.Out, err)
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Fatalf("%q answers more than one value: %.200q", line, c.Out)
			}
		}
		if err := tx.Err(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRestore restores any payload: what is taken dumps to a payload of the
// same value.
func FuzzRestore(f *testing.F) {
	f.Add(rdb.AppendString(nil, []byte("value")))
	for kind, elems := range map[rdb.Kind]int{rdb.List: 3, rdb.Set: 3, rdb.Hash: 4} {
		n := elems
		if kind == rdb.Hash {
			n /= 2
		}
		b := rdb.AppendStart(nil, kind, n)
		for i := range elems {
			b = rdb.AppendElement(b, []byte{'a' + byte(i)})
		}
		f.Add(b)
	}
	z := rdb.AppendMember(rdb.AppendMember(rdb.AppendStart(nil, rdb.ZSet, 2), []byte("m"), 1.5), []byte("n"), math.Inf(-1))
	f.Add(z)
	b := newBench(f)
	run := func(t *testing.T, tx *keyspace.Tx, args ...string) *Ctx {
		c := &Ctx{Writer: resp.Writer{Proto: 2}, Tx: tx}
		for _, a := range args {
			c.Args = append(c.Args, []byte(a))
		}
		cmd, text := b.table.Lookup(c.Args)
		if cmd == nil {
			t.Fatal(text)
		}
		c.Run(cmd)
		return c
	}
	dump := func(t *testing.T, tx *keyspace.Tx, key string) []byte {
		v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(run(t, tx, "DUMP", key).Out)))
		if err != nil {
			t.Fatal(err)
		}
		return v.Str
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tx := b.tx()
		if run(t, tx, "RESTORE", "k", "0", string(rdb.AppendFooter(body))).Failed() {
			if tx.Size() != 0 {
				t.Error("a refused payload changed something")
			}
			return
		}
		first := dump(t, tx, "k")
		if c := run(t, tx, "RESTORE", "l", "0", string(first)); c.Failed() {
			t.Fatalf("its own dump is refused: %s", c.Out)
		}
		one, err := rdb.Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		two, err := rdb.Decode(dump(t, tx, "l"))
		if err != nil || !reflect.DeepEqual(one, two) {
			t.Errorf("%+v becomes %+v, %v", one, two, err)
		}
		if err := tx.Err(); err != nil {
			t.Fatal(err)
		}
	})
}
