package durable

import (
	"path/filepath"
	"testing"
)

// A second sync meanwhile is one as always.
func TestUnwatchedSyncsOfTwo(t *testing.T) {
	u := unwatched(t)
	f, err := u.Create(filepath.Join(t.TempDir(), "log"), logs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	errs := make(chan error)
	for range 8 {
		go func() {
			var err error
			for i := 0; i < 50 && err == nil; i++ {
				err = f.SyncData()
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	u.syncs.mu.Lock()
	defer u.syncs.mu.Unlock()
	if done, _ := u.syncs.sync(f.Fd()); done {
		t.Error("two syncs at a time")
	}
	if err := f.SyncData(); err != nil {
		t.Error(err)
	}
}
