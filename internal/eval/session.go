package eval

import (
	"encoding/binary"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/store"
)

// Sessions make retries safe. An entry node numbers its groups to a shard; the
// shard keeps, in rows of its own, the replies of every entry by session, until
// the entry node says that it has them. So a group that was applied is found
// again by whoever leads next, and answered instead of executed.
//
//	row 's' session         floor:8
//	row 'r' session index   version:1 { seq:uvarint len:uvarint body }
//	row 'n' node            incarnation:8
//
// The body is the encoded replies of the group, n:uvarint { len:uvarint reply };
// a reply of no bytes was applied, but too large to keep: see keepable. A later
// form of the rows 's' and 'n' takes another letter. Rows are removed only together with a raised floor that
// covers them; at or below the floor a sequence is refused. A session's id is
// node:16 incarnation:48, so a newer incarnation of a node ends the sessions
// of its older ones: their connections are gone.

const (
	// recordVersion begins a row of replies.
	recordVersion = 1
	// ReplyKeepMax is the size above which a reply is recorded as "applied, reply
	// dropped".
	ReplyKeepMax = 64 << 10
	// recordMax bounds the replies that one entry records. A group has up to 1,024
	// commands, so without it their replies could be 64 MiB of replicated state.
	// They are at most 1 MiB, and a few bytes for each that was dropped.
	recordMax = 1 << 20
)

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
	reply *group.Reply
}

type replyRow struct{ index, maxSeq uint64 }

// loadSessions reads the session rows.
func loadSessions(shard cluster.ShardID, r *store.View, waiters func(key, val []byte) error) (*sessions, error) {
	t := &sessions{shard: shard, byID: make(map[uint64]*session), nodes: make(map[cluster.NodeID]uint64)}
	load := func(kind byte, key, val []byte) error {
		if kind == 'w' {
			return waiters(key, val)
		}
		return t.load(kind, key, val)
	}
	if err := r.SessionRows(load); err != nil {
		return nil, fmt.Errorf("load sessions of shard %d: %w", shard, err)
	}
	for id := range t.byID {
		if group.SessionIncarnation(id) < t.nodes[group.SessionNode(id)] {
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

// keepable returns the size up to which the replies of a batch are recorded:
// ReplyKeepMax, or less if together they would be more than recordMax. wrote
// tells which groups had effects.
func (b *Batch) keepable(wrote []bool) int {
	sum := 0
	each := func(f func(size int)) {
		for i := range b.Replies {
			for _, p := range b.Replies[i].Replies {
				if wrote[i] && len(p) <= ReplyKeepMax {
					f(len(p))
				}
			}
		}
	}
	each(func(size int) { sum += size })
	if sum <= recordMax {
		return ReplyKeepMax
	}
	var sizes []int
	each(func(size int) { sizes = append(sizes, size) })
	return group.Fitting(sizes, recordMax)
}

// appendRecorded adds a group to a row of replies; those larger than keep bytes
// are recorded as dropped.
func appendRecorded(b []byte, seq uint64, replies [][]byte, keep int) []byte {
	if len(b) == 0 {
		b = append(b, recordVersion)
	}
	size := 2 * binary.MaxVarintLen64
	for _, r := range replies {
		if len(r) <= keep {
			size += len(r)
		}
		size += binary.MaxVarintLen32
	}
	b = binary.AppendUvarint(b, seq)
	body := binary.AppendUvarint(make([]byte, 0, size), uint64(len(replies)))
	for _, r := range replies {
		if len(r) > keep {
			r = nil
		}
		body = append(binary.AppendUvarint(body, uint64(len(r))), r...)
	}
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

func eachRecorded(b []byte, f func(seq uint64, body []byte)) error {
	if len(b) == 0 {
		return errRecorded
	}
	if b[0] != recordVersion {
		return fmt.Errorf("row of replies of version %d, this tutti knows version %d: %w", b[0], recordVersion, store.ErrFormat)
	}
	for b = b[1:]; len(b) > 0; {
		seq, w := binary.Uvarint(b)
		if w <= 0 {
			return errRecorded
		}
		n, v := binary.Uvarint(b[w:])
		if b = b[w+max(v, 0):]; v <= 0 || n > uint64(len(b)) {
			return errRecorded
		}
		f(seq, b[:n:n])
		b = b[n:]
	}
	return nil
}

// errRecorded says that a row of replies is none.
var errRecorded = fmt.Errorf("row of replies: %w", store.ErrFormat)

// recorded finds the reply of a sequence in the row of its entry.
func recorded(r keyspace.Reader, shard cluster.ShardID, session, index, seq uint64) (group.Reply, error) {
	reply := group.Reply{Session: session, Seq: seq, Index: index}
	val, ok, err := r.Get(store.RepliesRow(shard, session, index), nil)
	if err != nil {
		return reply, err
	}
	if !ok {
		return reply, fmt.Errorf("shard %d: no replies of entry %d for session %x", shard, index, session)
	}
	var found []byte
	if err = eachRecorded(val, func(n uint64, body []byte) {
		if n == seq {
			found = body
		}
	}); err == nil {
		reply.Replies, err = group.DecodeReplies(found) // there are no bytes if it is not there
	}
	if err != nil {
		err = fmt.Errorf("shard %d: replies of entry %d for session %x: %w", shard, index, session, err)
	}
	return reply, err
}

// Outcome answers a group whose outcome is known without evaluating it, from
// what v shows, the newest applied state. It takes note of the replies that the
// group's entry node has got.
func (c *Core) Outcome(g *group.Group, v *store.View) (reply group.Reply, known bool, err error) {
	t := c.sessions
	s := t.byID[g.Session]
	switch {
	case g.Open && group.SessionIncarnation(g.Session) < t.nodes[group.SessionNode(g.Session)]:
		return group.Reply{Status: group.NoSession}, true, nil
	case g.Open:
		return group.Reply{Index: v.Index}, s != nil, nil
	case s == nil:
		return group.Reply{Status: group.NoSession}, true, nil
	case g.Seq <= s.acked:
		return group.Reply{Status: group.Pruned}, true, nil
	}
	s.ack(g.Floor)
	if !c.waiting.heard(g) {
		return group.Reply{Status: group.Lost}, true, nil
	}
	o, done := s.open[g.Seq]
	if !done {
		return group.Reply{}, false, nil
	}
	if o.reply != nil {
		return *o.reply, true, nil
	}
	reply, err = recorded(v, c.cfg.Shard, g.Session, o.index, g.Seq)
	return reply, true, err
}
