package command

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// fieldModel is a hash as a map.
type fieldModel map[string]modelField

type modelField struct {
	val string
	at  int64 // 0: no deadline
}

// pass forgets what is due.
func (m fieldModel) pass(now int64) {
	maps.DeleteFunc(m, func(_ string, f modelField) bool { return f.at != 0 && f.at <= now })
}

// ttls is the reply of HPTTL for fields.
func (m fieldModel) ttls(now int64, names []string) string {
	var lines []string
	for i, name := range names {
		f, ok := m[name]
		n := f.at - now
		switch {
		case !ok:
			n = -2
		case f.at == 0:
			n = -1
		}
		lines = append(lines, fmt.Sprintf("%d) (integer) %d", i+1, n))
	}
	return strings.Join(lines, "\n")
}

// step makes up a command that writes, applies it to the model and returns it with its
// reply.
func (m fieldModel) step(r *rand.Rand, now int64, sizeMax int) (line, want string) {
	name := "f" + strconv.Itoa(r.IntN(sizeMax))
	f, exists := m[name]
	one := func(n int) string { return fmt.Sprintf("1) (integer) %d", n) }
	switch r.IntN(11) {
	case 0, 1:
		m[name] = modelField{val: strconv.Itoa(r.IntN(100))}
		return "HSET h " + name + " " + m[name].val, integer(boolInt(!exists))
	case 2:
		n, _ := strconv.Atoi(f.val)
		m[name] = modelField{strconv.Itoa(n + 1), f.at}
		return "HINCRBY h " + name + " 1", integer(n + 1)
	case 3:
		delete(m, name)
		return "HDEL h " + name, integer(boolInt(exists))
	case 4:
		line = "HPERSIST h FIELDS 1 " + name
		switch {
		case !exists:
			return line, one(-2)
		case f.at == 0:
			return line, one(-1)
		}
		m[name] = modelField{f.val, 0}
		return line, one(1)
	}
	word := []string{"", "", "", " NX", " XX", " GT", " LT"}[r.IntN(7)]
	ttl := []int64{0, 1, 5, 100, 1000, 1000, 5000}[r.IntN(7)]
	line = fmt.Sprintf("HPEXPIRE h %d%s FIELDS 1 %s", ttl, word, name)
	at := now + ttl
	switch {
	case !exists:
		return line, one(-2)
	case word == " NX" && f.at != 0, word == " XX" && f.at == 0, word == " GT" && (f.at == 0 || at <= f.at), word == " LT" && f.at != 0 && at >= f.at:
		return line, one(0)
	case ttl == 0:
		delete(m, name)
		return line, one(2)
	}
	m[name] = modelField{f.val, at}
	return line, one(1)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// read evaluates a command in a transaction that only reads.
func (b *bench) read(line string) string {
	b.t.Helper()
	args := splitLine(b.t, line)
	cmd, _ := b.table.Lookup(args)
	tx := keyspace.NewReadTx(pebbleReader{b.db}, keyspace.Env{Now: b.now, Applied: b.now, Index: b.index, Databases: b.dbs, Rand: b.rand.Uint64N})
	c := &Ctx{Writer: resp.Writer{Proto: b.proto}, Tx: tx, DB: b.logic, Args: args}
	c.Run(cmd)
	if err := tx.Err(); err != nil {
		b.t.Fatalf("%s: %v", line, err)
	}
	v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(c.Out)))
	if err != nil {
		b.t.Fatalf("%s: reply %q: %v", line, c.Out, err)
	}
	return strings.TrimRight(v.FormatCLI(), "\n")
}

// check compares what readers are told with the model.
func (m fieldModel) check(t *testing.T, b *bench, ask func(line string) string, key string) {
	t.Helper()
	var names, pairs []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		names, pairs = append(names, name), append(pairs, name+"="+m[name].val)
	}
	var got []string
	lines := strings.Split(ask("HGETALL "+key), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		word := func(line string) string { s, _ := strconv.Unquote(line[strings.Index(line, `"`):]); return s }
		got = append(got, word(lines[i])+"="+word(lines[i+1]))
	}
	slices.Sort(got)
	slices.Sort(pairs)
	if !slices.Equal(got, pairs) {
		t.Fatalf("HGETALL: %v\nwant %v", got, pairs)
	}
	if n := ask("HLEN " + key); n != integer(len(m)) {
		t.Fatalf("HLEN: %s, want %d", n, len(m))
	}
	if scan := ask("HSCAN " + key + " 0 COUNT 100000"); strings.Count(scan, `"f`) != len(m) {
		t.Fatalf("HSCAN: %s, want %v", scan, pairs)
	}
	if len(m) == 0 {
		if got := ask("EXISTS " + key); got != "(integer) 0" {
			t.Fatalf("EXISTS: %s", got)
		}
		return
	}
	if sub, _ := strconv.Unquote(ask("HRANDFIELD " + key)); !slices.Contains(names, sub) {
		t.Fatalf("HRANDFIELD: %s of %v", sub, names)
	}
	names = append(names[:min(len(names), 9)], "fnone")[:min(len(names), 9)]
	if got, want := ask("HPTTL "+key+" FIELDS "+strconv.Itoa(len(names))+" "+strings.Join(names, " ")), m.ttls(b.now, names); got != want {
		t.Fatalf("HPTTL of %v: %s\nwant %s", names, got, want)
	}
}

// rowsLeft are the kinds of rows that there are, but for marks of what is gone.
func (b *bench) rowsLeft() (kinds string) {
	it, err := b.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if kind := it.Key()[3]; kind != 'v' {
			kinds += string(kind)
		}
	}
	return kinds
}

// sweep does what the leader does in the background.
func (b *bench) sweep(limit int) {
	b.index++
	tx := b.begin()
	for slot := range keyspace.Slots {
		if at, ok, _ := keyspace.NextDeadline(pebbleReader{b.db}, uint16(slot)); ok && at <= b.now {
			tx.Expire(uint16(slot), limit)
		}
	}
	b.apply(tx)
}

// TestFieldDeadlineModel runs random commands on a hash, packed or of rows, while time
// passes, with and without sweeps, and compares with a map. In the end nothing is left.
func TestFieldDeadlineModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			sizeMax := []int{5, 40, 400}[seed%3]
			b, m := newBench(t), fieldModel{}
			slot := keyspace.Slot([]byte("h"))
			for round := range 200 {
				var lines, wants []string
				for range 1 + r.IntN(1+sizeMax/4) {
					line, want := m.step(r, b.now, sizeMax)
					lines, wants = append(lines, line), append(wants, want)
				}
				for i, got := range b.batch(lines...) {
					if got != wants[i] {
						t.Fatalf("%s\n got: %.300s\nwant: %.300s", lines[i], got, wants[i])
					}
				}
				m.check(t, b, b.read, "h")
				b.now += int64(r.IntN(300))
				m.pass(b.now)
				m.check(t, b, b.read, "h") // nothing was removed yet
				switch r.IntN(8) {
				case 0:
					m.check(t, b, b.do, "h")
				case 1:
					for range sizeMax {
						b.index++
						tx := b.begin()
						tx.Expire(slot, 1+r.IntN(5))
						b.apply(tx)
					}
					if at, ok, err := keyspace.NextDeadline(pebbleReader{b.db}, slot); ok && at <= b.now || err != nil {
						t.Fatalf("after a sweep at %d the next deadline is %d, %v", b.now, at, err)
					}
				case 2:
					b.batch("COPY h {h}copy REPLACE", "DEL h", "RENAME {h}copy h")
				case 3:
					b.batch("COPY h g REPLACE", "DEL h", "RENAME g h") // another slot
				case 4:
					if payload, err := strconv.Unquote(b.do("DUMP h")); err == nil {
						b.batch("RESTORE h 0 " + strconv.Quote(payload) + " REPLACE")
					}
				}
				m.check(t, b, b.read, "h")
				if round%50 == 49 {
					b.do("DEL h")
					clear(m)
				}
			}
			b.do("DEL h")
			for left := true; left; { // what was large has become garbage
				b.index++
				tx := b.begin()
				left = false
				_ = keyspace.Pending(pebbleReader{b.db}, 0, keyspace.Slots, func(uint16, int64) {}, func(slot uint16, id uint64) {
					_, _ = tx.PurgeTrash(slot, id, 100)
					left = true
				})
				b.apply(tx)
			}
			if kinds := b.rowsLeft(); kinds != "" {
				t.Errorf("rows are left: %s", kinds)
			}
		})
	}
}

// What is due of many fields goes in pieces, and the hash with the last.
func TestSweepOfFields(t *testing.T) {
	b := newBench(t)
	var line strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&line, " f%d v", i)
	}
	b.do("HSET h" + line.String())
	for i := range 1000 {
		b.do(fmt.Sprintf("HPEXPIRE h %d FIELDS 1 f%d", 10+i, i))
	}
	b.now += 509
	if got := b.read("HLEN h"); got != integer(500) {
		t.Errorf("HLEN before the sweep: %s", got)
	}
	for range 6 {
		b.sweep(100)
	}
	if kinds := b.rowsLeft(); strings.Count(kinds, "s") != 500 || strings.Count(kinds, "h") != 500 || strings.Count(kinds, "i") != 500 {
		t.Errorf("rows after the sweep: %d s, %d h, %d i", strings.Count(kinds, "s"), strings.Count(kinds, "h"), strings.Count(kinds, "i"))
	}
	b.now += 1000
	for range 7 {
		b.sweep(100)
	}
	if kinds := b.rowsLeft(); kinds != "" {
		t.Errorf("rows are left: %s", kinds)
	}
}
