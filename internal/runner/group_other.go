//go:build unix && !linux

package runner

import "syscall"

// groupAttr makes a process the first of a group of its own, which a signal can be
// sent to as a whole.
func groupAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
