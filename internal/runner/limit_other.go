//go:build !linux

package runner

import (
	"errors"
	"os/exec"
)

// startLimited is for systems on which limits can be set from outside.
func startLimited(*exec.Cmd) error { return errors.ErrUnsupported }
