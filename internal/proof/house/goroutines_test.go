package house_test

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// startedBy finds the functions named in the last column of the table of
// goroutines: `shard.Replica.startScan`.
var startedBy = regexp.MustCompile("`([a-z]+\\.[A-Za-z.]+)`")

// Every goroutine of a node stands in the table of docs/ARCHITECTURE.md, by the
// function that starts it: whoever reads it knows all that runs.
func TestGoroutinesAreListed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Goroutines of a node\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "|") {
			for _, m := range startedBy.FindAllStringSubmatch(line, -1) {
				listed = append(listed, m[1])
			}
		}
	}
	started := make(map[string]bool)
	for _, f := range parsed(t) {
		if !f.product() || !within(f.pkg, "internal") {
			continue // a command's goroutines end with it
		}
		for _, d := range f.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			name := strings.ReplaceAll(f.file.Name.Name+"."+receiver(fn)+"."+fn.Name.Name, "..", ".")
			for _, n := range goroutinesOf(fn) {
				started[name] = true
				if !slices.Contains(listed, name) {
					t.Errorf("%s:%d: a goroutine of `%s`, which the table of docs/ARCHITECTURE.md does not name", f.path, f.line(n), name)
				}
			}
		}
	}
	for _, name := range listed {
		if !started[name] {
			t.Errorf("docs/ARCHITECTURE.md: %s starts no goroutine", name)
		}
	}
}

// goroutinesOf are the statements and calls that start one: go f(), wg.Go(f).
func goroutinesOf(fn *ast.FuncDecl) (starts []ast.Node) {
	ast.Inspect(fn, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			starts = append(starts, x)
		case *ast.CallExpr:
			if sel, ok := x.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" && len(x.Args) == 1 {
				starts = append(starts, x)
			}
		}
		return true
	})
	return starts
}
