package shard

import (
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Whom the leader asks in a round of reads. raft asks everybody, but a majority is
// enough: those are asked who were quickest when all were asked last, which is in the
// first round of each tick. What the others would have cost, a message, a wake-up and an
// answer each, is saved. Who is not as quick any more costs the readers of one round some
// patience, see reads.impatient, and then all are asked.

// quickest is who is asked.
type quickest struct {
	conf  *pb.ConfState // in which this is so
	first []uint64      // with the leader they are a majority; nil: not known
	all   string        // what raft calls the attempt in which all were asked last
	got   []uint64      // who has answered it, in order
}

// patienceMin is how long the first ones have at least. That is some times what a round
// takes in one data centre, and short for who reads.
const patienceMin = 2 * time.Millisecond

// skips reports whether a voter need not be asked in an attempt of a round.
func (q *quickest) skips(r *Replica, to uint64) bool {
	if q.conf != r.members.conf {
		q.conf, q.first, q.all = r.members.conf, nil, ""
	}
	return q.first != nil && !slices.Contains(q.first, to) && slices.Contains(q.conf.GetVoters(), to)
}

// asks notes that one is asked in an attempt who might have been skipped.
func (q *quickest) asks(to uint64, round []byte) {
	if q.all != string(round) && !slices.Contains(q.first, to) {
		q.all, q.got = string(round), q.got[:0]
	}
}

// heard takes an answer.
func (q *quickest) heard(from uint64, round []byte) {
	if string(round) != q.all || len(round) == 0 || q.conf == nil || joint(q.conf) || !slices.Contains(q.conf.GetVoters(), from) || slices.Contains(q.got, from) {
		return
	}
	if q.got = append(q.got, from); len(q.got) == len(q.conf.GetVoters())/2 {
		q.first = append(q.first[:0], q.got...)
	}
}
