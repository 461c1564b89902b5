package store

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
)

// What has been accepted must survive a power cut at once: the promise that is
// guarded may be made in the next moment.
func TestStartsAreDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	open := func() *Starts {
		t.Helper()
		if err := MakeDir(mem, "node"); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStarts(Config{FS: mem, Dir: "node"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	for _, c := range []struct {
		node    cluster.NodeID
		start   Start
		refused bool
	}{
		{2, Start{1, 7}, false},
		{2, Start{1, 7}, false}, // another connection of the same start
		{2, Start{1, 8}, true},  // another start with its count
		{3, Start{5, 1}, false},
		{2, Start{4, 9}, false},
		{2, Start{3, 9}, true},
		{2, Start{1, 7}, true},
		{2, Start{4, 9}, false},
		{3, Start{4, 1}, true},
	} {
		err := s.Accept(c.node, c.start)
		if refused := errors.Is(err, ErrOldStart); refused != c.refused || err != nil && !refused {
			t.Errorf("node %d start %+v: %v, want refused %v", c.node, c.start, err, c.refused)
		}
		mem = mem.CrashClone(vfs.CrashCloneCfg{})
		s = open()
	}
}

func TestStartsRefuseDamage(t *testing.T) {
	good := encodeStarts(map[cluster.NodeID]Start{2: {1, 2}, 9: {3, 4}})
	for name, b := range map[string][]byte{"empty": nil, "short": good[:len(good)-1], "flipped": append([]byte{good[0] ^ 1}, good[1:]...),
		"no whole row": sealed(make([]byte, startBytes+1)), "doubled": sealed(make([]byte, 2*startBytes))} {
		if known, err := decodeStarts(b); err == nil {
			t.Errorf("%s is read as %v", name, known)
		}
	}
}
