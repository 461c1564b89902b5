//go:build !linux

package store

import "github.com/cockroachdb/pebble/v2/vfs"

// reserve is of Linux only.
func reserve(vfs.File, int64) (bool, error) { return false, nil }
