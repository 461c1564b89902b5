package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedPath finds paths in backticks: `internal/shard/core.go`, `cmd/tutti`,
// `docs/GUARANTEES.md`, `bench/results/*.json`.
var namedPath = regexp.MustCompile("`((?:internal|cmd|docs|bench|conformance|deploy|tools|examples|tuttitest|\\.ci)/[^`\\s]*)`")

// suffix is what may follow a path inside the backticks: a line number, an
// anchor, Go's "and all below".
var suffix = regexp.MustCompile(`(:\d+|#.*|/\.\.\.|/)$`)

func TestDocumentsNameOnlyPathsThatExist(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "bench/*.md", "conformance/*.md", "deploy/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	if len(documents) == 0 {
		t.Fatal("found no documents")
	}
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			for _, m := range namedPath.FindAllStringSubmatch(line, -1) {
				name := suffix.ReplaceAllString(m[1], "")
				found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(name)))
				if err != nil || len(found) == 0 {
					t.Errorf("%s:%d names %s, which does not exist", filepath.ToSlash(strings.TrimPrefix(document, root+"/")), i+1, m[1])
				}
			}
		}
	}
}
