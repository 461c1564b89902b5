package house_test

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	goFile = regexp.MustCompile(`[\w./-]*\w\.go\b`)
	// dotted is what looks like Go's pkg.Name or Type.method.
	dotted = regexp.MustCompile(`\b([A-Za-z]\w*)\.([A-Za-z]\w*)\b`)
	// elsewhere is what is written like Go but is not: files that a node writes,
	// and units.
	elsewhere = regexp.MustCompile(`\b\w+\.(json|pem|key|md)\b|\b[KMGT]iB\b`)
	// camel is what only Go writes so: CheckQuorum, readIndex.
	camel = regexp.MustCompile(`\b[A-Za-z][a-z0-9]+[A-Z]\w*\b`)
	// ticked is what stands in backticks in a document.
	ticked = regexp.MustCompile("`[^`]+`")
)

// A package's doc is what a newcomer reads first: what it names must be there.
func TestPackageDocsNameOnlyWhatExists(t *testing.T) {
	files := parsed(t)
	known := namesIn(files)
	for _, f := range files {
		if f.file.Doc == nil {
			continue
		}
		for i, line := range strings.Split(f.file.Doc.Text(), "\n") {
			for _, name := range goFile.FindAllString(line, -1) {
				if !exists(path.Join(f.pkg, name)) && !exists(name) {
					t.Errorf("%s: line %d of its doc names %s, which does not exist", f.path, i+1, name)
				}
			}
			for _, name := range unknown(line, known) {
				t.Errorf("%s: line %d of its doc names %s, which does not exist", f.path, i+1, name)
			}
		}
	}
}

// architectureMax is how many lines ARCHITECTURE.md may have: who is new reads it
// whole.
const architectureMax = 300

// What the documents about the code put into backticks is there.
func TestDocumentsNameOnlyWhatExists(t *testing.T) {
	known := namesIn(parsed(t))
	for _, document := range []string{"docs/ARCHITECTURE.md", "docs/SECURITY.md"} {
		text, err := os.ReadFile(filepath.Join(root, document))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		if document == "docs/ARCHITECTURE.md" && len(lines) > architectureMax {
			t.Errorf("%s has %d lines, at most %d are to be read", document, len(lines), architectureMax)
		}
		for i, line := range lines {
			for _, quoted := range ticked.FindAllString(line, -1) {
				for _, name := range unknown(quoted, known) {
					t.Errorf("%s:%d names %s, which does not exist", document, i+1, name)
				}
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

// names are all that the sources declare or mention.
type names struct {
	idents   map[string]bool            // everywhere
	packages map[string]map[string]bool // what a package declares, by its name
	members  map[string]map[string]bool // fields and methods, by their type's name
}

func namesIn(files []parsedFile) names {
	n := names{make(map[string]bool), make(map[string]map[string]bool), make(map[string]map[string]bool)}
	add := func(to map[string]map[string]bool, key, name string) {
		if to[key] == nil {
			to[key] = make(map[string]bool)
		}
		to[key][name] = true
	}
	for _, f := range files {
		pkg := f.file.Name.Name
		ast.Inspect(f.file, func(x ast.Node) bool {
			switch x := x.(type) {
			case *ast.Ident:
				n.idents[x.Name] = true
			case *ast.FuncDecl:
				if x.Recv == nil {
					add(n.packages, pkg, x.Name.Name)
				} else {
					add(n.members, receiver(x), x.Name.Name)
				}
			case *ast.ValueSpec:
				for _, id := range x.Names {
					add(n.packages, pkg, id.Name)
				}
			case *ast.TypeSpec:
				add(n.packages, pkg, x.Name.Name)
				if s, ok := x.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						for _, id := range field.Names {
							add(n.members, x.Name.Name, id.Name)
						}
					}
				}
			}
			return true
		})
	}
	return n
}

// unknown are the names in a text that look like Go and that nothing declares.
func unknown(text string, known names) (missing []string) {
	text = elsewhere.ReplaceAllString(goFile.ReplaceAllString(text, ""), "")
	for _, m := range dotted.FindAllStringSubmatch(text, -1) {
		for _, of := range []map[string]map[string]bool{known.packages, known.members} {
			if has := of[m[1]]; has != nil && !has[m[2]] && !known.members[m[1]][m[2]] && !known.packages[m[1]][m[2]] {
				missing = append(missing, m[0])
				break
			}
		}
	}
	for _, name := range camel.FindAllString(text, -1) {
		if !known.idents[name] {
			missing = append(missing, name)
		}
	}
	return missing
}
