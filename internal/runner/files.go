package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds of the files that travel with a command.
const (
	FileMax     = 8 << 20 // bytes of one
	filesMax    = 16      // of one command, there and back
	fileNameMax = 1024
)

// fileKeep is how long a file that was made is kept if nobody fetches it, in
// milliseconds: 8 days, so longer than the result that names it.
const fileKeep = "691200000"

// File is a file that travels through the store.
type File struct {
	Name string `json:"name"` // below the folder of the command, or of who asked for it
	Key  string `json:"key"`
	Mode uint32 `json:"mode"` // the permissions
}

// FileKey is the key of a file of a run.
func FileKey(run, id string) string { return run + ":file:" + id }

// CheckFiles says what is wrong with the files of a command.
func CheckFiles(c Command) error {
	if len(c.In)+len(c.Out) > filesMax {
		return fmt.Errorf("more than %d files", filesMax)
	}
	names := append([]string(nil), c.Out...)
	for _, f := range c.In {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if !filepath.IsLocal(name) || filepath.Clean(name) == "." || len(name) > fileNameMax {
			return fmt.Errorf("the file %.200q does not lie below the folder of the command", name)
		}
	}
	return nil
}

// bring writes the files of a command to where it is to work. It returns why it can't
// be run, or an error if the worker is lost.
func (p *place) bring(t task, c Command) (why string, err error) {
	for _, f := range c.In {
		if !strings.HasPrefix(f.Key, FileKey(p.Run, "")) {
			return fmt.Sprintf("its file %.200s is none of the run", f.Name), nil
		}
		v, err := p.insist("GET", f.Key)
		refused, is := errors.AsType[*replyError](err)
		switch {
		case is:
			return fmt.Sprintf("its file %.200s can't be had: %v", f.Name, refused), nil
		case err != nil:
			return "", err
		case v.Null:
			return fmt.Sprintf("its file %.200s is not in the store any more", f.Name), nil
		}
		if err := p.put(f, v.Str); err != nil {
			return fmt.Sprintf("its file %.200s: %v", f.Name, err), nil
		}
		if _, err := p.beat(t.id); err != nil {
			return "", err
		}
	}
	return "", nil
}

// put writes a file into the folder.
func (p *place) put(f File, text []byte) error {
	folder, err := p.desk.take()
	if err != nil {
		return err
	}
	name := filepath.Join(folder, f.Name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return os.WriteFile(name, text, os.FileMode(f.Mode)&0o777|0o600)
}

// bringBack puts the files that a command has made into the store, and their names
// into its result. A command that has not made one has failed.
func (p *place) bringBack(t task, c Command, r *Result) error {
	for i, name := range c.Out {
		text, mode, err := readOut(filepath.Join(p.desk.folder, name))
		if err != nil {
			r.Why = fmt.Sprintf("its file %.200s: %v", name, cause(err))
			return nil
		}
		f := File{Name: name, Key: FileKey(p.Run, fmt.Sprintf("%d.%s.%s", c.Number, t.token, strconv.Itoa(i))), Mode: mode}
		_, err = p.insist("SET", f.Key, string(text), "PX", fileKeep)
		if refused, is := errors.AsType[*replyError](err); is {
			r.Why = fmt.Sprintf("its file %.200s could not be kept: %v", name, refused)
			return nil
		}
		if err != nil {
			return err
		}
		r.Files = append(r.Files, f)
		if _, err := p.beat(t.id); err != nil {
			return err
		}
	}
	return nil
}

// cause is an error without the name of the file, which is said already.
func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// readOut reads a file that is to be brought back.
func readOut(name string) (text []byte, mode uint32, err error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, errors.New("it is no file")
	case info.Size() > FileMax:
		return nil, 0, fmt.Errorf("it has %d bytes; a file that travels has at most %d", info.Size(), FileMax)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text, err = io.ReadAll(io.LimitReader(f, FileMax))
	return text, uint32(info.Mode().Perm()), err
}
