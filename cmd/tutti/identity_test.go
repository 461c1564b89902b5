package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
	"tutti/internal/store"
	"tutti/internal/trust"
)

// founding is the folder of the only node of a cluster, which has never run.
func founding(t *testing.T, cluster string) string {
	t.Helper()
	dir, base := filepath.Join(t.TempDir(), cluster), freeBase(t, 1)
	at := node.Place{Dir: dir, Peer: loopback(base + peerPortOffset), Client: loopback(base), Small: true}
	if err := node.Init(node.Config{}, node.Founding{Place: at, Cluster: cluster, Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Somebody starts a node from a folder that is not what it was: nothing is made of
// it and nothing is changed there, and one sentence says what it is and what helps.
func TestStartSaysWhatIsWrongWithTheFolder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		make func(t *testing.T) (dir string)
		says []string
	}{
		{"wiped", func(t *testing.T) string { return t.TempDir() },
			[]string{"there is no tutti node in this folder", "tutti join makes this machine a node of another, also if its disk was wiped"}},
		{"data wiped", func(t *testing.T) string {
			dir := founding(t, "red")
			if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{"the data of this node is gone: there is no state of node 1", "It must not start empty", "tutti node remove", "tutti join"}},
		{"of another cluster in part", func(t *testing.T) string {
			dir, other := founding(t, "red"), founding(t, "blue")
			for _, name := range []string{trust.CAFile, trust.NodeFile, trust.NodeKeyFile, trust.ServiceFile} {
				for _, copy := range []string{"", ".2"} {
					b, err := os.ReadFile(filepath.Join(other, name+copy))
					if err == nil {
						err = os.WriteFile(filepath.Join(dir, name+copy), b, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			return dir
		}, []string{"this folder is put together from two nodes", "tutti://blue/node/1", "node 1 of red", "bring the folder back as it was"}},
		{"in use", func(t *testing.T) string {
			dir := founding(t, "red")
			lock, err := vfs.Default.Lock(filepath.Join(dir, "LOCK"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { lock.Close() })
			return dir
		}, []string{"another process uses", "talk to the node that runs there"}},
		{"of another machine", func(t *testing.T) string {
			// An address that no machine has, see RFC 5737.
			dir := filepath.Join(t.TempDir(), "red")
			at := node.Place{Dir: dir, Peer: "192.0.2.1:7379", Client: loopback(freeBase(t, 1)), Small: true}
			if err := node.Init(node.Config{}, node.Founding{Place: at, Cluster: "red", Name: "ada"}); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{"192.0.2.1:7379", "if this folder is a copy from another machine, delete it", "tutti join"}},
		{"damaged", func(t *testing.T) string {
			dir := founding(t, "red")
			for _, name := range []string{store.CountersFile, store.CountersFile + ".2"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("nonsense"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return dir
		}, []string{"are damaged", "put either copy back", "keep the folder as it is"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			dir := c.make(t)
			r := tutti(t, "", "start", "--dir", dir, "--log", "error")
			r.wants(t, exitFailed, append(c.says, "error  ", "  safe   nothing was ", "  do     ")...)
		})
	}
}

// What ends a node that runs says what has become of its data, too.
func TestStoppedSaysWhatHelps(t *testing.T) {
	for _, c := range []struct {
		err      error
		safe, do string
	}{
		{&node.OldCopyError{By: 2, Count: 3, Known: 9}, "nothing was deleted", "delete this copy of its folder; else put the newest copy back"},
		{fmt.Errorf("table 7: %w", node.ErrDamaged), "nothing was deleted", "start it again"},
		{fmt.Errorf("%w: shard 1", node.ErrOverruled), "may have what the others have lost", "this data is kept"},
		{fmt.Errorf("/n: %w", node.ErrGone), "", "bring the folder back"},
		{node.ErrRemoved, "its folder is as it was; the cluster has all that was acknowledged, unless", "tutti join with a new token"},
		{&node.CloneError{Node: 2, By: 1, Start: 4, Sits: 3}, "nothing was changed, here or there", "if it is this one, delete it"},
	} {
		gone := farewell(c.err)
		if gone == nil {
			gone = stopped(c.err)
		}
		text := gone.text()
		for _, part := range []string{c.err.Error(), c.safe, c.do} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not in\n%s", part, text)
			}
		}
	}
}
