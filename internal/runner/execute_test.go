package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// sh is a command that a shell executes.
func sh(t *testing.T, script string) process {
	d := new(desk)
	t.Cleanup(d.close)
	return process{Command: Command{Number: 7, Argv: []string{"/bin/sh", "-c", script}}, run: "run-x", task: "{0}run-x:1", node: "ada", desk: d}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	r := sh(t, `echo out; echo err >&2; exit 3`).start(t.Context())
	if string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" || r.Exit != 3 || !r.Failed() || r.String() != "exit status 3" || r.Node != "ada" || r.Number != 7 {
		t.Errorf("%+v", r)
	}
	if r = sh(t, `kill -TERM $$`).start(t.Context()); r.Signal != int(syscall.SIGTERM) || !r.Failed() {
		t.Errorf("%+v", r)
	}
	p := sh(t, "")
	p.Argv = []string{"echo", "$HOME", "*", "; id", ""}
	if r = p.start(t.Context()); string(r.Stdout) != "$HOME * ; id \n" || r.Failed() {
		t.Errorf("no shell looks into the words: %+v", r)
	}
	p.Argv = []string{"no-such-command", "x"}
	if r = p.start(t.Context()); r.Exit != exitNotFound || r.Why != "no-such-command can't be found on node ada" {
		t.Errorf("%+v", r)
	}
	p.Argv = []string{"./nor-this"}
	if r = p.start(t.Context()); r.Exit != exitNotFound || !strings.Contains(string(r.Stderr), "not found") {
		t.Errorf("%+v", r)
	}
}

// A command sees nothing of the node's environment but the way to programs, works in
// a folder of its own that is gone afterwards, and has limits.
func TestProcessIsAlone(t *testing.T) {
	t.Setenv("SECRET", "treasure")
	p := sh(t, `pwd; ls -A | wc -l; ulimit -c; ulimit -n; ulimit -v; env | sort`)
	r := p.start(t.Context())
	lines := strings.Split(strings.TrimSpace(string(r.Stdout)), "\n")
	if r.Failed() || len(lines) < 6 {
		t.Fatalf("%+v", r)
	}
	folder := lines[0]
	if lines[1] != "0" || lines[2] != "0" || lines[3] != "1024" || lines[4] != fmt.Sprint(AddressMax>>10) {
		t.Errorf("files, core, open files, address space: %q", lines[1:5])
	}
	for _, want := range []string{"HOME=" + folder, "PARALLEL_SEQ=7", "TUTTI_JOB=run-x", "TUTTI_NODE=ada", "TUTTI_TASK={0}run-x:1"} {
		if !slices.Contains(lines[5:], want) {
			t.Errorf("no %s in %q", want, lines[5:])
		}
	}
	if strings.Contains(string(r.Stdout), "treasure") {
		t.Error("it sees the node's environment")
	}
	p.desk.close()
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
}

// A folder is the next command's only if it is as it was made.
func TestFolderIsEmpty(t *testing.T) {
	t.Parallel()
	d := new(desk)
	defer d.close()
	last := ""
	for _, step := range []struct {
		script string
		same   bool // as the one before
	}{{"true", false}, {"echo x >x", true}, {"echo y >y", false}, {"chmod 777 .", false}, {"ls; mkdir z", false}, {`cd ..; rm -r "$HOME"`, false}, {"ls", false}, {"ls", true}} {
		p := sh(t, `pwd; `+step.script)
		p.desk = d
		r := p.start(t.Context())
		if folder := string(r.Stdout); r.Failed() || strings.Count(folder, "\n") != 1 || (folder == last) != step.same {
			t.Errorf("%s: %q after %q, %v: %s", step.script, folder, last, r, r.Stderr)
		}
		last = string(r.Stdout)
		d.clear()
	}
	d.close()
	if _, err := os.Stat(strings.TrimSpace(last)); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
}

// A script without a first line is one of the shell's, as it is for a shell.
func TestScriptWithoutFirstLine(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(name, []byte("echo $1; ulimit -n\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := sh(t, "")
	p.Argv = []string{name, "a b"}
	if r := p.start(t.Context()); r.Failed() || string(r.Stdout) != "a b\n1024\n" {
		t.Errorf("%+v", r)
	}
}

// A command that writes without end takes no more memory than what is kept.
func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	r := sh(t, fmt.Sprintf("head -c %d /dev/zero; head -c %d /dev/zero >&2", StdoutMax+1000, StderrMax+1)).start(t.Context())
	if r.Failed() || len(r.Stdout) != StdoutMax || r.CutOut != 1000 || len(r.Stderr) != StderrMax || r.CutErr != 1 {
		t.Errorf("%d + %d, %d + %d: %v", len(r.Stdout), r.CutOut, len(r.Stderr), r.CutErr, r)
	}
	if n := len(r.Encode()); n > 1<<20 {
		t.Errorf("a result of %d bytes is more than a task holds", n)
	}
}

// A command is killed with all that it has started.
func TestProcessIsKilledWithItsGroup(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan Result, 1)
	go func() { ended <- sh(t, `exec 5>`+name+`; sleep 1000 & echo begun >&5; wait`).start(ctx) }()
	pipe, err := os.Open(name) // waits until it is written to
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := io.ReadFull(pipe, make([]byte, len("begun\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if r := <-ended; r.Signal != int(syscall.SIGKILL) || !r.Failed() {
		t.Errorf("%+v", r)
	}
	if rest, err := io.ReadAll(pipe); err != nil || len(rest) > 0 { // ends when nobody has it open any more
		t.Errorf("%q, %v", rest, err)
	}
	p := sh(t, "sleep 1000")
	p.TimeoutMS = 1
	if r := p.start(t.Context()); r.Why != "killed after 1ms" {
		t.Errorf("at its deadline: %+v", r)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	r := Result{Number: 7, Node: "ada", BeganMS: 1764345600000, TookMS: 12, Stdout: []byte("ok\n\x00"), Stderr: []byte("e")}
	text := []byte(`{"version":1,"number":7,"node":"ada","exit":0,"began":1764345600000,"ms":12,"out":4,"err":1}` + "\nok\n\x00e")
	if got := r.Encode(); !bytes.Equal(got, text) {
		t.Errorf("%s", got)
	}
	if got, err := DecodeResult(text); err != nil || !bytes.Equal(got.Encode(), text) {
		t.Errorf("%v: %+v", err, got)
	}
	c := Command{Number: 2, Argv: []string{"echo", "<b>"}, TimeoutMS: 5}
	if got := string(c.Encode()); got != `{"version":1,"number":2,"argv":["echo","\u003cb\u003e"],"timeout_ms":5}` {
		t.Error(got)
	}
	p := Place{Run: "run-x", Orphan: true}
	if got := string(p.Encode()); got != `{"version":1,"run":"run-x","orphan":true}` {
		t.Error(got)
	}
	withFiles := Command{Number: 2, Argv: []string{"a"}, In: []File{{"d/x", "run-x:file:1", 0o644}}, Out: []string{"y"}}
	text2 := `{"version":2,"number":2,"argv":["a"],"in":[{"name":"d/x","key":"run-x:file:1","mode":420}],"out":["y"]}`
	if got, err := DecodeCommand([]byte(text2)); err != nil || string(got.Encode()) != text2 || string(withFiles.Encode()) != text2 {
		t.Errorf("%v: %s", err, withFiles.Encode())
	}
	made := Result{Number: 2, Node: "ada", Files: []File{{"y", "run-x:file:2.7.0", 0o600}}}
	text2 = `{"version":2,"number":2,"node":"ada","exit":0,"began":0,"ms":0,"files":[{"name":"y","key":"run-x:file:2.7.0","mode":384}],"out":0,"err":0}` + "\n"
	if got, err := DecodeResult([]byte(text2)); err != nil || string(got.Encode()) != text2 || string(made.Encode()) != text2 {
		t.Errorf("%v: %s", err, made.Encode())
	}
	for _, name := range []string{"/etc/passwd", "../x", "a/../..", ".", "", strings.Repeat("x", fileNameMax+1)} {
		if _, err := DecodeCommand(Command{Argv: []string{"a"}, Out: []string{name}}.Encode()); err == nil {
			t.Errorf("the file %q is below the folder of the command", name)
		}
	}
	for _, bad := range []string{"", "{}", `{"version":3,"run":"run-x","argv":["a"]}`, `{"version":1}`, `{"version":1,"run":"mail","argv":[]}`, `{"version":1,"run":"run-places"}`,
		`{"version":1,"out":1}` + "\n", `{"version":1,"out":-1,"err":1}` + "\n"} {
		_, err1 := DecodeCommand([]byte(bad))
		_, err2 := DecodePlace([]byte(bad))
		if err1 == nil || err2 == nil {
			t.Errorf("%s: %v, %v", bad, err1, err2)
		}
		if _, err := DecodeResult([]byte(bad)); err == nil {
			t.Errorf("%s is a result", bad)
		}
	}
}

// Whoever may change tasks of runs can put anything into them.
func FuzzRecords(f *testing.F) {
	f.Add(Result{Number: 1, Stdout: []byte("a"), Stderr: []byte("b")}.Encode())
	f.Add(Command{Number: 1, Argv: []string{"a"}}.Encode())
	f.Add(Place{Run: "run-x"}.Encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := DecodeResult(text); err == nil {
			again, err := DecodeResult(r.Encode())
			if err != nil || !bytes.Equal(again.Stdout, r.Stdout) || !bytes.Equal(again.Stderr, r.Stderr) || again.Exit != r.Exit {
				t.Errorf("%v: %+v, %+v", err, r, again)
			}
		}
		if c, err := DecodeCommand(text); err == nil && len(c.Argv) == 0 {
			t.Error("a command without words")
		}
		if p, err := DecodePlace(text); err == nil && !IsRun(p.Run) {
			t.Error("a place at no run")
		}
	})
}
