package main

import "syscall"

// childAttr makes a child process die with this one, and keeps Ctrl-C from it:
// it is stopped in order.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
