package store

import (
	"fmt"
	"sync"
)

// blobFile is a blob file that is written. Pebble 2.1.7 goes on with a file that it has
// closed if the end of one fails (pull request 6128 of cockroachdb/pebble), so that does not
// fail: it waits for room, and whatever else goes wrong ends the node, as it would without.
type blobFile struct {
	*spaceFile
	name string
}

// blobTail is what Pebble gathers until it writes: less comes at the end of a file only.
const blobTail = 4096

func (f blobFile) Write(p []byte) (int, error) {
	if len(p) >= blobTail {
		return f.spaceFile.Write(p)
	}
	_, err := f.insist(p)
	return len(p), f.ends(err)
}

func (f blobFile) Sync() error     { return f.ends(f.spaceFile.Sync()) }
func (f blobFile) SyncData() error { return f.ends(f.spaceFile.SyncData()) }

func (f blobFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.spaceFile.SyncTo(length)
	return fullSync, f.ends(err)
}

// Preallocate is a wish.
func (f blobFile) Preallocate(offset, length int64) error {
	_ = f.spaceFile.Preallocate(offset, length)
	return nil
}

// Close says nothing of what was synced before.
func (f blobFile) Close() error {
	_ = f.spaceFile.Close()
	return nil
}

// ends ends the node if err is one. Should that return, as it does where many nodes share a
// process, no table is synced until Pebble has removed the file: hence none refers to it.
func (f blobFile) ends(err error) error {
	if err != nil {
		f.space.broken.add(f.name, err)
		f.space.cfg.Fatal(fmt.Errorf("write values of the state store: %w", err))
	}
	return nil
}

// brokenBlobs are blob files that Pebble takes for written, and that are not.
type brokenBlobs struct {
	mu    sync.Mutex
	names map[string]error
}

func (b *brokenBlobs) add(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names == nil {
		b.names = make(map[string]error)
	}
	b.names[name] = err
}

func (b *brokenBlobs) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.names, name)
}

// any returns what has gone wrong with one of them, nil if there is none.
func (b *brokenBlobs) any() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, err := range b.names {
		return err
	}
	return nil
}
