//go:build invariants || race

package keyspace

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
