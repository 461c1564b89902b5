package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/term"
)

const historyMax = 500 // lines

// interact runs the commands that are typed, until the end of input or "quit".
func interact(s *session, p printer) error {
	if err := s.connect(); err != nil {
		return err
	}
	in := int(os.Stdin.Fd())
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}, "")
	history := openHistory()
	t.History = history
	t.AutoCompleteCallback = s.complete
	// One place for all that is typed about: an error is an answer too.
	p.errors = p.out
	for {
		line, err := readLine(t, in, s.prompt())
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failed(fmt.Errorf("read from the terminal: %w", err), "")
		}
		args, err := splitLine(line)
		switch {
		case err != nil:
			fmt.Fprintln(p.out, err)
			continue
		case len(args) == 0:
			continue
		}
		switch strings.ToLower(args[0]) {
		case "quit", "exit":
			return nil
		case "clear":
			fmt.Fprint(p.out, "\x1b[H\x1b[2J")
			continue
		case "help", "?":
			s.help(p.out, args[1:])
			continue
		}
		v, err := s.run(args)
		if e, ok := errors.AsType[*exitError](err); ok {
			fmt.Fprint(p.out, e.text())
			continue
		}
		_ = p.print(v) // what it returns is about exit codes
	}
}

// readLine has the terminal raw only while a line is edited, so that Ctrl-C
// ends a command that waits.
func readLine(t *term.Terminal, in int, prompt string) (string, error) {
	if width, height, err := term.GetSize(in); err == nil && width > 0 {
		_ = t.SetSize(width, height)
	}
	old, err := term.MakeRaw(in)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(in, old) }()
	t.SetPrompt(prompt)
	return t.ReadLine()
}

// complete completes the name of a command when Tab is pressed.
func (s *session) complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	if pos != len(line) || line == "" || strings.Contains(line, " ") {
		return line, pos, true // nothing to complete, and a tab is no part of a command
	}
	var common string
	for _, c := range s.table.All() {
		name := strings.ToUpper(c.Name)
		switch {
		case !strings.HasPrefix(name, strings.ToUpper(line)):
		case common == "":
			common = name + " "
		default:
			n := 0
			for n < min(len(common), len(name)) && common[n] == name[n] {
				n++
			}
			common = common[:n]
		}
	}
	if common == "" {
		return line, pos, true
	}
	return common, len(common), true
}

// help shows what the table says of a command.
func (s *session) help(out io.Writer, args []string) {
	if len(args) == 0 {
		fmt.Fprintln(out, "help COMMAND, clear, quit; Tab completes a command's name, the arrows fetch earlier lines")
		return
	}
	c := s.table.Find([]byte(strings.Join(args, "|")))
	if c == nil {
		fmt.Fprintf(out, "there is no command %s\n", strings.ToUpper(strings.Join(args, " ")))
		return
	}
	fmt.Fprintf(out, "%s\n  %s (%s, since %s)\n", strings.TrimSpace(strings.ToUpper(strings.ReplaceAll(c.Name, "|", " "))+" "+c.Syntax), c.Doc, c.Group, c.Since)
}

// history is the lines typed before, oldest first, kept in a file. Without the
// file it works all the same.
type history struct {
	file  string
	lines []string
}

// secret finds lines that may hold a password.
var secret = regexp.MustCompile(`(?i)\b(auth|acl|requirepass|masterauth)\b`)

func openHistory() *history {
	h := &history{}
	home, err := os.UserHomeDir()
	if err != nil {
		return h
	}
	h.file = filepath.Join(home, ".tutti_history")
	b, err := os.ReadFile(h.file)
	if err != nil {
		return h
	}
	for line := range strings.Lines(string(b)) {
		h.lines = append(h.lines, strings.TrimSuffix(line, "\n"))
	}
	if drop := len(h.lines) - historyMax; drop > 0 {
		h.lines = h.lines[drop:]
		_ = os.WriteFile(h.file, []byte(strings.Join(h.lines, "\n")+"\n"), 0o600)
	}
	return h
}

// Add keeps a line; see term.History.
func (h *history) Add(line string) {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	if h.file == "" || secret.MatchString(line) {
		return
	}
	f, err := os.OpenFile(h.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// Len is the number of lines.
func (h *history) Len() int { return len(h.lines) }

// At returns a line, the newest at 0.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }
