package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), size), 0o644); err != nil {
		t.Fatal(err)
	}
}

func paths(files []inputFile) string {
	var list []string
	for _, f := range files {
		list = append(list, f.path)
	}
	return strings.Join(list, " ")
}

func TestInputFilesInPathOrderUpToTheirSize(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.txt"), 10)
	write(t, filepath.Join(dir, "a", "z.go"), 0)
	write(t, filepath.Join(dir, "big"), inputFileSizeMax+1)
	write(t, filepath.Join(dir, "full"), inputFileSizeMax)
	if err := os.Symlink(filepath.Join(dir, "b.txt"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	files, size, err := inputFiles(dir)
	if err != nil || paths(files) != "a/z.go b.txt full" || size != 10+inputFileSizeMax {
		t.Errorf("got %s, %d, %v", paths(files), size, err)
	}
}

func TestInputEndsBeforeTheLimit(t *testing.T) {
	dir := t.TempDir()
	for i := range inputSizeMax/inputFileSizeMax + 3 {
		write(t, filepath.Join(dir, string(rune('a'+i))), inputFileSizeMax)
	}
	files, size, err := inputFiles(dir)
	if err != nil || size != inputSizeMax || len(files) != inputSizeMax/inputFileSizeMax {
		t.Errorf("got %d files, %d bytes, %v", len(files), size, err)
	}
}

func TestInputWithoutFiles(t *testing.T) {
	if _, _, err := inputFiles(t.TempDir()); err == nil {
		t.Error("an empty folder was taken as input")
	}
	if _, err := inputFolder(filepath.Join(t.TempDir(), "no")); err == nil {
		t.Error("a missing folder was taken as input")
	}
	t.Setenv("PATH", "")
	_, err := inputFolder("")
	if e, ok := errors.AsType[*exitError](err); !ok || !strings.Contains(e.do, "--input") {
		t.Errorf("without a toolchain: got %v", err)
	}
}

func TestBars(t *testing.T) {
	var out bytes.Buffer
	b := (&view{out: &out}).bar("loading", 100)
	for range 100 {
		b.add(1)
	}
	b.end()
	if want := "   loading   25 %\n   loading   50 %\n   loading   75 %\n"; out.String() != want {
		t.Errorf("without a terminal: %q", out.String())
	}
	out.Reset()
	b = (&view{out: &out, terminal: true}).bar("loading", 2<<20)
	b.add(1 << 20)
	b.end()
	if want := "\r   loading  " + strings.Repeat("█", 15) + strings.Repeat("░", 15) + "  1.0 MiB of 2.0 MiB\x1b[K\r\x1b[K"; out.String() != want {
		t.Errorf("on a terminal: %q", out.String())
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 31077: "31,077", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
