package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// wireCase is one case of testdata/commands.txt, which describes the format.
type wireCase struct {
	name, limits, end string
	in                []byte
	cmds              []string // each argument quoted
}

// quotedRun is a quoted text and how many times it stands there.
var quotedRun = regexp.MustCompile(`("(?:[^"\\]|\\.)*")(?:\s*x(\d+))?`)

// unquoteRuns returns the texts of s, each repeated as it says.
func unquoteRuns(t *testing.T, s string) (texts []string) {
	t.Helper()
	for _, m := range quotedRun.FindAllStringSubmatch(s, -1) {
		text, err := strconv.Unquote(m[1])
		if err != nil {
			t.Fatalf("unquote %s: %v", m[1], err)
		}
		if m[2] != "" {
			n, _ := strconv.Atoi(m[2])
			text = strings.Repeat(text, n)
		}
		texts = append(texts, text)
	}
	return texts
}

// readCases returns the cases of testdata/commands.txt.
func readCases(t *testing.T) (cases []wireCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(data), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "" || word == "#" {
			continue
		}
		if word == "case" {
			cases = append(cases, wireCase{name: rest})
			continue
		}
		c := &cases[len(cases)-1]
		switch word {
		case "limits":
			c.limits = rest
		case "in":
			c.in = []byte(strings.Join(unquoteRuns(t, rest), ""))
		case "cmd":
			c.cmds = append(c.cmds, fmt.Sprintf("%q", unquoteRuns(t, rest)))
		case "end":
			c.end = strings.ReplaceAll(rest, `\r`, "\r")
		default:
			t.Fatalf("line %d of the cases: unknown word %q", i+1, word)
		}
	}
	return cases
}

func (c wireCase) readerLimits() Limits {
	if c.limits == "unauthenticated" {
		return Limits{ArgsMax: 10, BulkLenMax: 16384, Unauthenticated: true}
	}
	return Limits{}
}

// serve reads src as a server does, a pipeline at a time, and returns the
// commands and how the stream ended. It fails if an argument changes before
// Release.
func serve(t testing.TB, src io.Reader, lim Limits) (cmds []string, end string) {
	t.Helper()
	r := NewReader(src, lim)
	for {
		args, err := r.ReadCommand()
		var batch [][][]byte
		first := len(cmds)
		for ok := err == nil; ok; args, ok, err = r.NextBuffered() {
			if len(args) == 0 {
				t.Fatal("empty command returned")
			}
			batch = append(batch, args)
			cmds = append(cmds, fmt.Sprintf("%q", args))
		}
		for i, args := range batch {
			if got := fmt.Sprintf("%q", args); got != cmds[first+i] {
				t.Fatalf("command changed before Release from %.200s to %.200s", cmds[first+i], got)
			}
		}
		r.Release()
		if err != nil {
			return cmds, ending(t, r, err)
		}
	}
}

// ending names the way a stream ended.
func ending(t testing.TB, r *Reader, err error) string {
	t.Helper()
	if protocol, ok := errors.AsType[*ProtocolError](err); ok {
		if _, again := r.ReadCommand(); !errors.Is(again, err) {
			t.Fatalf("after %v the error is %v", err, again)
		}
		return "error " + protocol.Error()
	}
	switch {
	case errors.Is(err, io.EOF):
		if r.Partial() || r.Buffered() != 0 {
			t.Fatalf("%d bytes left at a clean end", r.Buffered())
		}
		return "open"
	case errors.Is(err, io.ErrUnexpectedEOF):
		if !r.Partial() {
			t.Fatal("not partial at the end of half a command")
		}
		return "partial"
	}
	t.Fatalf("unexpected error: %v", err)
	return ""
}

// check compares commands and end with what the case says.
func (c wireCase) check(t *testing.T, how string, cmds []string, end string) {
	t.Helper()
	if end != c.end {
		t.Errorf("%s: end is %q, want %q", how, end, c.end)
	}
	if got, want := strings.Join(cmds, "\n"), strings.Join(c.cmds, "\n"); got != want {
		t.Errorf("%s: commands are\n%.500s\nwant\n%.500s", how, got, want)
	}
}

func TestCommands(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			cmds, end := serve(t, bytes.NewReader(c.in), c.readerLimits())
			c.check(t, "at once", cmds, end)
		})
	}
}

func TestSplitAnywhere(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			step := 1 + len(c.in)/256 // all positions of the short ones
			for at := 0; at <= len(c.in); at += step {
				src := io.MultiReader(bytes.NewReader(c.in[:at]), bytes.NewReader(c.in[at:]))
				cmds, end := serve(t, src, c.readerLimits())
				c.check(t, fmt.Sprint("split at ", at), cmds, end)
			}
			cmds, end := serve(t, iotest.OneByteReader(bytes.NewReader(c.in)), c.readerLimits())
			c.check(t, "byte by byte", cmds, end)
		})
	}
}

func TestErrorWithLastBytes(t *testing.T) {
	r := NewReader(iotest.DataErrReader(strings.NewReader("PING\r\n")), Limits{})
	if args, err := r.ReadCommand(); err != nil || string(args[0]) != "PING" {
		t.Fatalf("got %q, %v", args, err)
	}
	if _, err := r.ReadCommand(); !errors.Is(err, io.EOF) {
		t.Fatalf("got %v, want EOF", err)
	}
}

func TestReadGoesOnAfterTimeout(t *testing.T) {
	in := "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n"
	r := NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(in))), Limits{})
	if _, err := r.ReadCommand(); !errors.Is(err, iotest.ErrTimeout) {
		t.Fatalf("got %v, want a timeout", err)
	}
	if !r.Partial() || r.Buffered() != 1 {
		t.Fatalf("partial %v, buffered %d after one byte", r.Partial(), r.Buffered())
	}
	r.Release()
	if args, err := r.ReadCommand(); err != nil || string(args[1]) != "hello" {
		t.Fatalf("got %q, %v", args, err)
	}
}

func TestNoProgress(t *testing.T) {
	r := NewReader(readerFunc(func([]byte) (int, error) { return 0, nil }), Limits{})
	if _, err := r.ReadCommand(); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("got %v", err)
	}
}

func TestSetLimitsAfterLogin(t *testing.T) {
	in := "AUTH x\r\n*11\r\n" + strings.Repeat("$1\r\na\r\n", 11)
	r := NewReader(strings.NewReader(in), Limits{ArgsMax: 10, Unauthenticated: true})
	if _, err := r.ReadCommand(); err != nil {
		t.Fatal(err)
	}
	r.SetLimits(Limits{})
	if args, ok, err := r.NextBuffered(); !ok || len(args) != 11 {
		t.Fatalf("got %q, %v, %v", args, ok, err)
	}
}

func TestCommandTooLong(t *testing.T) {
	r := NewReader(strings.NewReader("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$7\r\n"), Limits{CommandLenMax: 10})
	_, err := r.ReadCommand()
	if protocol, ok := errors.AsType[*ProtocolError](err); !ok || protocol.Text != "too big command" {
		t.Fatalf("got %v", err)
	}
}

// TestReleaseKeepsHalfCommand releases while the arguments of a command are
// spread over several chunks.
func TestReleaseKeepsHalfCommand(t *testing.T) {
	var want []string
	for i := range 3000 {
		want = append(want, fmt.Sprint("argument ", i))
	}
	in := AppendCommandStrings(nil, want...)
	var r *Reader
	src := bytes.NewReader(in)
	r = NewReader(readerFunc(func(p []byte) (int, error) {
		r.Release()
		return src.Read(p[:min(len(p), 100)])
	}), Limits{})
	args, err := r.ReadCommand()
	if err != nil || fmt.Sprintf("%q", args) != fmt.Sprintf("%q", want) {
		t.Fatalf("got %.100q, %v", args, err)
	}
}

// TestLargeRequests sends what is too long for the cases in testdata, which are
// cut at every position.
func TestLargeRequests(t *testing.T) {
	t.Run("long pipeline", func(t *testing.T) {
		in := bytes.Repeat(AppendCommandStrings(nil, "PING"), 100_000)
		if cmds, end := serve(t, bytes.NewReader(in), Limits{}); len(cmds) != 100_000 || end != "open" {
			t.Fatalf("%d commands, end %s", len(cmds), end)
		}
	})
	t.Run("many arguments", func(t *testing.T) {
		in := append(AppendArray(nil, 1_000_000), bytes.Repeat(AppendBulkString(nil, "x"), 1_000_000)...)
		r := NewReader(bytes.NewReader(in), Limits{})
		if args, err := r.ReadCommand(); len(args) != 1_000_000 || err != nil {
			t.Fatalf("%d arguments, %v", len(args), err)
		}
		if r.Release(); heldBytes(r) > 8*chunkLen {
			t.Fatalf("%d bytes held after Release", heldBytes(r))
		}
	})
}

// TestMemoryFollowsBytes shows that a promise alone costs nothing.
func TestMemoryFollowsBytes(t *testing.T) {
	for name, in := range map[string]string{
		"length": "*2\r\n$3\r\nSET\r\n$536870912\r\nabc",
		"count":  "*1048576\r\n$1\r\na\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(strings.NewReader(in), Limits{})
			if _, err := r.ReadCommand(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("got %v", err)
			}
			if held := heldBytes(r); held > 128<<10 {
				t.Fatalf("%d bytes held for %d received", held, len(in))
			}
		})
	}
}

func TestSkippedInputIsNotKept(t *testing.T) {
	left := 1 << 10
	r := NewReader(readerFunc(func(p []byte) (int, error) {
		if left--; left < 0 {
			return 0, io.EOF
		}
		for i := range p {
			p[i] = '\n'
		}
		return len(p), nil
	}), Limits{})
	if _, err := r.ReadCommand(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if held := heldBytes(r); held > 4*chunkLen {
		t.Fatalf("%d bytes held of nothing but empty lines", held)
	}
}

// heldBytes returns how much memory r holds.
func heldBytes(r *Reader) int {
	held := len(r.buf) + cap(r.big) + 24*cap(r.slab)
	for _, chunk := range append(r.used, r.spare...) {
		held += len(chunk)
	}
	return held
}

// readerFunc is an io.Reader made of a function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestParseInt(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "-7": -7, "10": 10,
		"9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63,
	} {
		if got, ok := ParseInt([]byte(text)); !ok || got != want {
			t.Errorf("ParseInt(%q) = %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-", "-0", "00", "+1", "1 ", "1a", "9223372036854775808", "-9223372036854775809", "18446744073709551616"} {
		if got, ok := ParseInt([]byte(text)); ok {
			t.Errorf("ParseInt(%q) = %d, want refusal", text, got)
		}
	}
}
