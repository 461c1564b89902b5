package command

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/COMMANDS.md")

func TestDocs(t *testing.T) {
	const name = "../../docs/COMMANDS.md"
	want := NewTable().Markdown()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/COMMANDS.md is stale: go test ./internal/command -run TestDocs -update")
	}
}

// Every row says all that COMMAND INFO and the documents need.
func TestRowsAreComplete(t *testing.T) {
	var headings []string
	for _, g := range groups {
		headings = append(headings, g.name)
	}
	check := func(c *Command) {
		if c.Doc == "" || !strings.HasSuffix(c.Doc, ".") || c.Since == "" || c.Arity == 0 {
			t.Errorf("%s: the row needs a sentence, a version and an arity", c.Name)
		}
		if !slices.Contains(headings, c.Group) {
			t.Errorf("%s: unknown group %q", c.Name, c.Group)
		}
		for _, name := range c.Categories {
			if !slices.Contains(Categories, name) {
				t.Errorf("%s: unknown category %q", c.Name, name)
			}
		}
		if c.Flags&Write != 0 && c.Flags&ReadOnly != 0 {
			t.Errorf("%s: both write and readonly", c.Name)
		}
	}
	for _, c := range NewTable().All() {
		check(c)
		for _, s := range c.Subs {
			check(s)
			if !strings.HasPrefix(s.Name, c.Name+"|") {
				t.Errorf("%s is no subcommand of %s", s.Name, c.Name)
			}
		}
	}
}

func TestKeyAccess(t *testing.T) {
	table := NewTable()
	for _, row := range access {
		for name := range strings.FieldsSeq(row.commands) {
			if c := table.Find([]byte(name)); c != nil && c.Keys.First == 0 && c.Keys.Find == nil {
				t.Errorf("%s has no keys", name)
			}
		}
	}
	for name, want := range map[string]string{
		"get": "RO access, RO access", "set": "OW update, OW update", "expire": "RW update, RW update",
		"rename": "RW access delete, OW update", "sunionstore": "OW update, RO access", "del": "RM delete, RM delete",
	} {
		first, rest := table.Find([]byte(name)).KeyAccess()
		if got := strings.Join(first, " ") + ", " + strings.Join(rest, " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
