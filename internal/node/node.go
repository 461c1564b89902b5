package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/peer"
	"tutti/internal/pubsub"
	"tutti/internal/router"
	"tutti/internal/server"
	"tutti/internal/shard"
	"tutti/internal/spike"
	"tutti/internal/store"
	"tutti/internal/tracking"
)

// Version is the version of this program.
const Version = "0.1.0"

// Node is a running node.
type Node struct {
	cfg    Config
	self   Self
	maps   *cluster.Holder
	keeper *mapKeeper
	users  *userKeeper
	watch  *deadWatch
	disk
	network
	host   *shard.Host
	router *router.Router
	server *server.Server
	survey *survey
	certs  *certs
	wg     sync.WaitGroup

	runners runners

	telling telling
	spikes  *spike.Log
	fate
}

// fate is how it stands with a node.
type fate struct {
	mu     sync.Mutex // guards what follows
	failed bool
	serves bool          // Open has succeeded
	damage error         // found before that, on some other goroutine
	aside  []store.Aside // damaged data of earlier generations
}

// network is what a node has between it and the others.
type network struct {
	links *peer.Links
	hub   *pubsub.Hub     // of the clients' messages
	reads *tracking.Table // of what clients have read and keep
}

// disk is what a node has open in its folder.
type disk struct {
	lock   io.Closer
	log    *store.Log
	state  *store.State
	count  *store.Counters
	space  *store.Space
	starts *store.Starts // of the peers
	start  store.Start   // this one of this node
	quiet  *quiet
}

// Open starts the node in cfg.Dir. It serves when Open returns, as soon as a
// majority of the cluster does. A node that finds its data damaged starts with
// empty replicas, which the others bring up again; see rebuild.
func Open(cfg Config) (*Node, error) {
	cfg.fill()
	n, err := open(cfg)
	if errors.Is(err, store.ErrDamaged) {
		if _, marked, _ := store.ReadMark(cfg.FS, cfg.Dir); marked {
			return open(cfg) // only once: what is damaged again at once is not of the past
		}
	}
	return n, err
}

func open(cfg Config) (_ *Node, err error) {
	n := &Node{cfg: cfg, spikes: spike.New(cfg.Clock.Wall)}
	n.telling.n = n
	if n.self, err = ReadSelf(cfg.FS, cfg.Dir); err != nil {
		return nil, err // and nothing is made in a folder that holds no node
	}
	if n.lock, err = lockDir(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, n.opened(err == nil))
		if err != nil {
			err = errors.Join(n.markDamaged(err), n.Close())
		}
	}()
	if n.self, err = readSelf(cfg.FS, cfg.Dir, store.MendTwice); err != nil {
		return nil, err
	}
	if err := errors.Join(n.self.setService(cfg), n.self.setRunners(cfg)); err != nil {
		return nil, err
	}
	// A node that is complete must never be made again.
	if err := store.RemoveTwice(cfg.FS, cfg.Dir, formingFile); err != nil {
		return nil, err
	}
	if err := n.openMap(); err != nil {
		return nil, err
	}
	if n.users, err = openUsers(n.cfg, n.self, n.maps, n.fatal); err != nil {
		return nil, err
	}
	if err := n.openStores(); err != nil {
		return nil, err
	}
	// Both ports are taken before anything runs: an occupied one is the most
	// frequent mistake.
	clients, err := n.self.listenClients(cfg, n.users.holder.Set())
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	peers, err := cfg.ListenPeers(cmp.Or(n.self.ListenPeer, n.self.Peer))
	if err != nil {
		clients.Close()
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	if err := n.openLinks(peers); err != nil {
		clients.Close()
		peers.Close()
		return nil, err
	}
	if err := n.openShards(); err != nil {
		clients.Close()
		return nil, err
	}
	n.serve(clients)
	n.runners.start(n)
	if err := n.telling.open(); err != nil {
		return nil, err
	}
	return n, nil
}

// openMap reads the map that the node had last.
func (n *Node) openMap() error {
	m, err := readMap(n.cfg.FS, n.cfg.Dir, store.MendTwice)
	if err != nil {
		return err
	}
	if m.Version > n.cfg.Formats {
		return fmt.Errorf("%s: the cluster writes formats of version %d, this tutti reads %d: %w", n.cfg.Dir, m.Version, n.cfg.Formats, cluster.ErrVersion)
	}
	if _, ok := m.Member(n.self.Node); !ok {
		return fmt.Errorf("%s: %w", n.cfg.Dir, ErrRemoved)
	}
	n.maps = cluster.NewHolder(m, func(record []byte) error { return writeMap(n.cfg.FS, n.cfg.Dir, record) })
	me := cluster.Member{ID: n.self.Node, Peer: n.self.Peer, Client: n.self.Client, Version: n.cfg.Formats}
	n.keeper = newMapKeeper(n.maps, me, n.cfg.Logger, n.fatal)
	n.watch = newDeadWatch(n.self.Node, n.maps, n.cfg.Logger, n.cfg.Clock.Mono)
	return nil
}

func (n *Node) linkChanged(node cluster.NodeID, up bool) {
	n.host.LinkChanged(node, up)
	n.router.LinkChanged(node, up)
	n.hub.LinkChanged(node, up)
	n.reads.LinkChanged(node, up)
	if up {
		n.keeper.linkUp(node)
		n.users.linkUp(node)
	}
	n.runners.linkChanged(node, up)
	n.watch.signal()
}

func (n *Node) openStores() (err error) {
	cfg := n.cfg.stores(n.self, n.maps.Map())
	cfg.Fatal, cfg.Spikes = n.fatal, n.spikes
	if err := n.self.gone(n.cfg.Dir, store.HasTwice(n.cfg.FS, n.cfg.Dir, store.CountersFile), store.CountersFile); err != nil {
		return err
	}
	if err := n.openCounters(cfg); err != nil {
		return err
	}
	if err := n.rebuild(); err != nil {
		return err
	}
	for _, name := range []string{"log", "state", "vow"} {
		if err := n.self.gone(n.cfg.Dir, has(n.cfg.FS, n.cfg.Dir, name), name); err != nil {
			return err
		}
	}
	cfg.Space = store.WatchSpace(cfg)
	n.space = cfg.Space
	if n.aside, err = store.ListAside(n.cfg.FS, n.cfg.Dir); err != nil {
		return err
	}
	if n.log, err = store.OpenLog(cfg); err != nil {
		return err
	}
	if n.state, err = store.OpenState(cfg); err != nil {
		return err
	}
	n.starts, err = store.OpenStarts(cfg, n.remembered)
	return err
}

// has reports whether a file or folder of a node is there.
func has(fs vfs.FS, dir, name string) bool {
	_, err := fs.Stat(fs.PathJoin(dir, name))
	return err == nil
}

// ErrDataGone says that a folder is a node's, and a part of its data is not there.
var ErrDataGone = errors.New("the data of this node is gone")

// gone is an error if a part of the node's data is not there.
func (s Self) gone(dir string, there bool, name string) error {
	if there {
		return nil
	}
	return fmt.Errorf("%s: %w: there is no %s of node %d. It must not start empty: it may have promised what the others rely on. Replace it by a new node", dir, ErrDataGone, name, s.Node)
}

func (n *Node) openLinks(l net.Listener) error {
	var nonce [8]byte
	if _, err := io.ReadFull(n.cfg.Entropy, nonce[:]); err != nil {
		return fmt.Errorf("draw the number of this start: %w", err)
	}
	n.start = store.Start{Count: n.count.Incarnation, Nonce: binary.BigEndian.Uint64(nonce[:])}
	cfg := peer.Config{
		Node: n.self.Node, Incarnation: n.start.Count, Nonce: n.start.Nonce, Cluster: n.self.Cluster, Listener: l,
		Wall: n.cfg.Clock.Wall, Mono: n.cfg.Clock.Mono, Logger: n.cfg.Logger, Hello: n.hello, Room: n.room,
		Refused: func(t peer.Twin) {
			if err := clone(n.maps.Map(), t, n.links.Silent); err != nil {
				n.fatal(err)
			}
		},
		Changed: n.linkChanged, Stranger: newAdmitter(n).serve, Oldest: cluster.Oldest, Newest: n.cfg.Formats,
	}
	// Also where others secure the connections: a node whose identity is lost
	// must not run.
	n.certs = newCerts(n.cfg, n.self, n.maps)
	if err := n.certs.load(); err != nil {
		return err
	}
	dial, secure := n.cfg.DialPeer, n.cfg.SecurePeer
	if dial == nil || secure == nil {
		dial, secure = tlsDial(n.cfg.Dial, n.certs.Holder, n.isMember, n.keeper.hear), tlsSecure(n.certs.Holder, n.isMember, n.cfg.Logger)
	}
	cfg.Secure = secure
	say := untrusted(n.cfg.Logger)
	cfg.Dial = func(ctx context.Context, node cluster.NodeID) (net.Conn, error) {
		m, ok := n.maps.Map().Member(node)
		if !ok {
			return nil, fmt.Errorf("node %d is no member", node)
		}
		if via := cmp.Or(n.cfg.Via[node], n.self.Via[node]); via != "" {
			m.Peer = via
		}
		conn, err := dial(ctx, m)
		say(m, err)
		return conn, err
	}
	n.links = peer.New(cfg)
	n.links.Handle(kindOldCopy, func(from cluster.NodeID, b []byte) {
		if err := heardOldCopy(n.start, from, b); err != nil {
			n.fatal(err)
		}
	})
	n.hub = newMessages(n)
	n.hub.Run()
	n.reads = newTracked(n)
	n.runners.open(n)
	return nil
}

// room is what the peers are told of this node's disk.
func (n *Node) room() peer.Room {
	switch {
	case n.space.Tight():
		return peer.RoomTight
	case n.space.Full():
		return peer.RoomFull
	}
	return peer.RoomPlenty
}

// Self returns who the node is.
func (n *Node) Self() Self { return n.self }

// Map returns the newest map that the node knows.
func (n *Node) Map() *cluster.Map { return n.maps.Map() }

// isMember reports whether a node belongs to the cluster now.
func (n *Node) isMember(node cluster.NodeID) bool {
	_, ok := n.maps.Map().Member(node)
	return ok
}

// hello refuses a peer that is no member, and one whose start is not its newest: its disk is an old copy,
// which has forgotten promises. What it notes is durable before the link is used.
func (n *Node) hello(h peer.Hello) error {
	if !n.isMember(h.Node) {
		n.cfg.Logger.Warn("peer refused: it is not a member, or not any more", slog.Uint64("node", uint64(h.Node)))
		return fmt.Errorf("node %d is no member", h.Node)
	}
	start := store.Start{Count: h.Incarnation, Nonce: h.Nonce}
	err := n.starts.Accept(h.Node, start)
	if errors.Is(err, store.ErrOldStart) {
		n.cfg.Logger.Error("peer refused: it was restored from an old copy", slog.Any("error", err))
		err = &peer.RefusedError{Err: err, Kind: kindOldCopy, Build: oldCopy{start, n.starts.Newest(h.Node)}.encode}
	}
	return err
}

func (n *Node) openShards() (err error) {
	n.router = router.New(router.Config{Node: n.self.Node, Incarnation: n.count.Incarnation, Map: n.maps, Logger: n.cfg.Logger,
		AskMap: n.keeper.ask})
	n.host, err = shard.Open(shard.Config{
		Node: n.self.Node, Incarnation: n.count.Incarnation, Generation: n.count.Generation, Map: n.maps,
		Log: n.log, State: n.state, Links: n.links, Table: n.users.table,
		Clock: n.cfg.Clock, Logger: n.cfg.Logger, NewID: n.count.NewID, Rand: n.cfg.Rand,
		Loops: max(1, min(8, runtime.GOMAXPROCS(0)/2)), LogBytesMax: n.cfg.LogBytesMax,
		Space: n.space, ScrubEvery: n.cfg.ScrubEvery, Spikes: n.spikes, Large: n.cfg.Large,
		Events: shard.Events{
			Wanted:   func() keyspace.Classes { return keyspace.Classes(n.hub.Events()) },
			Noted:    func(events []keyspace.Event) { notify(n.hub, events) },
			Followed: n.reads.Wanted, Applied: n.applied, Replaced: n.reads.Reset,
			LeadChanged: n.leadChanged, Reply: n.router.Reply, Report: n.keeper.report, Settled: n.settled, Fatal: n.fatal,
			MetaChanged: func(v *store.View) { n.users.tell(v); n.keeper.tell(v) }},
	})
	if err != nil {
		return err
	}
	n.router.Start(n.host)
	n.survey = &survey{node: n.self.Node, maps: n.maps, host: n.host, mono: n.cfg.Clock.Mono, log: n.cfg.Logger, lead: n.router.Lead}
	n.survey.open(n.links)
	n.keeper.changed = func() {
		n.host.MapChanged()
		n.watch.signal()
		n.certs.signal()
		why := refusal(n.maps.Map(), n.self.Node)
		n.server.SetDrained(why)
		n.runners.setDrained(why != "")
	}
	n.keeper.open(n.links, n.router)
	n.users.open(n.links, n.router)
	n.quiet = newQuiet(n)
	n.server = newServer(n)
	n.host.Start()
	n.reads.Run()
	n.quiet.run()
	n.links.Start()
	n.keeper.run()
	n.users.run()
	n.certs.run(n.router)
	n.watch.up, n.watch.tell = n.links.Up, n.keeper.do
	n.watch.leads = func() bool { return n.router.Lead(cluster.Meta).Node == n.self.Node }
	n.watch.start()
	return nil
}

func (n *Node) leadChanged(shard cluster.ShardID, l shard.Lead) {
	n.router.LeadChanged(shard, l)
	server.LeadChanged(n.server, shard, l)
	if shard == cluster.Meta {
		n.watch.signal()
	}
}

// newServer makes a node's server, before the keeper of the map runs, which tells it
// whether the node is drained.
func newServer(n *Node) *server.Server {
	info := server.NodeInfo{ID: n.self.Node, Cluster: n.self.Cluster, Version: Version, Dir: n.cfg.Dir}
	info.Map, info.Client, info.Rows, info.Runners = n.maps, n.self.Client, n.state.Rows, n.runners.list
	info.Rest, info.Spikes = n.quiet.ask, n.spikes
	s := server.New(server.Config{Table: n.users.table, Router: n.router, Logger: n.cfg.Logger, Rand: n.cfg.Rand,
		Wall: n.cfg.Clock.Wall, Node: info, TLS: n.certs.clients, Public: n.cfg.ListenClients == nil && !isLoopback(n.self.listens()), Debug: n.cfg.Debug, Status: n.status, Doctor: n.telling.examine, Presence: n.presence, RenewCerts: n.certs.now,
		Rights: server.Rights{Users: n.users.holder, NewerUsers: n.users.want, UsersBehind: n.users.behind}, Entropy: n.cfg.Entropy, ClientBytesMax: clientBytes(), Uploads: n.cfg.Uploads,
		Telling: server.Telling{Messages: n.hub, Tracked: n.reads}})
	s.SetDrained(refusal(n.maps.Map(), n.self.Node))
	return s
}

func (n *Node) serve(l net.Listener) {
	n.wg.Go(func() {
		if err := n.server.Serve(arrivals{l, n.quiet.arrived}); err != nil {
			n.cfg.Logger.Error("serve clients", slog.Any("error", err))
		}
	})
}

// fatal ends the node: going on would risk what it has acknowledged. Damage that
// is found while it opens is for Open to deal with.
func (n *Node) fatal(err error) {
	damaged := errors.Is(err, store.ErrDamaged)
	n.mu.Lock()
	if damaged && !n.serves {
		if n.damage == nil {
			n.damage = err
		}
		n.mu.Unlock()
		return
	}
	first := !n.failed
	n.failed = true
	n.mu.Unlock()
	if first {
		err = n.markDamaged(err)
		n.cfg.Logger.Error("the node stops", slog.Any("error", err))
		n.cfg.Failed(err)
	}
}

// opened ends the opening and returns the damage that was found meanwhile.
func (n *Node) opened(ok bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serves = ok && n.damage == nil
	return n.damage
}

// Stop hands leadership over, so that clients of the cluster notice nothing,
// and closes the node.
func (n *Node) Stop(ctx context.Context) error {
	if own := n.runners.running(); own != nil {
		running, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		own.Drain(running)
	}
	n.server.CloseListeners()
	resign, cancel := context.WithTimeout(ctx, resignTimeout)
	defer cancel()
	if err := n.host.Resign(resign); err != nil {
		n.cfg.Logger.Warn("leadership was not handed over", slog.Any("error", err))
	}
	// What clients have sent is still answered, by way of the next leader.
	drain, cancelDrain := context.WithTimeout(ctx, drainTimeout)
	defer cancelDrain()
	n.server.Drain(drain)
	return n.Close()
}

const (
	resignTimeout = 2 * time.Second
	drainTimeout  = 2 * time.Second
	// commandTimeout is how long a command may go on that the node runs.
	commandTimeout = 3 * time.Second
)

// Close closes the node and returns when all its goroutines have ended.
func (n *Node) Close() error {
	n.telling.close() // first: it asks all others
	if own := n.runners.running(); own != nil {
		own.Close() // it needs all others
	}
	if n.router != nil {
		n.router.Close()
	}
	if n.keeper != nil {
		n.keeper.close()
	}
	if n.users != nil {
		n.users.close()
	}
	if n.certs != nil {
		n.certs.close()
	}
	if n.watch != nil {
		n.watch.close()
	}
	if n.server != nil {
		n.server.Stop()
	}
	if n.quiet != nil {
		n.quiet.cancel()
	}
	if n.links != nil {
		n.links.Close()
	}
	if n.space != nil {
		n.space.Close() // or a loop may wait for room for ever
	}
	if n.reads != nil {
		n.reads.Close()
	}
	if n.hub != nil {
		n.hub.Close()
	}
	if n.host != nil {
		n.host.Close() // answers the reads that connections wait for
	}
	if n.quiet != nil {
		n.quiet.close() // it may have waited for room, and uses the stores
	}
	if n.server != nil {
		n.server.Close()
	}
	n.wg.Wait()
	var err error
	if n.log != nil {
		err = n.log.Close()
	}
	if n.state != nil {
		err = errors.Join(err, n.state.Close())
	}
	if n.lock != nil {
		err = errors.Join(err, n.lock.Close())
	}
	return err
}
