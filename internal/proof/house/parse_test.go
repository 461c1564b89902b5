package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// parsedFile is a file of the product's module, with all that is in it.
type parsedFile struct {
	sourceFile
	file *ast.File
	set  *token.FileSet
}

func (f parsedFile) line(n ast.Node) int { return f.set.Position(n.Pos()).Line }

// parsed parses every Go file of the product's module.
func parsed(t *testing.T) []parsedFile {
	t.Helper()
	set := token.NewFileSet()
	var files []parsedFile
	for _, f := range sources(t) {
		file, err := parser.ParseFile(set, filepath.Join(root, f.path), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parsedFile{f, file, set})
	}
	return files
}

// product says whether a file is one that runs in a node or at its command line.
func (f sourceFile) product() bool {
	return !f.test && !within(f.pkg, "internal/proof") && !strings.HasSuffix(f.pkg, "test") && f.pkg != "conformance"
}

// receiver is the name of the type that a method belongs to; "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	x := d.Recv.List[0].Type
	for {
		switch at := x.(type) {
		case *ast.StarExpr:
			x = at.X
		case *ast.IndexExpr:
			x = at.X
		case *ast.IndexListExpr:
			x = at.X
		case *ast.Ident:
			return at.Name
		default:
			return ""
		}
	}
}
