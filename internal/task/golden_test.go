package task

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"tutti/internal/keyspace"
)

var rewrite = flag.Bool("rewrite", false, "write the golden bytes of a new version")

const goldenFile = "testdata/rows.1"

// goldenRows makes rows of all kinds.
func goldenRows(t *testing.T) string {
	s := newShard(t)
	var b strings.Builder
	show := func(what string, f func(c *Change)) {
		tx := s.change(f)
		fmt.Fprintf(&b, "# %s\n", what)
		tx.Effects(func(row, val []byte) { fmt.Fprintf(&b, "%c %x = %x\n", row[4], row, val) },
			func(row []byte) { fmt.Fprintf(&b, "%c %x gone\n", row[4], row) })
	}
	all := Options{Prio: 7, Retries: 3, BackoffMin: 10, BackoffMax: 1000, Timeout: 5000, TTL: 60_000, Keep: 1000, KeepFailed: 2000, Unique: []byte("u"), Key: []byte("k")}
	var refs []Ref
	show("a task with all options, and a second one of its KEY", func(c *Change) {
		refs, _ = c.Add(&Addition{Queue: []byte("q"), Payloads: [][]byte{[]byte("payload")}, Options: all})
		second := all
		second.Unique = nil
		_, _ = c.Add(&Addition{Queue: []byte("q"), Payloads: [][]byte{[]byte("second")}, Options: second})
	})
	show("claimed", func(c *Change) { c.Claim([]byte("w"), 30*time.Second, 1, [][]byte{[]byte("q")}) })
	show("with progress", func(c *Change) {
		c.Report([]byte("q"), refs[0], []byte("w"), Progress{Fraction: 0.5, Message: []byte("half")})
	})
	show("failed", func(c *Change) {
		c.Fail([]byte("q"), refs[0], 1<<tokenSeqBits|1, Failure{Text: []byte("why"), Wait: -1})
	})
	show("one NEAR another slot, for later; and one AFTER both", func(c *Change) {
		near, _ := c.Add(&Addition{Queue: []byte("q"), Payloads: [][]byte{nil}, Near: []byte("elsewhere"), RunAt: s.now + 77, Options: DefaultOptions()})
		_, _ = c.Add(&Addition{Queue: []byte("q"), Payloads: [][]byte{nil}, After: []Parent{{Ref: refs[0]}, {Ref: near[0]}}, Options: DefaultOptions()})
	})
	show("done", func(c *Change) { c.Done([]byte("q"), refs[0], 1<<tokenSeqBits|1, []byte("result")) })
	return b.String()
}

// TestGoldenRows fails when the bytes of a row change: rows are on the disks of all
// nodes, so that is a new version.
func TestGoldenRows(t *testing.T) {
	got := goldenRows(t)
	want, err := os.ReadFile(goldenFile)
	if *rewrite && errors.Is(err, os.ErrNotExist) { // what is there belongs to a version that is in use
		err, want = os.WriteFile(goldenFile, []byte(got), 0o644), []byte(got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("rows have changed:\n%s", got)
	}
}

// TestLaterRows reads rows of versions to come: they are refused by their number.
func TestLaterRows(t *testing.T) {
	later := []byte{version + 1, 1, 2, 3}
	for what, decode := range map[string]func() *keyspace.RowError{
		"task":  func() *keyspace.RowError { _, err := DecodeTask(Ref{}, later); return err },
		"queue": func() *keyspace.RowError { _, err := DecodeQueue(nil, later); return err },
		"turns": func() *keyspace.RowError { _, err := decodeTurns(later); return err },
		"ref":   func() *keyspace.RowError { _, err := refIn(later); return err },
	} {
		if err := decode(); err == nil || err.Format != version+1 {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzRows decodes any bytes as rows: what can be read is written the same, and what
// can't is no panic.
func FuzzRows(f *testing.F) {
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kind rune
		var row, val []byte
		if n, _ := fmt.Sscanf(line, "%c %x = %x", &kind, &row, &val); n == 3 {
			f.Add(row, val)
		}
	}
	f.Fuzz(func(t *testing.T, row, val []byte) {
		_, _ = timerOf(row)
		_, _, _ = decodeClaim(val)
		_, _ = refIn(val)
		if tk, err := DecodeTask(Ref{1, 2}, val); err == nil {
			again, err := DecodeTask(Ref{1, 2}, tk.Append(nil))
			if err != nil || !same(tk, again) {
				t.Errorf("%+v becomes %+v, %v", tk, again, err)
			}
		}
		if q, err := DecodeQueue([]byte("q"), val); err == nil {
			again, err := DecodeQueue([]byte("q"), q.Append(nil))
			if err != nil || !reflect.DeepEqual(q, again) {
				t.Errorf("%+v becomes %+v, %v", q, again, err)
			}
		}
		if g, err := decodeTurns(val); err == nil {
			if again, err := decodeTurns(g.append(nil)); err != nil || again != g {
				t.Errorf("%+v becomes %+v, %v", g, again, err)
			}
		}
	})
}

// same compares what tasks are written as: no bytes and none at all are the same,
// and so is one NaN as another.
func same(a, b *Task) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }
