//go:build invariants || race

package resp

// poison overwrites memory that was given back, so that a use after Release
// shows in every test that runs with the race detector.
func poison(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}
