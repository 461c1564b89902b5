package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/meta"
	"tutti/internal/peer"
	"tutti/internal/router"
	"tutti/internal/store"
)

// Kinds of frames about the map.
const (
	kindMap    peer.Kind = 64 // record of a map, see package cluster
	kindMapAsk peer.Kind = 65 // epoch:8 that the sender has
)

// mapKeeper keeps the node's map the newest there is. A replica of the meta
// shard here tells every change, which this node passes on to all others; a
// link that has come up asks. In the other direction it tells meta what this
// node knows better: where it is reached, which formats it reads, and how the
// shards that it leads have changed. One goroutine does all of that; what comes
// in is only kept until it gets there, the newest of each.
type mapKeeper struct {
	holder *cluster.Holder
	me     cluster.Member // what this node says of itself
	links  *peer.Links
	router *router.Router
	// write sends a group to the meta shard, as the router does.
	write func(g *group.Group, done func(router.Result))
	log   *slog.Logger
	fatal func(error)
	// changed is called after each change.
	changed func()
	linked  map[cluster.NodeID]bool // to whom; of the goroutine
	told    chan error              // that meta has answered; has room for one, so that who answers never waits

	mu      sync.Mutex // guards what follows
	view    *store.View
	heard   *cluster.Map
	reports map[cluster.ShardID]cluster.Descriptor
	behind  bool // others may have a newer map
	closed  bool

	wake    chan struct{} // capacity 1: a signal
	quit    chan struct{}
	done    chan struct{}
	running bool // run was called
}

// ErrRemoved says that the node is not a member of its cluster any more.
var ErrRemoved = errors.New("this node was removed from the cluster")

func newMapKeeper(h *cluster.Holder, me cluster.Member, log *slog.Logger, fatal func(error)) *mapKeeper {
	return &mapKeeper{holder: h, me: me, log: log, fatal: fatal, reports: make(map[cluster.ShardID]cluster.Descriptor), linked: make(map[cluster.NodeID]bool),
		told: make(chan error, 1),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// open takes what the keeper speaks with, and registers what it hears.
func (k *mapKeeper) open(links *peer.Links, r *router.Router) {
	k.links, k.router = links, r
	k.write = func(g *group.Group, done func(router.Result)) { r.Write(cluster.Meta, g, done) }
	links.Handle(kindMap, func(_ cluster.NodeID, b []byte) { k.hear(b) })
	links.Handle(kindMapAsk, k.asked)
}

// run begins to keep the map, once all that it uses has started.
func (k *mapKeeper) run() {
	k.running = true
	k.signal()
	go k.keep()
}

func (k *mapKeeper) close() {
	k.mu.Lock()
	k.closed = true
	if k.view != nil {
		k.view.Release()
		k.view = nil
	}
	k.mu.Unlock()
	close(k.quit)
	if k.running {
		<-k.done
	}
}

func (k *mapKeeper) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// tell takes a state of the meta shard, with a reference that is now the
// keeper's.
func (k *mapKeeper) tell(v *store.View) {
	k.mu.Lock()
	old := k.view
	if k.closed {
		old = v
	} else {
		k.view = v
	}
	k.mu.Unlock()
	if old != nil {
		old.Release()
	}
	k.signal()
}

// hear takes a map from a peer.
func (k *mapKeeper) hear(b []byte) {
	m, err := cluster.DecodeMap(b)
	if err != nil {
		k.log.Error("a map from a peer can't be read", slog.Any("error", err))
		return
	}
	k.mu.Lock()
	if k.heard == nil || k.heard.Epoch < m.Epoch {
		k.heard = m
	}
	k.mu.Unlock()
	k.signal()
}

// asked answers a peer that has an older map, and asks one that has a newer one:
// what this node asked when its own link came up is not answered if the peer's
// was down then.
func (k *mapKeeper) asked(from cluster.NodeID, b []byte) {
	if len(b) != 8 {
		return
	}
	switch m, epoch := k.holder.Map(), binary.BigEndian.Uint64(b); {
	case epoch < m.Epoch:
		k.links.Send(from, peer.Bulk, kindMap, m.Encode)
	case epoch > m.Epoch:
		k.linkUp(from)
	}
}

// ask asks for a newer map those who hear of it first. It does not wait.
func (k *mapKeeper) ask() {
	k.mu.Lock()
	k.behind = true
	k.mu.Unlock()
	k.signal()
}

// askIfBehind sends what ask asks for, once for all who asked meanwhile.
func (k *mapKeeper) askIfBehind() {
	k.mu.Lock()
	behind := k.behind
	k.behind = false
	k.mu.Unlock()
	if !behind {
		return
	}
	for _, node := range k.holder.Map().Hosts(cluster.Meta) {
		if node != k.me.ID {
			k.linkUp(node)
		}
	}
}

// link links this node to the members of m and to nobody else.
func (k *mapKeeper) link(m *cluster.Map) {
	for _, x := range m.Members {
		if x.ID != k.me.ID && !k.linked[x.ID] {
			k.linked[x.ID] = true
			k.links.Connect(x.ID)
		}
	}
	for node := range k.linked {
		if _, ok := m.Member(node); !ok {
			delete(k.linked, node)
			k.links.Forget(node)
		}
	}
}

// linkUp asks a peer whose link has come up whether it has a newer map.
func (k *mapKeeper) linkUp(node cluster.NodeID) {
	k.links.Send(node, peer.Control, kindMapAsk, func(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, k.holder.Map().Epoch) })
}

// report takes what a shard that this node leads says of itself.
func (k *mapKeeper) report(d cluster.Descriptor) {
	k.mu.Lock()
	if k.reports[d.ID].Generation < d.Generation {
		k.reports[d.ID] = d
	}
	k.mu.Unlock()
	k.signal()
}

// retryEvery is how soon what meta did not take is told again.
const retryEvery = 500 * time.Millisecond

func (k *mapKeeper) keep() {
	defer close(k.done)
	k.link(k.holder.Map())
	retry := time.NewTimer(retryEvery)
	defer retry.Stop()
	telling, more := false, false // meta is being told; something has come in since that began
	for {
		select {
		case <-k.quit:
			return
		case <-k.wake:
			more = true
		case <-retry.C:
			more = true
		case err := <-k.told:
			telling = false
			if err != nil {
				k.log.Debug("meta was not told", slog.Any("error", err))
			}
			retry.Reset(retryEvery) // if the map does not show it until then
		}
		if err := k.takeOver(); err != nil {
			k.fatal(err)
			return
		}
		k.askIfBehind()
		if more && !telling {
			more = false
			if telling = k.tellMeta(); !telling {
				retry.Stop()
			}
		}
	}
}

// takeOver makes the newest of what has come in the node's map.
func (k *mapKeeper) takeOver() error {
	k.mu.Lock()
	v, m := k.view, k.heard
	k.view, k.heard = nil, nil
	k.mu.Unlock()
	own := false
	if v != nil {
		loaded, err := meta.Load(v)
		v.Release()
		switch {
		case errors.Is(err, cluster.ErrVersion):
			return fmt.Errorf("the map of the cluster: %w", err)
		case errors.Is(err, meta.ErrNoMap):
		case err != nil:
			// One row that can't be right must not end leader after leader. The map
			// that the node has goes on.
			k.log.Error("the map of the cluster can't be read from its shard", slog.Any("error", err))
		case m == nil || m.Epoch <= loaded.Epoch:
			m, own = loaded, true
		}
	}
	if m == nil {
		return nil
	}
	if m.Version > k.me.Version {
		return fmt.Errorf("the cluster writes formats of version %d, this tutti reads %d: %w", m.Version, k.me.Version, cluster.ErrVersion)
	}
	before := k.holder.Map()
	took, err := k.holder.Replace(m)
	if err != nil || !took {
		return err
	}
	k.log.Info("the map has changed", slog.Uint64("epoch", m.Epoch))
	if own {
		for _, x := range m.Members {
			if x.ID != k.me.ID {
				k.links.Send(x.ID, peer.Bulk, kindMap, m.Encode)
			}
		}
	}
	k.tellRemoved(before, m)
	k.link(m)
	k.changed()
	if _, ok := m.Member(k.me.ID); !ok {
		return ErrRemoved
	}
	return nil
}

// tellRemoved sends a map to those whom it leaves out: it is the last that they
// hear, as all refuse them from then on.
func (k *mapKeeper) tellRemoved(before, m *cluster.Map) {
	for _, x := range before.Members {
		if _, in := m.Member(x.ID); !in && x.ID != k.me.ID {
			k.links.Queue(x.ID, peer.Control, kindMap, m.Encode)
			k.links.Flush() // before its link is closed
		}
	}
}

// tellMeta begins to tell the meta shard what this node knows better, and reports
// whether there is anything. It does not wait: meta may have no leader for long,
// and the newest map must not wait for that. The outcome comes to k.told.
func (k *mapKeeper) tellMeta() bool {
	m := k.holder.Map()
	g := &group.Group{Proto: 2}
	tell := func(args [][]byte) { g.Cmds = append(g.Cmds, group.Command{Args: args}) }
	me, ok := m.Member(k.me.ID)
	if want := me; ok {
		want.Peer, want.Client, want.Version = k.me.Peer, k.me.Client, k.me.Version
		if want != me {
			tell(words("TUTTI.MEMBER", "ANNOUNCE", number(want.ID), want.Peer, want.Client, number(want.Version)))
		}
	}
	k.mu.Lock()
	for id, d := range k.reports {
		if s, ok := m.Shard(id); ok && s.Generation >= d.Generation {
			delete(k.reports, id)
			continue
		}
		if len(g.Cmds) < group.CommandsMax { // the others are told when these are known
			tell([][]byte{[]byte("TUTTI.REPORT"), d.Encode(nil)})
		}
	}
	k.mu.Unlock()
	if len(g.Cmds) == 0 {
		return false
	}
	k.write(g, func(r router.Result) { k.told <- outcome(r) })
	return true
}

// outcome returns the first error of commands that the meta shard was sent.
func outcome(r router.Result) error {
	if r.Err != "" {
		return errors.New(r.Err)
	}
	for _, p := range r.Reply.Replies {
		if len(p) > 0 && p[0] == '-' {
			return errors.New(string(p))
		}
	}
	return nil
}

// do runs a command on the meta shard.
func (k *mapKeeper) do(args [][]byte) error {
	v, err := askMeta(k.router, args, k.quit)
	if err == nil && v.IsError() {
		err = errors.New(string(v.Str))
	}
	return err
}

func words(args ...string) [][]byte {
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	return list
}

func number[N cluster.NodeID | cluster.Version](n N) string {
	return strconv.FormatUint(uint64(n), 10)
}
