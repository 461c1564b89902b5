package node

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/shard"
)

// Kinds of frames about what replicas have confirmed.
const (
	kindStandAsk  peer.Kind = 80 // version:1 round:8
	kindStandTell peer.Kind = 81 // version:1 round:8 standings, see package shard
)

const (
	standVersion   = 1
	standHeadBytes = 9
	// surveyWait is how long the leaders of all shards have to answer: one that
	// takes longer is as good as silent, and whoever asks can't wait.
	surveyWait = 400 * time.Millisecond
)

// survey asks those who lead what their replicas have confirmed. It does so when
// somebody wants to know, for all who want to know at that moment at once.
type survey struct {
	node  cluster.NodeID
	maps  *cluster.Holder
	links *peer.Links
	host  *shard.Host
	mono  func() time.Duration
	log   *slog.Logger
	lead  func(cluster.ShardID) shard.Lead // as far as this node knows

	mu    sync.Mutex // guards what follows
	count uint64
	round *round    // that is under way; nil: none
	last  *findings // of the last one
}

// round is one time that the leaders are asked.
type round struct {
	id    uint64
	tells chan tell // capacity: answers of all members, so that nobody waits
	done  chan struct{}
	found *findings // once done
}

type tell struct {
	from cluster.NodeID
	list []shard.Standing
}

// findings is what a round has found.
type findings struct {
	at time.Duration // when it began, of the monotonic clock
	// leads is what the leaders have told of their shards; one that is missing
	// has none, or none that answers.
	leads map[cluster.ShardID]shard.Standing
	// asking lists the nodes that have lost their replica of a shard and ask for
	// another, as anybody knows.
	asking map[cluster.ShardID][]cluster.NodeID
	// missed is for how long this node has known no leader of shards.
	missed map[cluster.ShardID]time.Duration
	// mute lists the nodes that were asked and have not answered.
	mute []cluster.NodeID
}

// open registers what the survey hears; the links have not started yet.
func (v *survey) open(links *peer.Links) {
	v.links = links
	links.Handle(kindStandAsk, v.asked)
	links.Handle(kindStandTell, v.told)
}

// asked answers a peer that asks.
func (v *survey) asked(from cluster.NodeID, b []byte) {
	if len(b) != standHeadBytes || b[0] != standVersion {
		return // of a later version: to that one this node is silent
	}
	v.host.Standings(func(list []shard.Standing) {
		v.links.Send(from, peer.Control, kindStandTell, func(dst []byte) []byte { return shard.AppendStandings(append(dst, b...), list) })
	})
}

// told takes the answer of a peer.
func (v *survey) told(from cluster.NodeID, b []byte) {
	if len(b) < standHeadBytes || b[0] != standVersion {
		return
	}
	list, err := shard.DecodeStandings(b[standHeadBytes:])
	if err != nil {
		v.log.Warn("standings refused", slog.Uint64("from", uint64(from)), slog.Any("error", err))
		return
	}
	v.mu.Lock()
	r := v.round
	v.mu.Unlock()
	if r != nil && r.id == binary.BigEndian.Uint64(b[1:]) {
		r.take(tell{from, list})
	}
}

// take never blocks: what does not fit is more than all members can have told.
func (r *round) take(t tell) {
	select {
	case r.tells <- t:
	default:
	}
}

// get returns findings that are at most as old as maxAge, nil if ctx ends before.
func (v *survey) get(ctx context.Context, maxAge time.Duration) *findings {
	v.mu.Lock()
	if f := v.last; f != nil && v.mono()-f.at <= maxAge {
		v.mu.Unlock()
		return f
	}
	r := v.round
	mine := r == nil
	if mine {
		v.count++
		r = &round{id: v.count, tells: make(chan tell, cluster.MembersMax), done: make(chan struct{})}
		v.round = r
	}
	v.mu.Unlock()
	if mine {
		f := v.ask(r)
		v.mu.Lock()
		v.round, v.last = nil, f
		v.mu.Unlock()
		r.found = f
		close(r.done)
		return f
	}
	select {
	case <-r.done:
		return r.found
	case <-ctx.Done():
		return nil
	}
}

// alone returns what this node knows without asking, nil if ctx ends before.
func (v *survey) alone(ctx context.Context) *findings {
	own := make(chan []shard.Standing, 1)
	v.host.Standings(func(list []shard.Standing) { own <- list })
	select {
	case list := <-own:
		q := inquiry{v: v, f: newFindings(v.mono()), m: &cluster.Map{}}
		q.note(list)
		return q.f
	case <-ctx.Done():
		return nil
	}
}

func newFindings(at time.Duration) *findings {
	return &findings{at: at, leads: make(map[cluster.ShardID]shard.Standing), asking: make(map[cluster.ShardID][]cluster.NodeID),
		missed: make(map[cluster.ShardID]time.Duration)}
}

// ask is one round. It ends when each shard has told, when all who were asked
// have, or when time is over.
func (v *survey) ask(r *round) *findings {
	f := newFindings(v.mono())
	q := inquiry{v: v, f: f, m: v.maps.Map(), id: r.id, open: map[cluster.NodeID]bool{v.node: true}, asked: map[cluster.NodeID]bool{v.node: true}}
	v.host.Standings(func(list []shard.Standing) { r.take(tell{v.node, list}) })
	for _, s := range q.m.Shards {
		switch l := v.lead(s.ID); {
		case l.Node == v.node || l.Node != 0 && v.links.Silent(l.Node) <= linkWithin:
			q.ask(l.Node)
		default:
			q.ask(s.Nodes()...)
		}
	}
	over := time.NewTimer(surveyWait)
	defer over.Stop()
	for !q.complete() {
		select {
		case t := <-r.tells:
			q.take(t)
		case <-over.C:
			f.mute = append(f.mute, slices.Sorted(maps.Keys(q.open))...)
			return f
		}
	}
	return f
}

// inquiry is who has been asked in a round and what they have said.
type inquiry struct {
	v     *survey
	f     *findings
	m     *cluster.Map
	id    uint64
	asked map[cluster.NodeID]bool
	open  map[cluster.NodeID]bool // asked, and not answered yet
}

// ask asks nodes that have not been asked; one without a link can't be.
func (q *inquiry) ask(nodes ...cluster.NodeID) {
	for _, node := range nodes {
		if q.asked[node] {
			continue
		}
		q.asked[node] = true
		if q.v.links.Send(node, peer.Control, kindStandAsk, func(dst []byte) []byte {
			return binary.BigEndian.AppendUint64(append(dst, standVersion), q.id)
		}) {
			q.open[node] = true
		} else {
			q.f.mute = append(q.f.mute, node)
		}
	}
}

// note takes over what somebody knows.
func (q *inquiry) note(list []shard.Standing) {
	for _, s := range list {
		had, ok := q.f.leads[s.Shard]
		if s.Leads && (!ok || had.Term < s.Term) {
			q.f.leads[s.Shard] = s
		}
		q.f.asking[s.Shard] = append(q.f.asking[s.Shard], s.Asking...)
		q.f.missed[s.Shard] = max(q.f.missed[s.Shard], s.Missed)
	}
}

func (q *inquiry) take(t tell) {
	delete(q.open, t.from)
	q.note(t.list)
	for _, s := range t.list {
		if _, led := q.f.leads[s.Shard]; !led && s.Leader != 0 {
			q.ask(s.Leader)
		}
	}
	if len(q.open) > 0 {
		return
	}
	// Who was taken for a leader is none: whoever has a replica may know better.
	for _, s := range q.m.Shards {
		if _, led := q.f.leads[s.ID]; !led {
			q.ask(s.Nodes()...)
		}
	}
}

// complete reports whether nothing is to be waited for any more.
func (q *inquiry) complete() bool {
	if len(q.open) == 0 {
		return true
	}
	return len(q.f.leads) >= len(q.m.Shards)
}
