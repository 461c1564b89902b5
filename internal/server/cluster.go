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

// clusterReplies keeps the replies about slots as long as the map, the leaders
// and who is silent stay as they are: clients of big clusters ask for them all at
// once.
type clusterReplies struct {
	switches switches

	mu      sync.Mutex // guards all below
	of      string     // the topology that the replies were made from
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
		all[name] = clusterClient
	}
	return all
}

// clusterClient is READONLY and its kin. They change nothing, since every node
// reads and writes. But a Redis that is no cluster refuses them, so who sends one
// is a client of clusters, and is shown one by INFO from then on.
func clusterClient(r *request, _ [][]byte) {
	r.c.session.asCluster = true
	r.OK()
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

// cached answers with what write appends, made anew after a change.
func (r *request) cached(name string, write func(r *request, t topology)) {
	k := &r.s.cluster
	t := r.s.topology() // which may take a moment
	now, key := t.String(), fmt.Sprint(name, r.Proto)
	k.mu.Lock()
	defer k.mu.Unlock()
	if now != k.of {
		k.of, k.replies = now, make(map[string][]byte)
	}
	reply, ok := k.replies[key]
	if !ok {
		at := len(r.Out)
		write(r, t)
		k.replies[key] = slices.Clone(r.Out[at:])
		return
	}
	r.Out = append(r.Out, reply...)
}

// slots lists of each shard the replicas that answer: a client takes the first
// for the one that decides, and reads from any.
func (r *request) slots(t topology) {
	r.Array(len(t.leaders))
	for i, s := range t.data {
		list := t.present(i)
		r.Array(2 + len(list))
		r.Int(int64(s.Slots.First))
		r.Int(int64(s.Slots.End - 1))
		for _, p := range list {
			host, port := splitAddr(p.addr)
			r.Array(4)
			r.BulkString(host)
			r.Int(portNumber(port))
			r.BulkString(r.s.nodeName(p.node))
			r.Array(0)
		}
	}
}

func portNumber(port string) int64 {
	n, _ := resp.ParseInt([]byte(port))
	return n
}

func (r *request) shards(t topology) {
	r.Array(len(t.leaders))
	for i, s := range t.data {
		r.Map(2)
		r.BulkString("slots")
		r.Array(2)
		r.Int(int64(s.Slots.First))
		r.Int(int64(s.Slots.End - 1))
		r.BulkString("nodes")
		list := t.replicas(i)
		r.Array(len(list))
		for _, p := range list {
			r.shardNode(p)
		}
	}
}

func (r *request) shardNode(p replica) {
	host, port := splitAddr(p.addr)
	role := "replica"
	if p.leads {
		role = "master"
	}
	r.Map(7)
	r.BulkString("id")
	r.BulkString(r.s.nodeName(p.node))
	r.BulkString("port")
	r.Int(portNumber(port))
	for _, pair := range [][2]string{{"ip", host}, {"endpoint", host}, {"role", role}} {
		r.Pair(pair[0], pair[1])
	}
	r.BulkString("replication-offset")
	r.Int(int64(p.offset))
	r.BulkString("health")
	r.BulkString(p.health)
}

// nodes writes the lines of CLUSTER NODES. A node that leads nothing is shown as
// the replica of the leader of the first shard that it has a copy of, one without
// copies as a master without slots.
func (r *request) nodes(t topology) {
	var text strings.Builder
	for _, m := range t.m.Members {
		host, port := splitAddr(m.Client)
		flags, master, link := "master", "-", "connected"
		if !slices.Contains(t.leaders, m.ID) {
			for i, s := range t.data {
				if _, has := s.On(m.ID); has && t.leaders[i] != 0 {
					flags, master = "slave", r.s.nodeName(t.leaders[i])
					break
				}
			}
		}
		if m.ID == r.s.cfg.Node.ID {
			flags = "myself," + flags
		}
		if t.presence.Silent[m.ID] {
			flags, link = flags+",fail", "disconnected"
		}
		fmt.Fprintf(&text, "%s %s:%s@0 %s %s 0 0 %d %s", r.s.nodeName(m.ID), host, port, flags, master, m.ID, link)
		for i, s := range t.data {
			if t.leaders[i] == m.ID {
				fmt.Fprintf(&text, " %d-%d", s.Slots.First, s.Slots.End-1)
			}
		}
		text.WriteByte('\n')
	}
	r.Verbatim(text.String())
}

func clusterInfo(r *request, _ [][]byte) {
	t := r.s.topology()
	state, covered := "ok", 0
	masters := make(map[cluster.NodeID]bool)
	for i, s := range t.data {
		if !t.served(i) {
			state = "fail"
			continue
		}
		covered += s.Slots.End - s.Slots.First
		masters[t.leaders[i]] = true
	}
	w := &infoWriter{}
	w.field("cluster_state", state)
	w.field("cluster_slots_assigned", keyspace.Slots)
	w.field("cluster_slots_ok", covered)
	w.field("cluster_slots_pfail", 0)
	w.field("cluster_slots_fail", keyspace.Slots-covered)
	w.field("cluster_known_nodes", len(t.m.Members))
	w.field("cluster_size", len(masters))
	w.field("cluster_current_epoch", t.m.Epoch)
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
	return r.view(uint16(slot), func(tx eval.Reads) {
		begin()
		for cursor, more := uint64(0), true; more; more = more && cursor != 0 {
			cursor = tx.ScanKeys(r.c.session.db, slot, slot+1, cursor, scanBatch, func(key []byte, _ keyspace.Type) {
				more = more && f(key)
			})
		}
	})
}

const scanBatch = 1000
