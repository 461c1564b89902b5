//go:build invariants || race

package keyspace

import "bytes"

// poison overwrites what a command was given, so that a use after Forget shows in every
// test that runs with the race detector.
func poison(s *scratch) {
	for i := range s.objects[:min(s.used, len(s.objects))] {
		s.objects[i] = Object{Type: typeMask, items: s.objects[i].items[:0]}
	}
	for i := range s.found {
		s.found[i] = 0xdb
	}
}

// guarded has a value that is held overwritten, too, when it is let go: a copy of it.
func guarded(val []byte, h Held) ([]byte, Held) {
	val = bytes.Clone(val)
	return val, poisoned{h, val}
}

type poisoned struct {
	Held
	val []byte
}

func (p poisoned) LetGo() {
	for i := range p.val {
		p.val[i] = 0xdb
	}
	p.Held.LetGo()
}
