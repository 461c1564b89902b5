package process

import (
	"context"
	"testing"
)

// A command ends with its context, though it would go on for ever.
func TestOutputUntil(t *testing.T) {
	if out, err := OutputUntil(t.Context(), "", "echo", "a", "b"); err != nil || out != "a b" {
		t.Errorf("printed %q: %v", out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := OutputUntil(ctx, "", "tail", "-f", "/dev/null")
		ended <- err
	}()
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}
