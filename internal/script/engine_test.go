package script

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/resp"
)

// TestPrograms keeps the programs that were used last, by hash and by text alike.
func TestPrograms(t *testing.T) {
	e := NewEngine()
	source := func(i int) []byte { return fmt.Appendf(nil, "return %d", i) }
	first, err := e.Compile(source(0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * programsMax {
		if _, err := e.Compile(source(i)); err != nil {
			t.Fatal(err)
		}
		if e.Find(first.SHA) != first || e.FindText(source(0)) != first {
			t.Fatalf("a program that is used all the time is gone after %d others", i)
		}
	}
	if n, bytes, _ := e.Known(); n != programsMax || len(e.texts) != n || bytes > 11*n {
		t.Errorf("%d programs of %d bytes are kept, %d by text", n, bytes, len(e.texts))
	}
	if p, err := e.Compile(source(1)); e.Find(SHA1(source(1))) != p || err != nil {
		t.Errorf("one that was forgotten is not there again, %v", err)
	}
	if e.Forget(); e.Find(first.SHA) != nil || e.FindText(source(0)) != nil {
		t.Error("a program is there after all were forgotten")
	}
}

// TestNoTableOfArguments: a script has no arguments but KEYS and ARGV, by no name, and
// none in the place of a local that has no value yet.
func TestNoTableOfArguments(t *testing.T) {
	for source, want := range map[string]string{
		"local x; return {x == nil and 'nil' or type(x), select('#', ...)}": "*2 $3 nil :0",
		"return type(arg)": "nonexistent global variable 'arg'",
		"local f = function(...) return arg.n end return f(1, 2)": ":2",
	} {
		if got := newTester().outcome(source); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", source, got, want)
		}
	}
}

// BenchmarkRun runs a script of five calls, whose commands answer with a status.
func BenchmarkRun(b *testing.B) {
	e := NewEngine()
	p, err := e.Compile([]byte(strings.Repeat("redis.call('set', KEYS[1], ARGV[1]) ", 5)))
	if err != nil {
		b.Fatal(err)
	}
	r := &Run{Keys: [][]byte{[]byte("key")}, Args: [][]byte{[]byte("value")}, Version: "7.2.4",
		Do: func([][]byte, int) ([]byte, error) { return []byte("+OK\r\n"), nil }, Spend: func(int) error { return nil }}
	b.ReportAllocs()
	var out resp.Writer
	for b.Loop() {
		out.Out = out.Out[:0]
		if err := e.Run(p, r, &out); err != nil {
			b.Fatal(err)
		}
	}
}
