package shard

import (
	"encoding/binary"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Sessions make retries safe. An entry node numbers its groups to a shard; the
// shard keeps, in rows of its own, the replies of every entry by session, until
// the entry node says that it has them. So a group that was applied is found
// again by whoever leads next, and answered instead of executed.
//
//	row 's' session         floor:8
//	row 'r' session index   { seq:uvarint len:uvarint body }
//	row 'n' node            incarnation:8
//
// The body is the encoded replies, or one zero byte-count if they were too
// large to keep. Rows are removed only together with a raised floor that
// covers them; at or below the floor a sequence is refused. A session's id is
// node:16 incarnation:48, so a newer incarnation of a node ends the sessions
// of its older ones: their connections are gone.

// replyKeepMax is the size from which replies are recorded as "applied, reply
// dropped".
const replyKeepMax = 64 << 10

// SessionID names the session of an entry node's incarnation.
func SessionID(node cluster.NodeID, incarnation uint64) uint64 {
	return uint64(node)<<48 | incarnation&(1<<48-1)
}

func sessionNode(id uint64) cluster.NodeID { return cluster.NodeID(id >> 48) }
func sessionIncarnation(id uint64) uint64  { return id & (1<<48 - 1) }

// sessions is the leader's picture of the session rows, built when it starts
// to lead. It holds applied state only, plus the outcomes without effects of
// this term.
type sessions struct {
	shard cluster.ShardID
	byID  map[uint64]*session
	nodes map[cluster.NodeID]uint64 // node -> newest incarnation
}

type session struct {
	id    uint64
	floor uint64 // applied
	acked uint64 // as the entry node says; Invariant: acked >= floor
	open  map[uint64]outcome
	rows  []replyRow // oldest first
}

// outcome is the result of an evaluated sequence: in the row of an entry, or in
// memory if it had no effects.
type outcome struct {
	index uint64
	reply *Reply
}

type replyRow struct{ index, maxSeq uint64 }

// loadSessions reads the session rows.
func loadSessions(shard cluster.ShardID, r *store.View) (*sessions, error) {
	t := &sessions{shard: shard, byID: make(map[uint64]*session), nodes: make(map[cluster.NodeID]uint64)}
	if err := r.LocalRows(t.load); err != nil {
		return nil, fmt.Errorf("load sessions of shard %d: %w", shard, err)
	}
	for id := range t.byID {
		if sessionIncarnation(id) < t.nodes[sessionNode(id)] {
			delete(t.byID, id)
		}
	}
	return t, nil
}

// load takes over one row of the shard; see package store for its form.
func (t *sessions) load(kind byte, key, val []byte) error {
	keyLen, valLen := 8, 8
	switch kind {
	case 'n', 's':
	case 'r':
		keyLen, valLen = 16, len(val)
	default:
		return nil
	}
	if len(key) != keyLen || len(val) != valLen {
		return fmt.Errorf("row %q of %d and %d bytes: %w", kind, len(key), len(val), store.ErrFormat)
	}
	switch id := be.Uint64(key); kind {
	case 'n':
		t.nodes[cluster.NodeID(id)] = be.Uint64(val)
	case 's':
		t.session(id).setFloor(be.Uint64(val))
	case 'r':
		return t.session(id).addRow(be.Uint64(key[8:]), val)
	}
	return nil
}

func (t *sessions) session(id uint64) *session {
	s := t.byID[id]
	if s == nil {
		s = &session{id: id, open: make(map[uint64]outcome)}
		t.byID[id] = s
	}
	return s
}

func (s *session) setFloor(floor uint64) {
	s.floor, s.acked = floor, max(floor, s.acked)
}

func (s *session) addRow(index uint64, val []byte) error {
	row := replyRow{index: index}
	err := eachRecorded(val, func(seq uint64, _ []byte) {
		s.open[seq] = outcome{index: index}
		row.maxSeq = max(row.maxSeq, seq)
	})
	s.rows = append(s.rows, row)
	return err
}

// ack notes what the entry node has, and forgets outcomes in memory.
func (s *session) ack(floor uint64) {
	if floor <= s.acked {
		return
	}
	for seq := s.acked + 1; seq <= floor && len(s.open) > 0; seq++ {
		delete(s.open, seq)
	}
	s.acked = floor
}

func appendRecorded(b []byte, seq uint64, replies [][]byte) []byte {
	size := 1
	for _, r := range replies {
		size += len(r) + 5
	}
	b = binary.AppendUvarint(b, seq)
	if size > replyKeepMax {
		return append(b, 0)
	}
	body := appendReplies(make([]byte, 0, size), replies)
	return appendString(b, body)
}

func eachRecorded(b []byte, f func(seq uint64, body []byte)) error {
	d := decoder{b: b}
	for len(d.b) > 0 {
		seq, w := binary.Uvarint(d.b)
		if w <= 0 {
			return errGroup
		}
		d.b = d.b[w:]
		body := d.string()
		if d.bad {
			return errGroup
		}
		f(seq, body)
	}
	return nil
}

// recorded finds the reply of a sequence in the row of its entry.
func recorded(r keyspace.Reader, shard cluster.ShardID, session, index, seq uint64) (Reply, error) {
	reply := Reply{Session: session, Seq: seq, Status: Dropped, Index: index}
	val, ok, err := r.Get(store.RepliesRow(shard, session, index), nil)
	if err != nil {
		return reply, err
	}
	if !ok {
		return reply, fmt.Errorf("shard %d: no replies of entry %d for session %x", shard, index, session)
	}
	var derr error
	err = eachRecorded(val, func(n uint64, body []byte) {
		if n == seq && len(body) > 0 {
			reply.Status = OK
			reply.Replies, derr = decodeReplies(body)
		}
	})
	if err == nil {
		err = derr
	}
	return reply, err
}
