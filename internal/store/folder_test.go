package store

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A node whose folder is removed or moved away under it ends, and says so once;
// it does not go on with files that have no name any more.
func TestFolderGoneEndsTheNode(t *testing.T) {
	for _, lost := range []string{"", "log", "state", "vow"} {
		t.Run("lost "+lost, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := vfs.NewMem()
				for _, name := range []string{"log", "state", "vow"} {
					if err := fs.MkdirAll("n/"+name, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				var ends []error
				s := WatchSpace(Config{FS: fs, Dir: "n", Fatal: func(err error) { ends = append(ends, err) }})
				defer s.Close()
				time.Sleep(3 * spaceEvery)
				if synctest.Wait(); len(ends) > 0 {
					t.Fatalf("with its folder: %v", ends)
				}
				if err := fs.RemoveAll(strings.TrimSuffix("n/"+lost, "/")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * spaceEvery)
				if synctest.Wait(); len(ends) != 1 || !errors.Is(ends[0], ErrGone) || errors.Is(ends[0], ErrDamaged) {
					t.Errorf("ends with %v", ends)
				}
			})
		})
	}
}
