package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tutti/internal/runner"
)

// fileOptions are the files that travel with commands: templates of their names.
type fileOptions struct{ in, out []string }

func (o *fileOptions) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.in, "in", nil, "bring `FILE` to where the command works")
	c.Flags().StringArrayVar(&o.out, "out", nil, "bring `FILE` back once the command has succeeded")
}

// checkFiles gives the jobs the names of their files, and looks whether all that are to
// be brought can be.
func (o batchOptions) checkFiles(jobs []job, rows [][]string) error {
	if len(o.in)+len(o.out) == 0 || o.here {
		return nil // here they lie where the command works
	}
	known := map[string]uint32{}
	for i := range jobs {
		c := &jobs[i].Command
		for _, pattern := range o.in {
			name := expand(pattern, rows[i], c.Number, asIs)
			if _, ok := known[name]; !ok {
				mode, err := checkFile(name)
				if err != nil {
					return err
				}
				known[name] = mode
			}
			c.In = append(c.In, runner.File{Name: name, Mode: known[name]})
		}
		for _, pattern := range o.out {
			c.Out = append(c.Out, expand(pattern, rows[i], c.Number, asIs))
		}
		if err := runner.CheckFiles(*c); err != nil {
			return usageError(fmt.Sprintf("command %d: %v", c.Number, err), "tutti run")
		}
	}
	return nil
}

// checkFile returns the permissions of a file that is small enough.
func checkFile(name string) (mode uint32, err error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return 0, &exitError{code: exitUsage, what: "--in: " + err.Error(), safe: "nothing was added, nothing is run", do: "tutti run --help"}
	case !info.Mode().IsRegular():
		return 0, &exitError{code: exitUsage, what: fmt.Sprintf("--in: %s is no file", name), safe: "nothing was added, nothing is run", do: "tutti run --help"}
	case info.Size() > runner.FileMax:
		return 0, tooLarge(name, info.Size())
	}
	return uint32(info.Mode().Perm()), nil
}

func tooLarge(name string, size int64) error {
	return &exitError{code: exitUsage, what: fmt.Sprintf("--in: %s has %d bytes; a file that travels has at most %d", name, size, runner.FileMax),
		safe: "nothing was added, nothing is run", do: "put it where all nodes can read it"}
}

// runFileKeep is how long files are kept that nobody deletes, in milliseconds: a day
// longer than the results that name them.
const runFileKeep = "691200000"

// bringFiles puts the files of the jobs into the store, each once, under keys that are
// the run's.
func bringFiles(s *session, queue string, jobs []job) error {
	keys := map[string]string{}
	for i := range jobs {
		c := &jobs[i].Command
		if len(c.In)+len(c.Out) == 0 {
			continue
		}
		for k := range c.In {
			f := &c.In[k]
			if keys[f.Name] == "" {
				key, err := bringFile(s, queue, f.Name)
				if err != nil {
					return err
				}
				keys[f.Name] = key
			}
			f.Key = keys[f.Name]
		}
		jobs[i].payload = string(c.Encode())
	}
	return nil
}

func bringFile(s *session, queue, name string) (key string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", failed(fmt.Errorf("--in: %w", err), "")
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, runner.FileMax+1))
	switch {
	case err != nil:
		return "", failed(fmt.Errorf("--in: %w", err), "")
	case len(text) > runner.FileMax:
		return "", tooLarge(name, int64(len(text)))
	}
	sum := sha256.Sum256(text)
	key = runner.FileKey(queue, hex.EncodeToString(sum[:16]))
	_, err = insist(s, "SET", key, string(text), "PX", runFileKeep)
	return key, err
}

// fetchFiles writes the files that a command has made.
func fetchFiles(s *session, out commandEnd) error {
	for _, f := range out.result.Files {
		if !filepath.IsLocal(f.Name) {
			return failed(fmt.Errorf("node %s calls a file of command %d %q: not written", out.result.Node, out.number, f.Name), "")
		}
		v, err := insist(s, "GET", f.Key)
		switch {
		case err != nil:
			return err
		case v.Null:
			fmt.Fprintf(os.Stderr, "command %d: its file %s is not kept any more\n", out.number, printable([]byte(f.Name)))
			continue
		}
		if err := writeFile(f, v.Str); err != nil {
			return failed(err, "")
		}
	}
	return nil
}

// writeFile replaces a file: who reads it meanwhile sees all of the old or the new.
func writeFile(f runner.File, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(f.Name), 0o777); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(f.Name), ".tutti-")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // once it has its name there is none
	_, err = temporary.Write(text)
	if err == nil {
		err = temporary.Chmod(os.FileMode(f.Mode).Perm())
	}
	if err2 := temporary.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), f.Name)
}

// runFiles is the keys of the files of a run, as far as its commands name them.
type runFiles struct{ in, out map[string]struct{} }

func (r *runFiles) add(c runner.Command, result runner.Result) {
	if r.in == nil {
		r.in, r.out = map[string]struct{}{}, map[string]struct{}{}
	}
	for _, f := range c.In {
		r.in[f.Key] = struct{}{}
	}
	for _, f := range result.Files {
		r.out[f.Key] = struct{}{}
	}
}

// remove deletes what was brought back, and if all commands have succeeded also what
// was brought there: else tutti job resume needs it. What is left goes by itself.
func (r *runFiles) remove(s *session, succeeded bool) error {
	keys := r.out
	for key := range r.in {
		if succeeded {
			keys[key] = struct{}{}
		}
	}
	args := []string{"UNLINK"}
	for key := range keys {
		if args = append(args, key); len(args) > runAddsMax {
			if _, err := insist(s, args...); err != nil {
				return err
			}
			args = args[:1]
		}
	}
	if len(args) == 1 {
		return nil
	}
	_, err := insist(s, args...)
	return err
}
