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
		s, err := OpenStarts(Config{FS: mem, Dir: "node"}, nothing)
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

// TestStartsRefuseNonsense is behind the checksum.
func TestStartsRefuseNonsense(t *testing.T) {
	good := encodeStarts(map[cluster.NodeID]Start{2: {1, 2}, 9: {3, 4}})
	for name, b := range map[string][]byte{"short": good[:len(good)-1], "no whole row": make([]byte, startBytes+1), "doubled": make([]byte, 2*startBytes)} {
		if known, err := decodeStarts(b); err == nil {
			t.Errorf("%s is read as %v", name, known)
		}
	}
}

func nothing() (map[cluster.NodeID]uint64, error) { return nil, nil }

// TestLostStarts begins anew with what the shards remember: a start that is older
// than one that opened a session stays refused, and one copy that rots is nothing.
func TestLostStarts(t *testing.T) {
	fs := vfs.NewMem()
	cfg := Config{FS: fs, Dir: "node"}
	if err := MakeDir(fs, "node"); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStarts(cfg, nothing)
	if err == nil {
		err = errors.Join(s.Accept(2, Start{7, 1}), s.Accept(3, Start{9, 1}))
	}
	if err != nil {
		t.Fatal(err)
	}
	rot(t, fs, "node/starts")
	if s, err = OpenStarts(cfg, nothing); err != nil || !errors.Is(s.Accept(2, Start{6, 1}), ErrOldStart) {
		t.Fatalf("one copy is bad: %v", err)
	}
	rot(t, fs, "node/starts")
	rot(t, fs, "node/starts.2")
	s, err = OpenStarts(cfg, func() (map[cluster.NodeID]uint64, error) { return map[cluster.NodeID]uint64{2: 6}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(2, Start{5, 1}); !errors.Is(err, ErrOldStart) {
		t.Errorf("a start before one that is remembered: %v", err)
	}
	if err := errors.Join(s.Accept(2, Start{6, 1}), s.Accept(3, Start{1, 1})); err != nil {
		t.Error(err)
	}
	if got, err := ReadTwice(fs, "node", startsFile, startsVersion); err != nil || got.Worn {
		t.Errorf("the file is not whole again: %+v %v", got, err)
	}
}
