package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tear returns the disk after a power cut in the middle of a write: of every
// file that has changed since its last fsync, the first bytes of what changed
// are new and the rest is old, or not there.
func tear(mem *vfs.MemFS, r *rand.Rand) (*vfs.MemFS, error) {
	old, now := mem.CrashClone(vfs.CrashCloneCfg{}), mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
	err := eachFile(old, "/", func(path string) error {
		was, err := contents(old, path)
		if err != nil {
			return err
		}
		is, err := contents(now, path)
		if err != nil {
			return nil // removed, and that was not synced
		}
		same := 0
		for same < min(len(was), len(is)) && was[same] == is[same] {
			same++
		}
		if same == len(is) || len(is) < len(was) {
			return nil
		}
		n := same + r.IntN(len(is)-same+1)
		return overwrite(old, path, int64(same), is[same:n])
	})
	return old, err
}

// flipBit changes one bit of a file of a class below dir and returns which, or an
// empty text if there is no such file. Nobody may have the file open that would
// write it.
func flipBit(mem *vfs.MemFS, dir, of string, r *rand.Rand) (string, error) {
	var files []string
	if err := eachFile(mem, dir, func(path string) error {
		if class(path) == of {
			files = append(files, path)
		}
		return nil
	}); err != nil {
		return "", err
	}
	slices.Sort(files)
	for len(files) > 0 {
		i := r.IntN(len(files))
		b, err := contents(mem, files[i])
		if err != nil {
			return "", err
		}
		if len(b) == 0 {
			files = slices.Delete(files, i, i+1)
			continue
		}
		at, bit := r.IntN(len(b)), byte(1)<<r.IntN(8)
		text := fmt.Sprintf("%s: bit %02x of byte %d of %d", files[i], bit, at, len(b))
		return text, overwrite(mem, files[i], int64(at), []byte{b[at] ^ bit})
	}
	return "", nil
}

// eachFile calls f for every file below dir.
func eachFile(fs vfs.FS, dir string, f func(path string) error) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			continue // removed meanwhile
		}
		if info.IsDir() {
			err = eachFile(fs, path, f)
		} else {
			err = f(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func contents(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// overwrite replaces bytes of a file, durably.
func overwrite(fs vfs.FS, path string, at int64, b []byte) error {
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, at); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
