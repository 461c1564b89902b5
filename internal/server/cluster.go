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
		"cluster|keyslot":         func(c *conn, args [][]byte) { c.int(int64(keyspace.Slot(args[2]))) },
		"cluster|myid":            func(c *conn, _ [][]byte) { c.bulk(c.s.nodeName(c.s.cfg.Node.ID)) },
		"cluster|myshardid":       func(c *conn, _ [][]byte) { c.bulk(c.s.nodeName(c.s.cfg.Node.ID)) },
		"cluster|links":           func(c *conn, _ [][]byte) { c.array(0) },
		"cluster|slots":           func(c *conn, _ [][]byte) { c.cached("slots", (*conn).slots) },
		"cluster|shards":          func(c *conn, _ [][]byte) { c.cached("shards", (*conn).shards) },
		"cluster|nodes":           func(c *conn, _ [][]byte) { c.cached("nodes", (*conn).nodes) },
		"cluster|countkeysinslot": clusterCountkeysinslot,
		"cluster|getkeysinslot":   clusterGetkeysinslot,
		"cluster|help":            help,
	}
	for _, name := range []string{"addslots", "addslotsrange", "bumpepoch", "delslots", "delslotsrange", "failover", "flushslots",
		"forget", "meet", "replicate", "reset", "saveconfig", "set-config-epoch", "setslot"} {
		all["cluster|"+name] = func(c *conn, _ [][]byte) { c.error(errTopology) }
	}
	for _, name := range []string{"readonly", "readwrite", "asking"} {
		all[name] = func(c *conn, _ [][]byte) { c.ok() }
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
func (c *conn) cached(name string, write func(c *conn)) {
	k := &c.s.cluster
	leaders := c.s.leaders()
	key := fmt.Sprint(name, c.proto)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(leaders, k.leaders) {
		k.leaders, k.replies = leaders, make(map[string][]byte)
	}
	reply, ok := k.replies[key]
	if !ok {
		at := len(c.out)
		write(c)
		k.replies[key] = slices.Clone(c.out[at:])
		return
	}
	c.out = append(c.out, reply...)
}

// ranked lists the nodes, the leader first.
func (s *Server) ranked(leader cluster.NodeID) []Peer {
	peers := slices.Clone(s.cfg.Node.Peers)
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

func (c *conn) slots() {
	shards := c.s.cfg.Router.Shards()
	c.array(len(shards))
	for i, leader := range c.s.leaders() {
		peers := c.s.ranked(leader)
		c.array(2 + len(peers))
		c.int(int64(shards[i].Slots.First))
		c.int(int64(shards[i].Slots.End - 1))
		for _, p := range peers {
			host, port := splitAddr(p.Addr)
			c.array(4)
			c.bulk(host)
			c.out = resp.AppendInt(c.out, portNumber(port))
			c.bulk(c.s.nodeName(p.ID))
			c.array(0)
		}
	}
}

func portNumber(port string) int64 {
	n, _ := parseInt([]byte(port))
	return n
}

func (c *conn) shards() {
	shards := c.s.cfg.Router.Shards()
	c.array(len(shards))
	for i, leader := range c.s.leaders() {
		c.pairs(2)
		c.bulk("slots")
		c.array(2)
		c.int(int64(shards[i].Slots.First))
		c.int(int64(shards[i].Slots.End - 1))
		c.bulk("nodes")
		peers := c.s.ranked(leader)
		c.array(len(peers))
		for _, p := range peers {
			c.shardNode(p, p.ID == leader)
		}
	}
}

func (c *conn) shardNode(p Peer, leads bool) {
	host, port := splitAddr(p.Addr)
	role := "replica"
	if leads {
		role = "master"
	}
	c.pairs(7)
	c.bulk("id")
	c.bulk(c.s.nodeName(p.ID))
	c.bulk("port")
	c.int(portNumber(port))
	for _, pair := range [][2]string{{"ip", host}, {"endpoint", host}, {"role", role}} {
		c.bulk(pair[0])
		c.bulk(pair[1])
	}
	c.bulk("replication-offset")
	c.int(0)
	c.bulk("health")
	c.bulk("online")
}

// nodes writes the lines of CLUSTER NODES. A node that leads nothing is shown
// as the replica of the first shard's leader.
func (c *conn) nodes() {
	shards, leaders := c.s.cfg.Router.Shards(), c.s.leaders()
	first := c.s.cfg.Node.ID
	if i := slices.IndexFunc(leaders, func(l cluster.NodeID) bool { return l != 0 }); i >= 0 {
		first = leaders[i]
	}
	var text strings.Builder
	for _, p := range c.s.cfg.Node.Peers {
		host, port := splitAddr(p.Addr)
		flags, master := "master", "-"
		if !slices.Contains(leaders, p.ID) && p.ID != first {
			flags, master = "slave", c.s.nodeName(first)
		}
		if p.ID == c.s.cfg.Node.ID {
			flags = "myself," + flags
		}
		fmt.Fprintf(&text, "%s %s:%s@0 %s %s 0 0 %d connected", c.s.nodeName(p.ID), host, port, flags, master, p.ID)
		for i, leader := range leaders {
			if leader == p.ID {
				fmt.Fprintf(&text, " %d-%d", shards[i].Slots.First, shards[i].Slots.End-1)
			}
		}
		text.WriteByte('\n')
	}
	c.verbatim(text.String())
}

func clusterInfo(c *conn, _ [][]byte) {
	leaders := c.s.leaders()
	state, covered := "ok", 0
	for i, sh := range c.s.cfg.Router.Shards() {
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
	w.field("cluster_known_nodes", len(c.s.cfg.Node.Peers))
	w.field("cluster_size", masters)
	w.field("cluster_current_epoch", len(c.s.cfg.Node.Peers))
	w.field("cluster_my_epoch", c.s.cfg.Node.ID)
	w.field("cluster_stats_messages_sent", 0)
	w.field("cluster_stats_messages_received", 0)
	w.field("total_cluster_links_buffer_limit_exceeded", 0)
	c.verbatim(w.text.String())
}

// slot parses a slot or answers the error.
func (c *conn) slot(arg []byte) (slot int, ok bool) {
	n, valid := parseInt(arg)
	if !valid || n < 0 || n >= keyspace.Slots {
		c.error("ERR Invalid or out of range slot")
		return 0, false
	}
	return int(n), true
}

func clusterCountkeysinslot(c *conn, args [][]byte) {
	slot, ok := c.slot(args[2])
	if !ok {
		return
	}
	n := 0
	if c.eachKey(slot, func([]byte) bool { n++; return true }, func() { n = 0 }) {
		c.int(int64(n))
	}
}

func clusterGetkeysinslot(c *conn, args [][]byte) {
	slot, ok := c.slot(args[2])
	if !ok {
		return
	}
	limit, valid := parseInt(args[3])
	if !valid || limit < 0 {
		c.error("ERR Invalid slot or number of keys")
		return
	}
	var keys []string
	ok = c.eachKey(slot, func(key []byte) bool {
		if int64(len(keys)) >= limit {
			return false
		}
		keys = append(keys, string(key))
		return true
	}, func() { keys = nil })
	if ok {
		c.bulks(keys)
	}
}

// eachKey calls f with the keys of a slot in this connection's database, after
// begin, which it calls again if it has to begin again. It answers the error if
// they can't be read.
func (c *conn) eachKey(slot int, f func(key []byte) bool, begin func()) (ok bool) {
	ok = true
	c.read(c.s.cfg.Router.Shard(uint16(slot)), 0, 0, func(tx *eval.Reads) {
		begin()
		for cursor, more := uint64(0), true; more; more = more && cursor != 0 {
			cursor = tx.ScanKeys(c.db, slot, slot+1, cursor, scanBatch, func(key []byte, _ keyspace.Type) {
				more = more && f(key)
			})
		}
	}, func(text string) {
		c.error(text)
		ok = false
	})
	return ok
}

const scanBatch = 1000
