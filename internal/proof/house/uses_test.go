package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// use is one selector on an imported package, such as time.Now.
type use struct {
	name string
	line int
}

// usesOf lists the selectors on a package imported under its own name.
func usesOf(t *testing.T, path, pkg string) []use {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, filepath.Join(root, path), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var uses []use
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
				uses = append(uses, use{sel.Sel.Name, set.Position(sel.Pos()).Line})
			}
		}
		return true
	})
	return uses
}
