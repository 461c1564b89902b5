package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// inputOptions are where the arguments of commands come from.
type inputOptions struct {
	files  []string
	null   bool   // arguments end with a NUL, not with a line
	colsep string // what separates the arguments of a line
	each   int    // arguments for one command; 0: one of each source
}

func (o *inputOptions) flags(c *cobra.Command) {
	c.Flags().StringArrayVarP(&o.files, "arg-file", "a", nil, "take arguments from the lines of `FILE`")
	c.Flags().BoolVarP(&o.null, "null", "0", false, "arguments of files and stdin end with a NUL")
	c.Flags().StringVar(&o.colsep, "colsep", "", "split arguments at what matches `REGEXP`, into {1} {2}")
	c.Flags().IntVarP(&o.each, "max-args", "n", 0, "give each command so many arguments")
	c.Flags().IntVarP(&o.each, "max-replace-args", "N", 0, "the same as -n")
}

// source is one list of arguments.
type source struct {
	args   []string
	linked bool // its first belongs to the first of the one before it, and so on
}

// rows tells the command from its arguments, and returns those of each command.
func (o inputOptions) rows(words []string, stdin io.Reader) (command []string, rows [][]string, err error) {
	command, sources, err := o.sources(words, stdin)
	if err != nil {
		return nil, nil, err
	}
	if len(command) == 0 {
		return nil, nil, usageError("no command before \":::\"", "tutti run")
	}
	if o.each > 0 && len(sources) > 1 {
		return nil, nil, usageError("-n takes arguments of one source, not of several", "tutti run")
	}
	if rows, err = product(sources); err != nil {
		return nil, nil, err
	}
	if o.colsep != "" {
		separator, err := regexp.Compile(o.colsep)
		if err != nil {
			return nil, nil, usageError("--colsep: "+err.Error(), "tutti run")
		}
		for i, row := range rows {
			rows[i] = nil
			for _, arg := range row {
				rows[i] = append(rows[i], separator.Split(arg, -1)...)
			}
		}
	}
	if o.each > 1 {
		var joined [][]string
		for part := range slices.Chunk(rows, o.each) {
			joined = append(joined, slices.Concat(part...))
		}
		rows = joined
	}
	return command, rows, nil
}

// sources are the files of -a, then what the words name; stdin if there are none.
func (o inputOptions) sources(words []string, stdin io.Reader) (command []string, list []source, err error) {
	command = words
	if at := slices.IndexFunc(words, separates); at >= 0 {
		command, words = words[:at], words[at:]
	} else {
		words = nil
	}
	for _, name := range o.files {
		if list, err = o.addFile(list, name, false, stdin); err != nil {
			return nil, nil, err
		}
	}
	for len(words) > 0 {
		by := words[0]
		words = words[1:]
		end := slices.IndexFunc(words, separates)
		if end < 0 {
			end = len(words)
		}
		args, linked := words[:end], strings.HasSuffix(by, "+")
		words = words[end:]
		if linked && len(list) == 0 {
			return nil, nil, usageError(fmt.Sprintf("%q has no arguments before it to go with", by), "tutti run")
		}
		if strings.HasPrefix(by, "::::") {
			for _, name := range args {
				if list, err = o.addFile(list, name, linked, stdin); err != nil {
					return nil, nil, err
				}
			}
			continue
		}
		list = append(list, source{args, linked})
	}
	if list == nil {
		list, err = o.addFile(list, "-", false, stdin)
	}
	return command, list, err
}

// separates reports whether arguments begin behind a word.
func separates(word string) bool {
	return word == ":::" || word == ":::+" || word == "::::" || word == "::::+"
}

// addFile adds the lines of a file; "-" is stdin.
func (o inputOptions) addFile(list []source, name string, linked bool, stdin io.Reader) ([]source, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, failed(fmt.Errorf("read arguments: %w", err), "")
		}
		defer f.Close()
		in = f
	}
	s := source{linked: linked}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, runLineLenMax)
	lines.Split(endingWith('\n'))
	if o.null {
		lines.Split(endingWith(0))
	}
	for lines.Scan() {
		if len(s.args) == runArgsMax {
			return nil, tooManyCommands()
		}
		if bytes.IndexByte(lines.Bytes(), 0) >= 0 {
			return nil, usageError(fmt.Sprintf("argument %d of %s has a NUL in it, which no command can be given; with -0 arguments end with it", len(s.args)+1, name), "tutti run")
		}
		s.args = append(s.args, lines.Text())
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, usageError(fmt.Sprintf("argument %d of %s has more than %d bytes", len(s.args)+1, name, runLineLenMax-1), "tutti run")
	case err != nil:
		return nil, failed(fmt.Errorf("read arguments of %s: %w", name, err), "")
	}
	return append(list, s), nil
}

// endingWith finds what ends with a byte, or with the input. Nothing else is taken
// away: a line of a file from Windows ends with a carriage return.
func endingWith(end byte) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		if at := bytes.IndexByte(data, end); at >= 0 {
			return at + 1, data[:at], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

func tooManyCommands() error {
	return usageError(fmt.Sprintf("more than %d commands", runArgsMax), "tutti run")
}

// product puts linked sources side by side, as far as the shortest goes, and combines
// each of what results with each of the others; the last ones change first.
func product(sources []source) ([][]string, error) {
	rows := [][]string{nil}
	for len(sources) > 0 {
		n := 1
		for n < len(sources) && sources[n].linked {
			n++
		}
		side := sideBySide(sources[:n])
		sources = sources[n:]
		if len(rows)*len(side) > runArgsMax {
			return nil, tooManyCommands()
		}
		next := make([][]string, 0, len(rows)*len(side))
		for _, row := range rows {
			for _, more := range side {
				next = append(next, slices.Concat(row, more))
			}
		}
		rows = next
	}
	return rows, nil
}

func sideBySide(sources []source) [][]string {
	n := len(sources[0].args)
	for _, s := range sources[1:] {
		n = min(n, len(s.args))
	}
	rows := make([][]string, n)
	for i := range rows {
		for _, s := range sources {
			rows[i] = append(rows[i], s.args[i])
		}
	}
	return rows
}
