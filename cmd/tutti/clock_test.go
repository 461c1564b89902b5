package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/shard"
)

// The clock of a test follows its file, forward and back, and stays where it is if the file
// says nothing.
func TestFileClock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	synctest.Test(t, func(t *testing.T) {
		true0 := shard.SystemClock()
		c := newFileClock(true0, file)
		for _, step := range []struct {
			text string
			want time.Duration
		}{{"", 0}, {"1h", time.Hour}, {"-1h\n", -time.Hour}, {"nonsense", -time.Hour}, {"0s", 0}} {
			if step.text != "" {
				if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(fileClockEvery)
			if got := time.Duration(c.Wall()-true0.Wall()) * time.Millisecond; got != step.want {
				t.Errorf("%q: %v ahead, want %v", step.text, got, step.want)
			}
		}
	})
}
