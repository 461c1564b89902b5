package trust

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/durable"
)

// fileLenMax is more than any file of ours has.
const fileLenMax = 1 << 20

var (
	// ErrKeyExposed says that a key file may be read or written by others than
	// its owner, who then must be assumed to have the key.
	ErrKeyExposed = errors.New("trust: key file is open to others, want mode 0600")
	// ErrDamaged says that a file is not what was written.
	ErrDamaged = errors.New("trust: file is damaged")
	// ErrVersion says that a file or request is of a later version of tutti.
	ErrVersion = errors.New("trust: needs a later version of tutti")
)

// audience says who may read a file.
type audience bool

const (
	public audience = false
	secret audience = true
)

func (who audience) mode() fs.FileMode {
	if who == secret {
		return 0o600
	}
	return 0o644
}

// textFile is a file to be written or read.
type textFile struct {
	name string
	text []byte
	who  audience
}

// secondCopy ends the name of the second copy of each file. Nobody can make a key
// or a certificate again, so one flipped bit must not lose it.
const secondCopy = ".2"

// saveAll writes files to dir durably, each all or nothing and in two copies: a
// file gets its name when it is on the disk. A missing dir is made, but its own
// name is left to the caller to make durable.
func saveAll(fs vfs.FS, dir string, files []textFile) error {
	second := slices.Clone(files)
	for i := range second {
		second[i].name += secondCopy
	}
	// All first copies before a second one: of a save that was cut off, what is
	// loaded is all new or all old, but for the moment between two of them.
	if err := replaceAll(fs, dir, files); err != nil {
		return err
	}
	return replaceAll(fs, dir, second)
}

func replaceAll(fs vfs.FS, dir string, files []textFile) error {
	// Nobody else may look into this folder, so a key is never readable by
	// others, not even while it is an empty file whose mode is not set yet.
	making := fs.PathJoin(dir, makingDir)
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	if err := fs.MkdirAll(making, 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", making, err)
	}
	for _, f := range files {
		temp := fs.PathJoin(making, f.name)
		err := durable.Write(fs, temp, seal(f.text), f.who.mode())
		if err == nil {
			err = fs.Rename(temp, fs.PathJoin(dir, f.name))
		}
		if err != nil {
			return fmt.Errorf("save %s: %w", fs.PathJoin(dir, f.name), err)
		}
	}
	if err := fs.RemoveAll(making); err != nil {
		return fmt.Errorf("remove %s: %w", making, err)
	}
	return durable.SyncDir(fs, dir)
}

// makingDir is where files are made; one that a crash has left is used again.
const makingDir = "trust.new"

// loadAll reads files of dir and returns their texts. Of each it takes the first
// copy, or the second if the first is damaged or gone, and writes a copy that
// says something else again.
func loadAll(fs vfs.FS, dir string, files []textFile) (texts [][]byte, err error) {
	for _, f := range files {
		first, err1 := load(fs, dir, f.name, f.who)
		second, err2 := load(fs, dir, f.name+secondCopy, f.who)
		worn := ""
		switch {
		case err1 != nil && (err2 != nil || !mendable(err1)):
			return nil, err1
		case err1 != nil:
			first, worn = second, f.name
		case err2 != nil && !mendable(err2):
			return nil, err2
		case err2 != nil || !bytes.Equal(first, second):
			worn = f.name + secondCopy
		}
		if worn != "" {
			if err := replaceAll(fs, dir, []textFile{{worn, first, f.who}}); err != nil {
				return nil, err
			}
		}
		texts = append(texts, first)
	}
	return texts, nil
}

// mendable reports whether a copy may be replaced by the other one: not if
// others may have read it, or if a later version has written it.
func mendable(err error) bool { return !errors.Is(err, ErrKeyExposed) && !errors.Is(err, ErrVersion) }

func load(fs vfs.FS, dir, name string, who audience) ([]byte, error) {
	name = fs.PathJoin(dir, name)
	b, err := readFile(fs, name, who)
	if err != nil {
		return nil, err
	}
	text, err := unseal(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// readFile reads a file of reasonable length. The mode that is checked is that
// of the open file, so a secret one cannot be exchanged after the check.
func readFile(fs vfs.FS, name string, who audience) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if who == secret && durable.HasMode(info) && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has %#o", ErrKeyExposed, name, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, fileLenMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > fileLenMax {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrDamaged, name, fileLenMax)
	}
	return b, nil
}

// A file's first line, which tools that read PEM skip. The checksum is that of
// the format's number and of what follows the line.
const (
	sealLine   = "tutti identity, format %d, CRC-32C %08x\n"
	sealFormat = 1
)

// seal puts the line with the checksum before a text.
func seal(text []byte) []byte {
	return append(fmt.Appendf(nil, sealLine, sealFormat, checksum(sealFormat, text)), text...)
}

// unseal returns the text of a sealed one.
func unseal(b []byte) ([]byte, error) {
	line, text, _ := bytes.Cut(b, []byte("\n"))
	var format, sum uint32
	_, err := fmt.Sscanf(string(line)+"\n", sealLine, &format, &sum)
	switch {
	case err != nil || sum != checksum(format, text) || string(line)+"\n" != fmt.Sprintf(sealLine, format, sum):
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	case format != sealFormat:
		return nil, fmt.Errorf("%w: it has format %d, this version reads %d", ErrVersion, format, sealFormat)
	}
	return text, nil
}

func checksum(format uint32, text []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(fmt.Append(nil, format), table), table, text)
}
