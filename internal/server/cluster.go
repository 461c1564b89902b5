package server

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"tutti/internal/cluster"
	"tutti/internal/eval"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Cluster-aware clients are told of every shard's leader as the master of its
// slots and of the other nodes as its replicas, so that they send commands
// where they are decided. They need not: any node takes any command, nobody is
// ever redirected.

const errTopology = "ERR CLUSTER subcommands that change nodes or slots are not supported: tutti places shards by itself. Nothing was changed."

// clusterReplies keeps the replies about slots until a leader changes: clients
// of big clusters ask for them all at once.
type clusterReplies struct {
	mu      sync.Mutex       // guards all below
	leaders []cluster.NodeID // of the shards in order, when the replies were made
	replies map[string][]byte
}

func clusterHandlers() map[string]handler {
	all := map[string]handler{
		"cluster|info":            clusterInfo,
		"cluster|keyslot":         func(r *request, args [][]byte) { r.Int(int64(keyspace.Slot(args[2]))) },
		"cluster|myid":            func(r *request, _ [][]byte) { r.BulkString(r.s.nodeName(r.s.cfg.Node.ID)) },
		"cluster|myshardid":       func(r *request, _ [][]byte) { r.BulkString(r.s.nodeName(r.s.cfg.Node.ID)) },
		"cluster|links":           func(r *request, _ [][]byte) { r.Array(0) },
		"cluster|slots":           func(r *request, _ [][]byte) { r.cached("slots", (*request).slots) },
		"cluster|shards":          func(r *request, _ [][]byte) { r.cached("shards", (*request).shards) },
		"cluster|nodes":           func(r *request, _ [][]byte) { r.cached("nodes", (*request).nodes) },
		"cluster|countkeysinslot": clusterCountkeysinslot,
		"cluster|getkeysinslot":   clusterGetkeysinslot,
		"cluster|help":            help,
	}
	for _, name := range []string{"addslots", "addslotsrange", "bumpepoch", "delslots", "delslotsrange", "failover", "flushslots",
		"forget", "meet", "replicate", "reset", "saveconfig", "set-config-epoch", "setslot"} {
		all["cluster|"+name] = func(r *request, _ [][]byte) { r.Error(errTopology) }
	}
	for _, name := range []string{"readonly", "readwrite", "asking"} {
		all[name] = func(r *request, _ [][]byte) { r.OK() }
	}
	return all
}

// nodeName is what CLUSTER commands call a node: 40 hexadecimal digits. 0
// stands for the cluster itself.
func (s *Server) nodeName(id cluster.NodeID) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.cfg.Node.Cluster), uint64(id)))
	return hex.EncodeToString(sum[:20])
}

func splitAddr(addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, "0"
	}
	return host, port
}

func (s *Server) leaders() []cluster.NodeID {
	var leaders []cluster.NodeID
	for _, sh := range s.cfg.Router.Shards() {
		leaders = append(leaders, s.cfg.Router.Lead(sh.ID).Node)
	}
	return leaders
}

// cached answers with what write appends, made anew after a change of leaders.
func (r *request) cached(name string, write func(r *request)) {
	k := &r.s.cluster
	leaders := r.s.leaders()
	key := fmt.Sprint(name, r.Proto)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(leaders, k.leaders) {
		k.leaders, k.replies = leaders, make(map[string][]byte)
	}
	reply, ok := k.replies[key]
	if !ok {
		at := len(r.Out)
		write(r)
		k.replies[key] = slices.Clone(r.Out[at:])
		return
	}
	r.Out = append(r.Out, reply...)
}

// ranked lists the nodes, the leader first.
func (s *Server) ranked(leader cluster.NodeID) []Peer {
	peers := slices.Clone(s.cfg.Node.peers())
	slices.SortStableFunc(peers, func(a, b Peer) int {
		switch {
		case a.ID == leader:
			return -1
		case b.ID == leader:
			return 1
		}
		return 0
	})
	return peers
}

func (r *request) slots() {
	shards := r.s.cfg.Router.Shards()
	r.Array(len(shards))
	for i, leader := range r.s.leaders() {
		peers := r.s.ranked(leader)
		r.Array(2 + len(peers))
		r.Int(int64(shards[i].Slots.First))
		r.Int(int64(shards[i].Slots.End - 1))
		for _, p := range peers {
			host, port := splitAddr(p.Addr)
			r.Array(4)
			r.BulkString(host)
			r.Int(portNumber(port))
			r.BulkString(r.s.nodeName(p.ID))
			r.Array(0)
		}
	}
}

func portNumber(port string) int64 {
	n, _ := resp.ParseInt([]byte(port))
	return n
}

func (r *request) shards() {
	shards := r.s.cfg.Router.Shards()
	r.Array(len(shards))
	for i, leader := range r.s.leaders() {
		r.Map(2)
		r.BulkString("slots")
		r.Array(2)
		r.Int(int64(shards[i].Slots.First))
		r.Int(int64(shards[i].Slots.End - 1))
		r.BulkString("nodes")
		peers := r.s.ranked(leader)
		r.Array(len(peers))
		for _, p := range peers {
			r.shardNode(p, p.ID == leader)
		}
	}
}

func (r *request) shardNode(p Peer, leads bool) {
	host, port := splitAddr(p.Addr)
	role := "replica"
	if leads {
		role = "master"
	}
	r.Map(7)
	r.BulkString("id")
	r.BulkString(r.s.nodeName(p.ID))
	r.BulkString("port")
	r.Int(portNumber(port))
	for _, pair := range [][2]string{{"ip", host}, {"endpoint", host}, {"role", role}} {
		r.Pair(pair[0], pair[1])
	}
	r.BulkString("replication-offset")
	r.Int(0)
	r.BulkString("health")
	r.BulkString("online")
}

// nodes writes the lines of CLUSTER NODES. A node that leads nothing is shown
// as the replica of the first shard's leader.
func (r *request) nodes() {
	shards, leaders := r.s.cfg.Router.Shards(), r.s.leaders()
	first := r.s.cfg.Node.ID
	if i := slices.IndexFunc(leaders, func(l cluster.NodeID) bool { return l != 0 }); i >= 0 {
		first = leaders[i]
	}
	var text strings.Builder
	for _, p := range r.s.cfg.Node.peers() {
		host, port := splitAddr(p.Addr)
		flags, master := "master", "-"
		if !slices.Contains(leaders, p.ID) && p.ID != first {
			flags, master = "slave", r.s.nodeName(first)
		}
		if p.ID == r.s.cfg.Node.ID {
			flags = "myself," + flags
		}
		fmt.Fprintf(&text, "%s %s:%s@0 %s %s 0 0 %d connected", r.s.nodeName(p.ID), host, port, flags, master, p.ID)
		for i, leader := range leaders {
			if leader == p.ID {
				fmt.Fprintf(&text, " %d-%d", shards[i].Slots.First, shards[i].Slots.End-1)
			}
		}
		text.WriteByte('\n')
	}
	r.Verbatim(text.String())
}

func clusterInfo(r *request, _ [][]byte) {
	leaders := r.s.leaders()
	state, covered := "ok", 0
	for i, sh := range r.s.cfg.Router.Shards() {
		if leaders[i] == 0 {
			state = "fail"
		} else {
			covered += sh.Slots.End - sh.Slots.First
		}
	}
	masters := len(slices.Compact(slices.Sorted(slices.Values(leaders))))
	w := &infoWriter{}
	w.field("cluster_state", state)
	w.field("cluster_slots_assigned", keyspace.Slots)
	w.field("cluster_slots_ok", covered)
	w.field("cluster_slots_pfail", 0)
	w.field("cluster_slots_fail", keyspace.Slots-covered)
	w.field("cluster_known_nodes", len(r.s.cfg.Node.peers()))
	w.field("cluster_size", masters)
	w.field("cluster_current_epoch", len(r.s.cfg.Node.peers()))
	w.field("cluster_my_epoch", r.s.cfg.Node.ID)
	w.field("cluster_stats_messages_sent", 0)
	w.field("cluster_stats_messages_received", 0)
	w.field("total_cluster_links_buffer_limit_exceeded", 0)
	r.Verbatim(w.text.String())
}

// slot parses a slot or answers the error.
func (r *request) slot(arg []byte) (slot int, ok bool) {
	n, valid := resp.ParseInt(arg)
	if !valid || n < 0 || n >= keyspace.Slots {
		r.Error("ERR Invalid or out of range slot")
		return 0, false
	}
	return int(n), true
}

func clusterCountkeysinslot(r *request, args [][]byte) {
	slot, ok := r.slot(args[2])
	if !ok {
		return
	}
	n := 0
	if r.eachKey(slot, func([]byte) bool { n++; return true }, func() { n = 0 }) {
		r.Int(int64(n))
	}
}

func clusterGetkeysinslot(r *request, args [][]byte) {
	slot, ok := r.slot(args[2])
	if !ok {
		return
	}
	limit, valid := resp.ParseInt(args[3])
	if !valid || limit < 0 {
		r.Error("ERR Invalid slot or number of keys")
		return
	}
	var keys []string
	ok = r.eachKey(slot, func(key []byte) bool {
		if int64(len(keys)) >= limit {
			return false
		}
		keys = append(keys, string(key))
		return true
	}, func() { keys = nil })
	if ok {
		r.BulkStrings(keys)
	}
}

// eachKey calls f with the keys of a slot in this connection's database, after
// begin, which it calls again if it has to begin again. It answers the error if
// they can't be read.
func (r *request) eachKey(slot int, f func(key []byte) bool, begin func()) (ok bool) {
	_, ok = r.view(uint16(slot), func(tx eval.Reads) {
		begin()
		for cursor, more := uint64(0), true; more; more = more && cursor != 0 {
			cursor = tx.ScanKeys(r.c.session.db, slot, slot+1, cursor, scanBatch, func(key []byte, _ keyspace.Type) {
				more = more && f(key)
			})
		}
	})
	return ok
}

const scanBatch = 1000
