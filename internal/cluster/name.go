package cluster

import (
	"errors"
	"fmt"
)

// nodeNameMax is that of a label of a host name.
const nodeNameMax = 63

// ErrName says that a text is no name of a node or a zone.
var ErrName = errors.New("not a name")

// CheckName refuses what is no name of a node or a zone: 1 to 63 letters, digits,
// "-", "_" or ".", beginning with a letter or digit. Such a name can be printed and
// typed anywhere.
func CheckName(s string) error {
	if s == "" || len(s) > nodeNameMax {
		return fmt.Errorf("%w: %d characters, want 1 to %d", ErrName, len(s), nodeNameMax)
	}
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return fmt.Errorf("%w: %q, want letters, digits, '-', '_' and '.'", ErrName, s)
		}
	}
	return nil
}
