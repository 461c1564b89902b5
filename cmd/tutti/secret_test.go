package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecret makes the login of a cluster once, and keeps it from others.
func TestSecret(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("TUTTI_DIR", t.TempDir()) // no node
	l, file, err := newSecret("red", "admin")
	if err != nil || l.user != "admin" || len(l.password) < 26 {
		t.Fatalf("%+v, %v", l, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, _, err := newSecret("red", "admin"); err != nil || again != l {
		t.Errorf("made again: %v, %v", again == l, err)
	}
	if got := ownSecret(); got != file {
		t.Errorf("found %q", got)
	}
	if other, _, err := newSecret("blue", "admin"); err != nil || other == l {
		t.Errorf("two clusters have one login, %v", err)
	}
	if got := ownSecret(); got != "" {
		t.Errorf("of two it takes %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(file); err == nil || !strings.Contains(err.Error(), "open to others") {
		t.Errorf("%v", err)
	}
	if _, err := readSecret(file + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "admin", "admin ", " word", "admin two words", "admin a\nb"} {
		if err := os.WriteFile(file+"x", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := readSecret(file + "x"); err == nil || strings.Contains(err.Error(), "word") && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %+v, %v", text, l, err)
		}
	}
}
