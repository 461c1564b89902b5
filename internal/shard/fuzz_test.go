package shard

import (
	"bytes"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// deafHost takes frames for a shard whose loop does not run: what has been
// taken lies in the inbox.
func deafHost() (*Host, *loop) {
	h := &Host{cfg: Config{Node: 2, Logger: nil}}
	l := newLoop(h)
	h.replicas.Store(&map[cluster.ShardID]*Replica{testShard: {host: h, loop: l, id: testShard, self: 2, members: members{desc: testDescriptor(1, 2)}}})
	return h, l
}

// FuzzFrame reads what a peer's replica sends: it is taken if it would be
// written so and names its sender, and nothing else is.
func FuzzFrame(f *testing.F) {
	m, err := proto.Marshal(&pb.Message{Type: new(pb.MsgApp), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(3)),
		Entries: []*pb.Entry{{Index: new(uint64(5)), Data: []byte("data")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(kindRaft), m)
	snap, _ := proto.Marshal(&pb.Message{Type: new(pb.MsgSnap), From: new(uint64(1)), To: new(uint64(2))})
	f.Add(byte(kindRaft), snap)
	other, _ := proto.Marshal(&pb.Message{Type: new(pb.MsgApp), From: new(uint64(3)), To: new(uint64(2))})
	f.Add(byte(kindRaft), other)
	f.Add(byte(kindReachAsk), []byte(nil))
	f.Add(byte(kindReachTell), make([]byte, 8))
	f.Add(byte(kindReadPass), make([]byte, questionLen))
	for kind := kindReadAsk; kind <= kindWho; kind++ {
		f.Add(byte(kind), make([]byte, 8))
		f.Add(byte(kind), make([]byte, 16))
		f.Add(byte(kind), make([]byte, 24))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		if k := peer.Kind(kind); k == kindGroup || k == kindReply {
			return // see package group
		}
		h, l := deafHost()
		taken := h.replica(testShard).frame(1, peer.Kind(kind), b)
		if taken != (len(l.inbox) == 1) {
			t.Fatalf("kind %d of %d bytes: taken %v, %d in the inbox", kind, len(b), taken, len(l.inbox))
		}
		if !taken {
			return
		}
		switch x := l.inbox[0].(type) {
		case received:
			if x.from != 1 || x.m.GetType() == pb.MsgSnap {
				t.Errorf("taken from node 1: %v", x.m)
			}
		case hashMsg:
			if x.from != 1 || len(b) != 16 {
				t.Errorf("taken: %+v", x)
			}
		case readAsk:
			if x.node != 1 || len(b) != 8 {
				t.Errorf("taken: %+v", x)
			}
		case questioned:
			if x.from != 1 || len(b) != questionLen || !bytes.Equal(x.q.append(nil), b) {
				t.Errorf("taken: %+v", x)
			}
		case inLoop:
			if len(b) != 8 && peer.Kind(kind) != kindReachAsk {
				t.Errorf("taken: %d bytes", len(b))
			}
		case steppedDown:
			if x.node != 1 || len(b) != 8 {
				t.Errorf("taken: %+v", x)
			}
		case readTell, tickAsk:
		default:
			t.Errorf("taken: %T", x)
		}
	})
}

// FuzzSnapshotHead reads the head of a snapshot stream.
func FuzzSnapshotHead(f *testing.F) {
	head := func(from, to uint64, typ pb.MessageType, index uint64) []byte {
		m, err := proto.Marshal(&pb.Message{Type: new(typ), From: new(from), To: new(to),
			Snapshot: &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(index), Term: new(uint64(2))}}})
		if err != nil {
			f.Fatal(err)
		}
		b := be.AppendUint64(nil, testShard)
		d := testDescriptor(1, 2).Encode(nil)
		return append(append(be.AppendUint32(b, uint32(len(d))), d...), m...)
	}
	f.Add(head(1, 2, pb.MsgSnap, 9))
	f.Add(head(3, 2, pb.MsgSnap, 9))
	f.Add(head(1, 2, pb.MsgSnap, 0))
	f.Add(head(1, 2, pb.MsgApp, 9))
	f.Add(head(1, 2, pb.MsgSnap, 9)[:15])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, _ := deafHost()
		r, m, d, err := h.snapshotHead(b)
		if err != nil {
			return
		}
		if r.id != testShard || d.ID != testShard || m.GetTo() != 2 || m.GetType() != pb.MsgSnap || m.GetSnapshot().GetMetadata().GetIndex() == 0 {
			t.Errorf("taken: %v", m)
		}
	})
}
