package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tutti/internal/command"
)

// Prefix begins the names of the queues of runs. To change them takes the right to
// run commands.
const Prefix = command.RunPrefix

// Places is the queue of the places of all runs.
const Places = Prefix + "places"

// The version of what is written here. What has no files is version 1, so that nodes
// and programs that know of none go on with it.
const (
	version      = 1
	versionFiles = 2
)

func versionOf(files int) int {
	if files > 0 {
		return versionFiles
	}
	return version
}

// Bounds of what is kept of the output of a command. With the line of numbers they
// fit into the result of a task.
const (
	StdoutMax = 896 << 10
	StderrMax = 64 << 10
	headMax   = 32 << 10
)

// Command is what a task of a run holds.
type Command struct {
	Version   int      `json:"version"`
	Number    int      `json:"number"` // from 1, in the order of the arguments
	Argv      []string `json:"argv"`
	TimeoutMS int64    `json:"timeout_ms,omitempty"` // after which it is killed; 0: never
	In        []File   `json:"in,omitempty"`         // brought to its folder
	Out       []string `json:"out,omitempty"`        // brought back from there if it succeeds
}

// Place is what a task of the queue Places holds.
type Place struct {
	Version int    `json:"version"`
	Run     string `json:"run"` // its queue
	// Orphan says that somebody was lost who had a place of the run.
	Orphan bool `json:"orphan,omitempty"`
}

// Result is what came of a command.
type Result struct {
	Number  int    `json:"number"`
	Node    string `json:"node"`
	Exit    int    `json:"exit"`
	Signal  int    `json:"signal,omitempty"` // that ended it
	Why     string `json:"why,omitempty"`    // it was not begun, or killed by the node
	BeganMS int64  `json:"began"`            // Unix time
	TookMS  int64  `json:"ms"`
	// CutOut and CutErr are how many bytes of the output were not kept.
	CutOut int64  `json:"cut_out,omitempty"`
	CutErr int64  `json:"cut_err,omitempty"`
	Files  []File `json:"files,omitempty"` // that it has made and that were asked for
	Stdout []byte `json:"-"`
	Stderr []byte `json:"-"`
}

// ErrVersion says that a record was written by a later version of tutti.
var ErrVersion = errors.New("written by a later version of tutti")

// encode is the JSON of a record that has nothing in it which JSON can't hold.
func encode(record any) []byte {
	text, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("runner: %v", err))
	}
	return text
}

// Encode returns the payload of the command's task.
func (c Command) Encode() []byte {
	c.Version = versionOf(len(c.In) + len(c.Out))
	return encode(c)
}

// Encode returns the payload of the place's task.
func (p Place) Encode() []byte {
	p.Version = version
	return encode(p)
}

// DecodeCommand reads what Encode wrote.
func DecodeCommand(text []byte) (c Command, err error) {
	if err = decode(text, &c, &c.Version); err == nil && (len(c.Argv) == 0 || c.TimeoutMS < 0) {
		err = errors.New("there is no command in it")
	}
	if err == nil {
		err = CheckFiles(c)
	}
	return c, err
}

// DecodePlace reads what Encode wrote.
func DecodePlace(text []byte) (p Place, err error) {
	if err = decode(text, &p, &p.Version); err == nil && (!IsRun(p.Run)) {
		err = errors.New("there is no run in it")
	}
	return p, err
}

func decode(text []byte, to any, v *int) error {
	switch err := json.Unmarshal(text, to); {
	case err != nil:
		return err
	case *v > versionFiles:
		return ErrVersion
	case *v < 1:
		return errors.New("it has no version")
	}
	return nil
}

// Failed reports whether the command counts as one that failed.
func (r Result) Failed() bool { return r.Exit != 0 || r.Signal != 0 || r.Why != "" }

// String says how the command ended, in a few words.
func (r Result) String() string {
	switch {
	case r.Why != "":
		return r.Why
	case r.Signal != 0:
		return fmt.Sprintf("ended by signal %d", r.Signal)
	}
	return fmt.Sprintf("exit status %d", r.Exit)
}

// resultHead is the line of numbers.
type resultHead struct {
	Version int `json:"version"`
	Result
	Out int `json:"out"`
	Err int `json:"err"`
}

// Encode returns the result of the command's task.
func (r Result) Encode() []byte {
	head := encode(resultHead{versionOf(len(r.Files)), r, len(r.Stdout), len(r.Stderr)})
	return bytes.Join([][]byte{head, []byte("\n"), r.Stdout, r.Stderr}, nil)
}

// DecodeResult reads what Encode wrote. The result keeps slices of text.
func DecodeResult(text []byte) (Result, error) {
	line, rest, ok := bytes.Cut(text, []byte("\n"))
	var h resultHead
	err := errors.New("it has no line of numbers")
	if ok && len(line) <= headMax {
		err = decode(line, &h, &h.Version)
	}
	switch {
	case err != nil:
		return Result{}, err
	case h.Out < 0 || h.Err < 0 || h.Out > len(rest) || h.Err != len(rest)-h.Out:
		return Result{}, errors.New("its output is not as long as it says")
	}
	h.Stdout, h.Stderr = rest[:h.Out:h.Out], rest[h.Out:]
	return h.Result, nil
}

// IsRun reports whether a queue can be that of a run.
func IsRun(queue string) bool {
	return strings.HasPrefix(queue, Prefix) && len(queue) > len(Prefix) && queue != Places
}
