package eval

import (
	"bytes"
	"reflect"
	"testing"

	"tutti/internal/cluster"
)

// FuzzSessionRows loads any shard-local row as one of a session: it is loaded
// as what would be written so, or refused.
func FuzzSessionRows(f *testing.F) {
	id := be.AppendUint64(nil, testSession)
	f.Add(byte('n'), id, be.AppendUint64(nil, 4))
	f.Add(byte('s'), id, be.AppendUint64(nil, 1<<63))
	f.Add(byte('r'), be.AppendUint64(id, 77), appendRecorded(appendRecorded(nil, 7, [][]byte{[]byte(":1\r\n")}, ReplyKeepMax), 8, nil, 0))
	f.Add(byte('r'), id, []byte{})
	f.Fuzz(func(t *testing.T, kind byte, key, val []byte) {
		s := &sessions{shard: testShard, byID: make(map[uint64]*session), nodes: make(map[cluster.NodeID]uint64)}
		if err := s.load(kind, key, val); err != nil {
			return
		}
		switch kind {
		case 'n':
			if !bytes.Equal(be.AppendUint64(nil, s.nodes[cluster.NodeID(be.Uint64(key))]), val) {
				t.Errorf("%x %x is loaded as %v", key, val, s.nodes)
			}
		case 's', 'r':
			got := s.byID[be.Uint64(key)]
			if got == nil || got.id != be.Uint64(key) {
				t.Fatalf("%x is not loaded", key)
			}
			if len(got.open) > len(val) {
				t.Errorf("%d sequences in %d bytes", len(got.open), len(val))
			}
			if kind == 's' && (got.floor != be.Uint64(val) || got.acked != got.floor) {
				t.Errorf("%x is loaded as floor %d", val, got.floor)
			}
			for seq, o := range got.open {
				if o.index != be.Uint64(key[8:]) || seq > got.rows[0].maxSeq {
					t.Errorf("sequence %d of %x is loaded as %+v, %+v", seq, key, o, got.rows)
				}
			}
		default:
			if !reflect.DeepEqual(s.byID, map[uint64]*session{}) || len(s.nodes) > 0 {
				t.Errorf("kind %q is loaded", kind)
			}
		}
	})
}

func FuzzRecorded(f *testing.F) {
	f.Add(appendRecorded(appendRecorded(nil, 7, [][]byte{[]byte(":1\r\n")}, ReplyKeepMax), 8, nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = eachRecorded(b, func(_ uint64, body []byte) { n += 1 + len(body) })
		if n > len(b) {
			t.Fatalf("%d bytes in %d", n, len(b))
		}
	})
}
