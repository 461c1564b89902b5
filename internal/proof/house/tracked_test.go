package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// trackedMax is how large a file of the repository may be, in bytes.
const trackedMax = 1 << 20

// TestTrackedFiles looks for what was added by accident: scratch folders, binaries, data.
func TestTrackedFiles(t *testing.T) {
	list, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("NOT CHECKED: git can't list the files here: %v", err)
	}
	hidden := []string{".ci", ".gitignore", ".golangci.yml"}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if top, _, _ := strings.Cut(name, "/"); strings.HasPrefix(top, ".") && !slices.Contains(hidden, top) {
			t.Errorf("%s: hidden files of the repository are %v", name, hidden)
		}
		if info, err := os.Lstat(filepath.Join(root, name)); err == nil && info.Size() > trackedMax { // else it was removed here
			t.Errorf("%s: %d bytes, at most %d", name, info.Size(), trackedMax)
		}
	}
}
