package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLogSink(t *testing.T) {
	read, write := io.Pipe()
	s := newLogSink(write, droppedText)
	const lines = 3 * logLinesMax
	for i := range lines { // nobody reads
		if n, err := fmt.Fprintf(s, "line %d\n", i); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	got := make(chan []string)
	go func() {
		var all []string
		for in := bufio.NewScanner(read); in.Scan(); {
			all = append(all, in.Text())
		}
		got <- all
	}()
	s.Close()
	s.Close()
	if n, err := s.Write([]byte("late\n")); n != 5 || err != nil {
		t.Error(n, err)
	}
	write.Close()
	all := <-got
	kept, dropped := 0, 0
	for _, l := range all {
		if strings.Contains(l, "dropped") {
			n := 0
			if _, err := fmt.Sscan(l, &n); err != nil {
				t.Error(err)
			}
			dropped += n
			continue
		}
		kept++
	}
	if all[0] != "line 0" || kept+dropped != lines || kept < logLinesMax {
		t.Errorf("%d lines were written and %d are said to be dropped, of %d; the first is %q", kept, dropped, lines, all[0])
	}
}

// A node whose log goes into a pipe that nobody reads answers as ever, and ends
// when it is told to.
func TestFault42LogSinkBlocked(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c := startDev(t, dir, 1)
	c.stop(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	fillPipe(t, int(write.Fd()))
	node := exec.Command(binary(t), "start", "--dir", filepath.Join(dir, "node-1"), "--log", "debug")
	node.Stderr = write
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	t.Cleanup(func() { _ = node.Process.Kill() })
	eventually(t, func() error {
		if r := c.cli(t, 0, "SET", "k", "v"); r.out != "OK\n" {
			return fmt.Errorf("SET: %+v", r)
		}
		return nil
	})
	if r := c.cli(t, 0, "GET", "k"); r.out != "v\n" {
		t.Errorf("GET: %+v", r)
	}
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the node ended with %v", err)
	}
}

// fillPipe writes to a pipe until not one byte more fits.
func fillPipe(t *testing.T, fd int) {
	t.Helper()
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{64 << 10, 1} {
		for b, err := make([]byte, n), error(nil); err == nil; {
			_, err = syscall.Write(fd, b)
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}
