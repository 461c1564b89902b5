package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns both ends of a terminal: what is written to the second is read from
// the first.
func terminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, program
}

// How far a run is stands on the terminal, goes before anything is printed, and is
// nowhere else.
func TestEtaIsOnTheTerminal(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1, "--allow-exec=1")
	for _, where := range []string{"--here", "--here=false"} {
		args := []string{"run", "--addr", c.addr(0), "--eta", where, "-j", "1", "--", "echo", ":::", "1", "2", "3"}
		if r := tutti(t, "", args...); strings.Contains(r.out+r.errors, "ETA") {
			t.Errorf("not on a terminal: %+v", r)
		}
		screen, program := terminal(t)
		cmd := exec.Command(binary(t), args...)
		cmd.Stdout, cmd.Stderr = program, program
		err := cmd.Start()
		program.Close()
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(screen) // ends with an error, as terminals do
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		shown := string(text)
		if !strings.Contains(shown, " of 3 commands") || !strings.Contains(shown, "\x1b[K3\r\n") || strings.Contains(shown, "commands1\r\n") {
			t.Errorf("%s: %q", where, shown)
		}
	}
}
