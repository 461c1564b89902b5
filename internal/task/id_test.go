package task

import (
	"bytes"
	"testing"

	"tutti/internal/keyspace"
)

func TestEverySlotHasATag(t *testing.T) {
	for slot, tag := range tags() {
		if tag == [tagLen]byte{} || keyspace.Slot([]byte("{"+string(tag[:])+"}q:1")) != uint16(slot) {
			t.Fatalf("slot %d has tag %q", slot, tag)
		}
	}
}

// FuzzID reads what clients call an id: there is one spelling of each.
func FuzzID(f *testing.F) {
	f.Add(AppendID(nil, []byte("q"), Ref{1, 1}))
	f.Add(AppendID(nil, []byte("with:colons}{"), Ref{16383, 1<<64 - 1}))
	f.Add([]byte("{2Rh}q:01"))
	f.Add([]byte("{}q:1"))
	f.Fuzz(func(t *testing.T, id []byte) {
		queue, ref, ok := ParseID(id)
		if !ok {
			return
		}
		if again := AppendID(nil, queue, ref); !bytes.Equal(again, id) || len(queue) == 0 || len(queue) > QueueMax {
			t.Errorf("%q is %q", id, again)
		}
	})
}
