package command

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

const compatibilityIntro = `# Compatibility with Redis 7.2

<!-- Generated from the command table and internal/command/testdata/redis-7.2.commands: go test ./internal/command -run TestCompatibility -update -->

What became of each command of Redis 7.2: %d are as in Redis, %d differ, %d are accepted and do nothing, %d are refused
with the reason, and %d are not here. COMMANDS.md has the arguments; what is generally different stands at its beginning.
"As Redis" is what the conformance tests (conformance/README.md) and scenes that redis-server answers as well have shown;
keys of one command live in one shard, but for MGET, MSET, DEL, EXISTS, TOUCH, UNLINK and what is about all keys.

| Command | Status |
|---|---|
`

// Statuses of a command.
const (
	isAsRedis = iota
	isDifferent
	isIdle
	isRefused
	isAbsent
)

var statusNames = [...]string{"as Redis", "differs: ", "does nothing: ", "refused: ", "not here: "}

// status returns what became of a command of Redis, with the reason. What the row of the
// command says of itself comes before what is noted in the file.
func (t *Table) status(name, noted string) (status int, why string) {
	c := t.Find([]byte(name))
	switch {
	case c == nil && noted == "":
		return isAbsent, "not yet"
	case c == nil:
		return isAbsent, noted
	}
	said, what, _ := strings.Cut(c.Doc, ":")
	what = strings.TrimSuffix(strings.TrimSpace(what), ".")
	if what == "" {
		what = noted
	}
	switch {
	case strings.HasPrefix(said, "Refused"):
		if what == "" {
			what = "see COMMANDS.md"
			if _, as, ok := strings.Cut(strings.TrimSuffix(c.Doc, "."), "as "); ok {
				what = "as " + as
			}
		}
		return isRefused, what
	case strings.HasPrefix(said, "Does nothing"), strings.HasPrefix(said, "Accepted"):
		if what == "" {
			_, what, _ = strings.Cut(strings.TrimSuffix(c.Doc, "."), "; ")
		}
		return isIdle, what
	case strings.HasPrefix(said, "Returns nothing") && noted == "":
		return isDifferent, "returns nothing: " + what
	case noted != "" && c.Large != "":
		return isDifferent, noted + ". " + c.Large
	case noted != "":
		return isDifferent, noted
	case c.Large != "":
		return isDifferent, "writes at most 16 MiB. " + c.Large
	}
	return isAsRedis, ""
}

// compatibility documents what became of the commands of Redis, and returns which of the
// table's are none of them.
func (t *Table) compatibility(list string) (doc []byte, others []string) {
	var rows strings.Builder
	var counts [len(statusNames)]any
	for i := range counts {
		counts[i] = 0
	}
	known := make(map[string]bool)
	for line := range strings.Lines(list) {
		name, noted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasPrefix(name, "#") {
			continue
		}
		known[name] = true
		if c := t.Find([]byte(name)); c != nil && c.Container() {
			continue
		}
		status, why := t.status(name, noted)
		counts[status] = counts[status].(int) + 1
		fmt.Fprintf(&rows, "| %s | %s |\n", strings.ToUpper(strings.ReplaceAll(name, "|", " ")), strings.TrimSuffix(statusNames[status]+why, "."))
	}
	for _, c := range t.sorted {
		for _, each := range append([]*Command{c}, c.Subs...) {
			if !known[each.Name] {
				others = append(others, each.Name)
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, compatibilityIntro, counts[:]...)
	b.WriteString(rows.String())
	b.WriteString("\nOf later versions of Redis there are:")
	for _, name := range others {
		if c := t.byName[name]; strings.HasPrefix(c.Since, "7.4") || strings.HasPrefix(c.Since, "8") {
			b.WriteString(" " + strings.ToUpper(name))
		}
	}
	b.WriteString(".\nOf Redis Sentinel there is what clients ask for the address of the leader. TASK.* and TUTTI.* are tutti's own.\n")
	return []byte(b.String()), others
}

func TestCompatibility(t *testing.T) {
	const name = "../../docs/COMPATIBILITY.md"
	list, err := os.ReadFile("testdata/redis-7.2.commands")
	if err != nil {
		t.Fatal(err)
	}
	want, others := NewTable().compatibility(string(list))
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
		t.Error("docs/COMPATIBILITY.md is stale: go test ./internal/command -run TestCompatibility -update")
	}
	table := NewTable()
	for _, name := range others {
		c := table.byName[name]
		own := strings.HasPrefix(name, "task.") || strings.HasPrefix(name, "tutti.") || strings.HasPrefix(name, "sentinel")
		if later := strings.HasPrefix(c.Since, "7.4") || strings.HasPrefix(c.Since, "8"); !own && !later {
			t.Errorf("%s is neither a command of Redis nor of tutti's own: whose is it?", name)
		}
	}
}
