package process

import (
	"context"
	"fmt"
	"os"
	"time"
)

// InFolder tries something in a folder of its own, which is kept if that failed.
func InFolder(name string, try func(dir string) (verdict string, err error)) (verdict string, err error) {
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		return "", err
	}
	if verdict, err = try(dir); err != nil {
		return "", fmt.Errorf("%w (output: %s)", err, dir)
	}
	return verdict, os.RemoveAll(dir)
}

// Pause waits, and reports false if ctx was done before.
func Pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
