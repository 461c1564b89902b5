package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"tutti/internal/cluster"
)

// What is safe now is not for links to say: one may stand to a process that is
// stopped, or that its peers refuse. It is what replicas have confirmed, which
// the leader of their shard knows, and tells whoever asks.

// Standing is what a node knows of a shard at one moment: all there is to know
// if it leads, else whom it follows.
type Standing struct {
	Shard  cluster.ShardID
	Leader cluster.NodeID // 0: nobody known
	Term   uint64
	// Leads says that the node that tells is the leader, and that Commit and
	// Replicas are known.
	Leads    bool
	Commit   uint64
	Replicas []Copy
	// Asking lists the nodes that have lost their replica and ask for another.
	Asking []cluster.NodeID
	// Missed is for how long the node has known no leader; other nodes aren't told.
	Missed time.Duration
}

// Copy is one replica as its leader knows it.
type Copy struct {
	ID    cluster.ReplicaID
	Node  cluster.NodeID
	Data  uint64       // see cluster.Replica
	Part  cluster.Part // Leaving: it votes in the old half of a joint change only
	Stays bool         // it votes in both halves of a joint change
	Match uint64       // the index up to which it has told to hold the log
	// Silent is how long ago it answered last.
	Silent time.Duration
	// Confirmed says that it has answered within ConfirmedWithin, and holds what
	// was committed one to two seconds ago.
	Confirmed bool
}

// ConfirmedWithin is how old the newest answer of a replica may be that counts.
const ConfirmedWithin = time.Second

// Votes says how many votes a shard has, and how many of them are confirmed; in
// a joint change in the half where a loss weighs more.
func (s Standing) Votes() (confirmed, all int) {
	for i, half := range s.halves() {
		n := 0
		for _, c := range half {
			if c.Confirmed {
				n++
			}
		}
		if i == 0 || spare(n, len(half)) < spare(confirmed, all) {
			confirmed, all = n, len(half)
		}
	}
	return confirmed, all
}

// Spare is how many of the replicas that are confirmed may be lost, whichever
// they are, so that a majority is left; negative: there is none now.
func (s Standing) Spare() int { return spare(s.Votes()) }

func spare(confirmed, all int) int { return confirmed - (all/2 + 1) }

// SpareZones is Spare for zones: how many may be lost, with all replicas in
// them. zone says in which one a node is.
func (s Standing) SpareZones(zone func(cluster.NodeID) string) int {
	fewest := math.MaxInt
	for _, half := range s.halves() {
		count := make(map[string]int)
		left := 0
		for _, c := range half {
			if c.Confirmed {
				count[zone(c.Node)]++
				left++
			}
		}
		sizes := make([]int, 0, len(count))
		for _, n := range count {
			sizes = append(sizes, n)
		}
		slices.Sort(sizes)
		lost := min(spare(left, len(half)), 0)
		for i := len(sizes) - 1; i >= 0; i-- {
			if left -= sizes[i]; spare(left, len(half)) < 0 {
				break
			}
			lost++
		}
		fewest = min(fewest, lost)
	}
	return fewest
}

// halves returns the replicas that vote, of a joint change those of either
// configuration: each needs a majority of its own.
func (s Standing) halves() [][]Copy {
	var now, old []Copy
	joint := false
	for _, c := range s.Replicas {
		if c.Part == cluster.Voter {
			now = append(now, c)
		}
		if c.Part == cluster.Leaving || c.Stays {
			old = append(old, c)
			joint = true
		}
	}
	if !joint {
		return [][]Copy{now}
	}
	return [][]Copy{now, old}
}

// answers is when the followers of a leader have answered last, and what they
// should hold by now.
type answers struct {
	began     time.Duration // of the term
	heard     map[cluster.ReplicaID]time.Duration
	old, mark uint64 // what was committed at the last two marks
}

// markTicks is how often a leader marks what is committed: once a second.
const markTicks = 33

func newAnswers(now time.Duration, commit uint64) answers {
	return answers{began: now, heard: make(map[cluster.ReplicaID]time.Duration), old: commit, mark: commit}
}

// note takes any answer of a follower in this term.
func (a *answers) note(m *pb.Message, term uint64, now time.Duration) {
	if m.GetTerm() == term && (m.GetType() == pb.MsgAppResp || m.GetType() == pb.MsgHeartbeatResp) {
		a.heard[cluster.ReplicaID(m.GetFrom())] = now
	}
}

func (a *answers) tick(ticks, commit uint64) {
	if ticks%markTicks == 0 {
		a.old, a.mark = a.mark, commit
	}
}

// standing is what this replica knows of its shard. It runs on the loop.
func (r *Replica) standing() Standing {
	lead := r.lead.Load()
	s := Standing{Shard: r.id, Leader: lead.Node, Term: lead.Term, Asking: r.members.asking(), Missed: r.elections.missed()}
	if !r.leading() {
		return s
	}
	s.Leads, s.Commit = true, r.appends.commit
	progress := r.raft.Status().Progress
	outgoing := r.members.conf.GetVotersOutgoing()
	for _, x := range r.members.desc.Replicas {
		c := Copy{ID: x.ID, Node: x.Node, Data: x.Data, Part: x.Part, Match: progress[uint64(x.ID)].Match}
		c.Stays = x.Part == cluster.Voter && slices.Contains(outgoing, uint64(x.ID))
		answered := true
		if x.ID != r.self {
			c.Silent, answered = r.leader.silent(x)
		}
		c.Confirmed = answered && c.Silent <= ConfirmedWithin && c.Match >= r.leader.answers.old
		s.Replicas = append(s.Replicas, c)
	}
	return s
}

// silent returns how long ago a follower answered; ok is false if it has not in
// this term. Then its node may still have said something to this one.
func (l *leadership) silent(x cluster.Replica) (ago time.Duration, ok bool) {
	now := l.r.host.cfg.Clock.Mono()
	if at, ok := l.answers.heard[x.ID]; ok {
		return now - at, true
	}
	return max(now-l.answers.began, l.r.host.cfg.Links.Silent(x.Node)), false
}

// Standings has done called with what this node knows of the shards that it has
// replicas of, in no order, on the goroutine of a loop or, if there is none, on
// the caller's. done must not block. It is not called if the host closes
// meanwhile.
func (o *hosting) Standings(done func([]Standing)) {
	mine := make(map[*loop][]*Replica)
	for _, r := range *o.replicas.Load() {
		mine[r.loop] = append(mine[r.loop], r)
	}
	if len(mine) == 0 {
		done(nil)
		return
	}
	var mu sync.Mutex // guards all, left
	var all []Standing
	left := len(mine)
	for l, list := range mine {
		l.post(call{func() {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range list {
				if !r.gone {
					all = append(all, r.standing())
				}
			}
			if left--; left == 0 {
				done(all)
			}
		}})
	}
}

// Standings between nodes, integers as varints unless their width is given:
//
//	version:1 count { shard leader term flags:1 commit
//	                  count { replica node data match silent(ms) part:1 flags:1 }×n
//	                  count { node }×n }×n
//
// flags of a shard: 1 leads; of a replica: 1 stays, 2 confirmed.
const standingVersion = 1

// ErrStanding says that standings from another node can't be read.
var ErrStanding = errors.New("standings that can't be read")

// AppendStandings appends the record of standings.
func AppendStandings(b []byte, list []Standing) []byte {
	put := func(numbers ...uint64) {
		for _, n := range numbers {
			b = binary.AppendUvarint(b, n)
		}
	}
	b = append(b, standingVersion)
	put(uint64(len(list)))
	for _, s := range list {
		put(uint64(s.Shard), uint64(s.Leader), s.Term)
		b = append(b, flags(s.Leads))
		put(s.Commit, uint64(len(s.Replicas)))
		for _, c := range s.Replicas {
			put(uint64(c.ID), uint64(c.Node), c.Data, c.Match, uint64(max(c.Silent, 0)/time.Millisecond))
			b = append(b, byte(c.Part), flags(c.Stays, c.Confirmed))
		}
		put(uint64(len(s.Asking)))
		for _, node := range s.Asking {
			put(uint64(node))
		}
	}
	return b
}

func flags(set ...bool) (b byte) {
	for i, f := range set {
		if f {
			b |= 1 << i
		}
	}
	return b
}

// DecodeStandings reads what AppendStandings wrote.
func DecodeStandings(b []byte) ([]Standing, error) {
	d := standingReader{b: b}
	if v := d.byte(); v != standingVersion {
		return nil, fmt.Errorf("%w: version %d, this node reads %d", ErrStanding, v, standingVersion)
	}
	var list []Standing
	for range d.count(cluster.ShardsMax) {
		s := Standing{Shard: cluster.ShardID(d.uint()), Leader: cluster.NodeID(d.uint()), Term: d.uint()}
		s.Leads, s.Commit = d.byte()&1 != 0, d.uint()
		for range d.count(cluster.ReplicasMax) {
			c := Copy{ID: cluster.ReplicaID(d.uint()), Node: cluster.NodeID(d.uint()), Data: d.uint(), Match: d.uint(), Silent: d.millis(), Part: cluster.Part(d.byte())}
			f := d.byte()
			c.Stays, c.Confirmed = f&1 != 0, f&2 != 0
			d.bad = d.bad || c.Part > cluster.Leaving
			s.Replicas = append(s.Replicas, c)
		}
		for range d.count(cluster.MembersMax) {
			s.Asking = append(s.Asking, cluster.NodeID(d.uint()))
		}
		list = append(list, s)
	}
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrStanding, len(b))
	}
	return list, nil
}

// standingReader cuts numbers from a record; once one is missing all are zero.
type standingReader struct {
	b   []byte
	bad bool
}

func (d *standingReader) byte() (c byte) {
	if d.bad = d.bad || len(d.b) == 0; d.bad {
		return 0
	}
	c, d.b = d.b[0], d.b[1:]
	return c
}

func (d *standingReader) uint() uint64 {
	n, w := binary.Uvarint(d.b)
	if d.bad = d.bad || w <= 0; d.bad {
		return 0
	}
	d.b = d.b[w:]
	return n
}

// millis reads a time that is not longer than a year.
func (d *standingReader) millis() time.Duration {
	const longest = 365 * 24 * time.Hour
	return time.Duration(min(d.uint(), uint64(longest/time.Millisecond))) * time.Millisecond
}

// count reads a number of things that follow, each at least a byte long.
func (d *standingReader) count(limit int) int {
	n := d.uint()
	if d.bad = d.bad || n > uint64(limit) || n > uint64(len(d.b)); d.bad {
		return 0
	}
	return int(n)
}
