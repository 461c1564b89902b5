package node

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"tutti/internal/store"
)

func testOldCopy() oldCopy {
	return oldCopy{refused: store.Start{Count: 5, Nonce: 1<<64 - 2}, known: store.Start{Count: 258, Nonce: 7}}
}

// TestGoldenOldCopy keeps the bytes of the frame: whoever changes them gives it
// another version.
func TestGoldenOldCopy(t *testing.T) {
	const name = "testdata/oldcopy.v1.hex"
	got := testOldCopy().encode(nil)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; the bytes are now %x", err, got)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("in %s: %x, now %x, %v", name, want, got, err)
	}
	if o, ok := decodeOldCopy(want); !ok || o != testOldCopy() {
		t.Errorf("%s reads as %+v, %v", name, o, ok)
	}
}

func FuzzOldCopy(f *testing.F) {
	f.Add(testOldCopy().encode(nil))
	f.Add(make([]byte, oldCopyBytes))
	f.Add([]byte{oldCopyVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, ok := decodeOldCopy(b); ok && !bytes.Equal(o.encode(nil), b) {
			t.Errorf("%x becomes %x", b, o.encode(nil))
		}
	})
}

// TestOldCopyGivesItsDataUp tells a node that its start is refused: one of three
// is made anew at its next start, with numbers beyond all that are known; one
// without which nobody decides does not start any more.
func TestOldCopyGivesItsDataUp(t *testing.T) {
	for _, voters := range []int{1, 3} {
		fs, cfg := formed(t, voters)
		var failed error
		cfg.Failed = func(err error) { failed = err }
		n, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		old := n.start
		for name, o := range map[string]oldCopy{
			"another start":         {refused: store.Start{Count: old.Count, Nonce: old.Nonce + 1}, known: store.Start{Count: old.Count + 9}},
			"not an older one":      {refused: old, known: store.Start{Count: old.Count - 1}},
			"the one that is known": {refused: old, known: old},
		} {
			if err := heardOldCopy(old, 2, o.encode(nil)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		known := old.Count + 1000
		n.fatal(heardOldCopy(old, 2, oldCopy{refused: old, known: store.Start{Count: known}}.encode(nil)))
		if _, ok := errors.AsType[*OldCopyError](failed); !ok || !exists(fs, "/n1/damaged") {
			t.Fatalf("the node failed with %v, marked %v", failed, exists(fs, "/n1/damaged"))
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		again, err := Open(cfg)
		if voters < rebuildMin {
			if err == nil || !strings.Contains(err.Error(), "is an old copy: node 2 knows start") {
				t.Errorf("with %d voters it starts again: %v", voters, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if again.start.Count <= known || again.count.Generation == 0 || len(again.aside) != 1 {
			t.Errorf("it is start %d of generation %d, set aside: %v", again.start.Count, again.count.Generation, again.aside)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}
