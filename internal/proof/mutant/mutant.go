package mutant

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is one safeguard left out.
type Mutant struct {
	Name   string
	Breaks string // what it does wrong, in one sentence
	Killer Killer // the test that notices
	Edits  []Edit
}

// Killer is a test that fails under a mutant.
type Killer struct{ Dir, Name string }

// Edit puts other lines in the place of some lines of a file. How far lines are
// indented does not matter.
type Edit struct {
	File string // from the root of the repository
	Was  string // whole lines, which stand in the file exactly once
	Is   string
}

// All lists the mutants.
func All() []Mutant {
	return slices.Concat(disk(), answers(), once(), times(), repair(), standing(), joins(), users(), places(), copies(), loops(), rows(), pieces(), waiters(), streams(), tasks(), tracking(), scripts(), locks())
}

// Apply returns the mutant's files by name, as they are with its edits in place
// of the ones in the repository at root.
func (m Mutant) Apply(root string) (map[string][]byte, error) {
	texts := make(map[string][]byte)
	for _, e := range m.Edits {
		text, ok := texts[e.File]
		if !ok {
			var err error
			if text, err = os.ReadFile(filepath.Join(root, e.File)); err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
		}
		edited, err := e.apply(string(text))
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
		}
		texts[e.File] = []byte(edited)
	}
	return texts, nil
}

func (e Edit) apply(text string) (string, error) {
	lines, was := strings.Split(text, "\n"), trimmed(e.Was)
	at := -1
	for i := range len(lines) - len(was) + 1 {
		if !slices.EqualFunc(lines[i:i+len(was)], was, func(line, want string) bool { return strings.TrimSpace(line) == want }) {
			continue
		}
		if at >= 0 {
			return "", fmt.Errorf("%s: more than once there, lines %d and %d:\n%s", e.File, at+1, i+1, e.Was)
		}
		at = i
	}
	if at < 0 {
		return "", fmt.Errorf("%s: not there:\n%s", e.File, e.Was)
	}
	return strings.Join(slices.Replace(lines, at, at+len(was), trimmed(e.Is)...), "\n"), nil
}

// trimmed are the lines of a snippet without their indentation and without what
// a raw string has before the first and behind the last.
func trimmed(snippet string) []string {
	if strings.TrimSpace(snippet) == "" {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(snippet), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// Overlay writes the mutant's files to the folder dir and returns the name of
// the file there that tells go build's -overlay about them.
func (m Mutant) Overlay(root, dir string) (string, error) {
	texts, err := m.Apply(root)
	if err != nil {
		return "", err
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	for file, text := range texts {
		original, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			return "", err
		}
		edited := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(edited, text, 0o600); err != nil {
			return "", err
		}
		overlay.Replace[original] = edited
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}
