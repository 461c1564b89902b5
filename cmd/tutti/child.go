//go:build unix

package main

import "syscall"

// detachedAttr lets a child process outlive this one and its terminal.
func detachedAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
