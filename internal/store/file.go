package store

import (
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
