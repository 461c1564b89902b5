package tracking

import (
	"log/slog"
	"slices"
	"time"

	"tutti/internal/cluster"
)

const (
	// tickEvery is how often sources are asked to show that they are up to date, and
	// staleMax how long one counts that does not. Clients keep old values for no longer,
	// but for those with a command under way: they are told when that is given up.
	tickEvery = 500 * time.Millisecond
	staleMax  = 3 * time.Second
)

// source is where the changes of a shard are heard of.
type source struct {
	away  bool      // it is a feed
	live  bool      // all that is committed is heard of
	fresh time.Time // as of then
	probe uint64    // number of the last probe whose answer counts; 0: none is asked
	asked uint64
	feed  feed
	own   own
}

// hears reports whether changes of the keys in a slot are heard of.
func (t *Table) hears(slot uint16) bool {
	m := t.place()
	if m == nil {
		return false
	}
	shard := m.Owner(slot)
	if shard == nil {
		return false
	}
	s := t.sources[shard.ID]
	return s != nil && s.live && s.away == t.cfg.Away(shard.ID)
}

// place returns the newest map. If slots belong to other shards than before everything
// is forgotten: it is unknown from when on the new owner was listened to.
func (t *Table) place() *cluster.Map {
	if t.cfg.Map == nil {
		return nil
	}
	m := t.cfg.Map()
	if m == t.layout {
		return m
	}
	if t.layout != nil && !slices.EqualFunc(t.layout.Data(), m.Data(), func(a, b cluster.Shard) bool { return a.ID == b.ID && a.Slots == b.Slots }) {
		t.cfg.Logger.Info("slots have moved: clients that cache are told to forget everything")
		t.flush(true)
	}
	t.layout = m
	return m
}

// look looks after the sources of all shards.
func (t *Table) look() {
	t.mu.Lock()
	if !t.wanted.Load() || t.cfg.Map == nil {
		t.mu.Unlock()
		return
	}
	now := time.Now()
	if t.dropFollowers(now); !t.wanted.Load() {
		t.mu.Unlock()
		return
	}
	var probes []func()
	for _, shard := range t.place().Data() {
		s := t.sources[shard.ID]
		if s == nil {
			s = &source{away: t.cfg.Away(shard.ID)}
			t.sources[shard.ID] = s
		}
		if away := t.cfg.Away(shard.ID); away != s.away {
			t.lose(s, shard.ID, "it is heard of elsewhere")
			s.away = away
		}
		if s.live && now.Sub(s.fresh) > staleMax {
			t.lose(s, shard.ID, "nothing shows that it is up to date")
		}
		if s.away {
			t.follow(s, shard.ID, now)
		} else if s.probe == 0 {
			probes = append(probes, t.probe(s, shard.ID, now))
		}
	}
	t.mu.Unlock()
	for _, ask := range probes {
		ask()
	}
}

// probe returns what asks the replica here whether it is up to date. It is to be called
// without the lock.
func (t *Table) probe(s *source, shard cluster.ShardID, now time.Time) func() {
	s.asked++
	s.probe = s.asked
	number := s.probe
	return func() { t.cfg.Probe(shard, func(ok bool) { t.probed(s, shard, number, now, ok) }) }
}

// probed takes the answer.
func (t *Table) probed(s *source, shard cluster.ShardID, number uint64, began time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.probe != number || t.sources[shard] != s {
		return // something has happened that it may not know of
	}
	s.probe = 0
	if ok && !s.away {
		t.freshen(s, began)
		t.feedAll(shard, fed{flags: flagFresh})
	}
}

// freshen notes that a source is up to date.
func (t *Table) freshen(s *source, at time.Time) {
	s.fresh = at
	if !s.live {
		s.live = true
		if t.changed != nil {
			close(t.changed)
			t.changed = nil
		}
	}
}

// lose notes that changes of a shard may not be heard of, or were not.
func (t *Table) lose(s *source, shard cluster.ShardID, why string) {
	s.probe, s.feed, s.own = 0, feed{failed: s.feed.from}, own{}
	if s.live {
		s.live = false
		t.cfg.Logger.Info("changes of a shard may be missed: clients that cache are told to forget everything",
			slog.Uint64("shard", uint64(shard)), slog.String("why", why))
		t.flush(true)
	}
	t.feedAll(shard, fed{flags: flagAll})
}

// Reset is to be called when the state of a shard here has changed otherwise than by an
// entry, or entries may not have been told.
func (t *Table) Reset(shard cluster.ShardID) {
	if !t.wanted.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sources[shard]; s != nil && !s.away {
		t.lose(s, shard, "its state was replaced")
		t.signal()
	}
}

// Ready returns what is closed when more is heard of than now, or nil if the changes of
// all shards are.
func (t *Table) Ready() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.place()
	if m == nil {
		return nil
	}
	for _, shard := range m.Data() {
		if s := t.sources[shard.ID]; s == nil || !s.live {
			if t.changed == nil {
				t.changed = make(chan struct{})
			}
			return t.changed
		}
	}
	return nil
}
