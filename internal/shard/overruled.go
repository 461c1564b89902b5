package shard

import (
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
)

// ErrOverruled says that the majority of a shard has other entries than this node where
// this one knows of a commit: so many of the others have forgotten what they had
// confirmed, on old copies of their disks, that they went on without it. What they have
// forgotten may be here only, so the data stays as it is.
var ErrOverruled = errors.New("the others have forgotten what was committed")

// overruled reports whether a leader's entries differ from what is applied here. raft
// would say again and again that it has them, and both would wait for ever.
func (r *Replica) overruled(m *pb.Message) error {
	own, n := r.machine.applied, uint64(len(m.GetEntries()))
	if m.GetType() != pb.MsgApp || m.GetTerm() < r.term || m.GetIndex() > own.Index || own.Index > m.GetIndex()+n || r.snapshots.installing != nil {
		return nil
	}
	theirs := m.GetLogTerm()
	if at := own.Index - m.GetIndex(); at > 0 {
		theirs = m.GetEntries()[at-1].GetTerm()
	}
	if own.Term == theirs {
		return nil
	}
	return fmt.Errorf("%w: shard %d: entry %d is of term %d here, and of term %d at the leader of term %d", ErrOverruled, r.id, own.Index, own.Term, theirs, m.GetTerm())
}
