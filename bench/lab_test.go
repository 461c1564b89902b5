package main

import (
	"os"
	"path/filepath"
	"testing"
)

// tuttiLab is a lab with tutti alone, in a folder of the test.
func tuttiLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir(), binary: map[string]string{}, versions: map[string]string{}}
	if err := l.provideTutti(t.Context(), os.Getenv("TUTTI_BINARY")); err != nil {
		t.Fatal(err)
	}
	return l
}

// logLogs logs the last lines of what the nodes of a lab have logged.
func logLogs(t *testing.T, l *lab) {
	t.Helper()
	logs, _ := filepath.Glob(filepath.Join(l.dir, "*", "*.log"))
	for _, log := range logs {
		b, _ := os.ReadFile(log)
		t.Logf("%s:\n%s", log, lastLines(string(b), 20))
	}
}
