package tracking

import (
	"log/slog"
	"slices"
	"time"

	"tutti/internal/cluster"
)

// Feeds: nodes that have no replica of a shard hear of its changes from one that has.

const (
	// feedMax is how long a node has to answer who wants a feed, before another is asked.
	feedMax = time.Second
	// followMax is how long a feed goes on that nobody asks for.
	followMax = 5 * time.Second
)

// feed is where a node hears of the changes of a shard.
type feed struct {
	from   cluster.NodeID // 0: nowhere
	failed cluster.NodeID // who was asked before
	number uint64
	line   uint64 // 0: nothing has come
	seq    uint64 // of what has come last
	since  time.Time
}

// followed is a shard and a node that wants to hear of its changes.
type followed struct {
	shard cluster.ShardID
	node  cluster.NodeID
}

// follower is how far it has heard.
type follower struct {
	feed, line, seq uint64
	asked           time.Time // when it did so last
}

// feeds is who follows, and the last number that this node has given to a feed or line.
type feeds struct {
	followers map[followed]*follower
	last      uint64
}

// number returns a number that was never given before, also by earlier starts of the
// node.
func (f *feeds) number(now time.Time) uint64 {
	f.last = max(f.last+1, uint64(now.UnixNano()))
	return f.last
}

// follow asks for the changes of a shard. t.mu is held.
func (t *Table) follow(s *source, shard cluster.ShardID, now time.Time) {
	f := &s.feed
	if f.from != 0 && !s.live && now.Sub(f.since) >= feedMax {
		*f = feed{failed: f.from}
	}
	if f.from == 0 {
		from := t.choose(shard, f.failed)
		if from == 0 {
			return
		}
		*f = feed{from: from, number: t.feeds.number(now), since: now}
	}
	t.cfg.Offer(f.from, KindFollow, follow{shard, f.number}.encode)
}

// choose returns the next node after one that can be asked for the changes of a shard.
func (t *Table) choose(shard cluster.ShardID, after cluster.NodeID) cluster.NodeID {
	hosts := slices.DeleteFunc(slices.Sorted(slices.Values(t.layout.Hosts(shard))), func(n cluster.NodeID) bool { return n == t.cfg.Node || !t.cfg.Up(n) })
	if len(hosts) == 0 {
		return 0
	}
	for _, n := range hosts {
		if n > after {
			return n
		}
	}
	return hosts[0]
}

// Follow takes from a peer that it wants to hear of a shard.
func (t *Table) Follow(from cluster.NodeID, frame []byte) {
	f, err := decodeFollow(frame)
	if err != nil {
		t.nonsense(from, err)
		return
	}
	if t.cfg.Away(f.shard) {
		return // it will ask another one
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	at := followed{f.shard, from}
	x := t.feeds.followers[at]
	if x == nil || x.feed != f.feed {
		x = &follower{feed: f.feed, line: t.feeds.number(time.Now())}
		t.feeds.followers[at] = x
		t.recount()
		t.signal()
	}
	x.asked = time.Now()
}

// dropFollowers ends feeds that nobody asks for any more.
func (t *Table) dropFollowers(now time.Time) {
	for at, x := range t.feeds.followers {
		if now.Sub(x.asked) > followMax {
			delete(t.feeds.followers, at)
		}
	}
	t.recount()
}

// feedAll sends a change to all who follow a shard. t.mu is held.
func (t *Table) feedAll(shard cluster.ShardID, f fed) {
	if len(t.feeds.followers) == 0 {
		return
	}
	for at, x := range t.feeds.followers {
		if at.shard != shard {
			continue
		}
		f.follow = follow{shard, x.feed}
		for part := range parts(f.keys) {
			x.seq++
			p := f
			p.line, p.seq, p.keys = x.line, x.seq, part
			if !t.cfg.Offer(at.node, KindFed, p.encode) {
				delete(t.feeds.followers, at) // it sees that nothing comes any more
				break
			}
		}
	}
}

// parts cuts keys into parts that make frames of a moderate size, at least one.
func parts(keys [][]byte) func(yield func([][]byte) bool) {
	return func(yield func([][]byte) bool) {
		for {
			n, size := 0, 0
			for n < len(keys) && size < partMax {
				size += len(keys[n]) + 8
				n++
			}
			if !yield(keys[:n]) || n == len(keys) {
				return
			}
			keys = keys[n:]
		}
	}
}

// Fed takes changes from a peer.
func (t *Table) Fed(from cluster.NodeID, frame []byte) {
	f, err := decodeFed(frame)
	if err != nil {
		t.nonsense(from, err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[f.shard]
	if s == nil || !s.away || s.feed.from != from || s.feed.number != f.feed {
		return // of a feed that was given up
	}
	if f.line == s.feed.line && f.seq <= s.feed.seq {
		return // again
	}
	if s.feed.line != 0 && f.line != s.feed.line || f.seq != s.feed.seq+1 {
		t.lose(s, f.shard, "its feed has a gap")
		t.signal()
		return
	}
	s.feed.line, s.feed.seq = f.line, f.seq
	if f.flags&flagAll != 0 {
		t.flush(true)
	}
	t.change(f.shard, s, Change{Index: f.index, Keys: f.keys})
	if f.flags&flagFresh != 0 {
		t.freshen(s, time.Now())
	}
}

// LinkChanged is to be called when the link to a node went up or down.
func (t *Table) LinkChanged(node cluster.NodeID, up bool) {
	if !t.wanted.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !up {
		for shard, s := range t.sources {
			if s.away && s.feed.from == node {
				t.lose(s, shard, "the link to its feed is lost")
			}
		}
		for at := range t.feeds.followers {
			if at.node == node {
				delete(t.feeds.followers, at)
			}
		}
		t.recount()
	}
	t.signal()
}

func (t *Table) nonsense(from cluster.NodeID, err error) {
	t.cfg.Logger.Error("a frame about tracking can't be read", slog.Uint64("peer", uint64(from)), slog.Any("error", err))
}
