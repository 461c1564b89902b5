//go:build unix && !linux

package main

import "syscall"

// childAttr keeps Ctrl-C from a child process: it is stopped in order.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
