package node

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// openToOthers lists the files below dir that other users of the machine may read.
func openToOthers(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		switch {
		case d.IsDir() && mode&0o077 == 0:
			return fs.SkipDir
		case !d.IsDir() && mode&0o077 != 0:
			rel, err := filepath.Rel(dir, name)
			names = append(names, strings.TrimSuffix(rel, ".2"))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Certificates are there for everybody. The keys of the cluster's authorities, the hashes
// of passwords and what users keep are not, wherever they lie; and what an earlier version
// has left open is closed by the next start.
func TestOtherUsersReadNothingOfANode(t *testing.T) {
	public := []string{"LOCK", "ballast", "ca.pem", "node.pem", "service.pem", "spare", "vow"}
	dir := filepath.Join(t.TempDir(), "n")
	f := Founding{Place: Place{Dir: dir, Peer: "p:1", Client: "c:1", Small: true, Service: Service{TLS: true}}, Cluster: "red", Name: "ada", Login: func(string) (string, error) { return strings.Repeat("x", 26), nil }}
	if err := Init(Config{}, f); err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		for _, name := range openToOthers(t, dir) {
			if !slices.Contains(public, name) {
				t.Errorf("%s: other users of the machine may read %s", when, name)
			}
		}
	}
	look("formed")
	for _, name := range []string{"log", "state", "users", "node.json", "map", "counters"} {
		for _, name := range []string{name, name + ".2"} {
			if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	if open := openToOthers(t, dir); !slices.Contains(open, "users") || !slices.ContainsFunc(open, func(s string) bool { return strings.HasPrefix(s, "state/") }) {
		t.Fatalf("the test opens nothing: %v", open)
	}
	n, err := Open(isolated(t, vfs.Default, dir))
	if err != nil {
		t.Fatal(err)
	}
	look("started")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	look("stopped")
}
