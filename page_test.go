package tutti_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every block in Go of the page for people is an example that runs: the body of an
// Example function, or a whole test.
func TestPageShowsTheExamples(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/TASKS.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?s)```go\n(.*?)```\n").FindAllStringSubmatch(string(page), -1) {
		shown[m[1]] = true
	}
	for name, text := range examples(t) {
		if !shown[text] {
			t.Errorf("docs/TASKS.md does not show %s as it is:\n%s", name, text)
		}
		delete(shown, text)
	}
	for text := range shown {
		t.Errorf("docs/TASKS.md shows what is not run:\n%s", text)
	}
}

// examples are the functions of example_test.go as the page shows them.
func examples(t *testing.T) map[string]string {
	t.Helper()
	const name = "example_test.go"
	source, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	at := func(p token.Pos) int { return set.Position(p).Offset }
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		switch {
		case !ok || fn.Recv != nil:
		case strings.HasPrefix(fn.Name.Name, "Test"):
			text := string(source[at(fn.Pos()):at(fn.End())]) + "\n"
			texts[fn.Name.Name] = strings.Replace(text, "\tt.Parallel()\n", "", 1)
		case strings.HasPrefix(fn.Name.Name, "Example"):
			text := string(source[at(fn.Body.Lbrace)+2 : at(fn.Body.Rbrace)])
			text = strings.ReplaceAll("\n"+text, "\n\t", "\n")[1:]
			texts[fn.Name.Name] = strings.ReplaceAll(text, "address()", `"127.0.0.1:6379"`)
		}
	}
	return texts
}
