package shard

import "sync"

// views counts the open views of a replica. They are made by its loop and
// released by whoever reads.
type views struct {
	mu   sync.Mutex // guards open, none
	open int
	none func() // called once when the last one is released; nil: nobody waits
}

func (v *views) add() {
	v.mu.Lock()
	v.open++
	v.mu.Unlock()
}

func (v *views) done() {
	v.mu.Lock()
	v.open--
	f := v.none
	if v.open > 0 {
		f = nil
	}
	if f != nil {
		v.none = nil
	}
	v.mu.Unlock()
	if f != nil {
		f()
	}
}

// whenNone has f called, on some goroutine, once no view is open. It is for one
// who makes sure that no more are made.
func (v *views) whenNone(f func()) {
	v.mu.Lock()
	if v.open > 0 {
		v.none, f = f, nil
	}
	v.mu.Unlock()
	if f != nil {
		f()
	}
}
