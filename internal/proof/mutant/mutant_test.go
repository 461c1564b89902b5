package mutant

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

func TestTable(t *testing.T) {
	names := make(map[string]bool)
	for _, m := range All() {
		if m.Name == "" || names[m.Name] || m.Breaks == "" || len(m.Edits) == 0 {
			t.Errorf("%+v", m)
		}
		names[m.Name] = true
	}
}

func TestEdit(t *testing.T) {
	const text = "a {\n\tb\n\tc\n}\nb\n"
	for _, c := range []struct{ was, is, want string }{
		{"b\nc", "d", "a {\nd\n}\nb\n"},
		{"\n\t\ta {\n\t\t\tb", "", "\tc\n}\nb\n"},
		{"b", "d", ""},       // twice
		{"c }", "d", ""},     // not there
		{"a", "d", ""},       // a part of a line
		{"", "d", ""},        // everywhere
		{"}\nb\nc", "d", ""}, // past the end
	} {
		got, err := Edit{"f", c.was, c.is}.apply(text)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q by %q: %q, %v", c.was, c.is, got, err)
		}
	}
}

// TestApply holds every mutant against today's sources: what it replaces is
// there once, and what comes out compiles.
func TestApply(t *testing.T) {
	dirs := make(map[string]bool)
	for _, m := range All() {
		for _, e := range m.Edits {
			dirs[path.Dir(e.File)] = true
		}
	}
	products := compiled(t, dirs)
	for _, m := range All() {
		texts, err := m.Apply(root)
		if err != nil {
			t.Error(err)
			continue
		}
		edited := make(map[string]bool)
		for file := range texts {
			edited[path.Dir(file)] = true
		}
		for dir := range edited {
			if err := products.check(dir, texts); err != nil {
				t.Errorf("mutant %s: %v", m.Name, err)
			}
		}
	}
}

// product are packages as the compiler knows them.
type product struct {
	sources map[string][]string // files by folder
	exports types.Importer
	set     *token.FileSet
}

func compiled(t *testing.T, dirs map[string]bool) product {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles"}
	for dir := range dirs {
		args = append(args, "./"+dir)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	p := product{sources: make(map[string][]string), set: token.NewFileSet()}
	exports := make(map[string]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct {
			Dir, ImportPath, Export string
			GoFiles                 []string
		}
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[pkg.ImportPath] = pkg.Export
		if dir, ok := strings.CutPrefix(pkg.ImportPath, "tutti/"); ok {
			p.sources[dir] = pkg.GoFiles
		}
	}
	p.exports = importer.ForCompiler(p.set, "gc", func(name string) (io.ReadCloser, error) { return os.Open(exports[name]) })
	return p
}

// check finds what a compiler would complain about in a package, some files of
// which are replaced.
func (p product) check(dir string, texts map[string][]byte) error {
	var files []*ast.File
	for _, name := range p.sources[dir] {
		name = path.Join(dir, name)
		var text any // the file itself
		if b, ok := texts[name]; ok {
			text = b
		}
		f, err := parser.ParseFile(p.set, filepath.Join(root, name), text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	config := types.Config{Importer: p.exports}
	_, err := config.Check("tutti/"+dir, p.set, files, nil)
	return err
}
