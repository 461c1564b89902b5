package server

import (
	"fmt"
	"strings"

	"tutti/internal/cluster"
)

// Clients that speak to Redis Sentinel find the node that leads here, from any
// node: every node is a sentinel. The cluster has one master name, and since a
// client that was configured for another one could mean nothing else, any name
// stands for it.

// sentinelName is the name that clients are configured with if nobody chose one.
const sentinelName = "mymaster"

func sentinelHandlers() map[string]handler {
	return map[string]handler{
		"sentinel|ckquorum":                sentinelCkquorum,
		"sentinel|get-master-addr-by-name": sentinelAddr,
		"sentinel|help":                    help,
		"sentinel|master": func(r *request, args [][]byte) {
			r.s.cluster.switches.asked(string(args[2]))
			r.sentinelNode(string(args[2]), r.s.master(), "master")
		},
		"sentinel|masters":   sentinelMasters,
		"sentinel|myid":      func(r *request, _ [][]byte) { r.BulkString(r.s.nodeName(r.s.cfg.Node.ID)) },
		"sentinel|replicas":  func(r *request, _ [][]byte) { r.sentinelOthers(r.s.master().ID, "slave") },
		"sentinel|slaves":    func(r *request, _ [][]byte) { r.sentinelOthers(r.s.master().ID, "slave") },
		"sentinel|sentinels": func(r *request, _ [][]byte) { r.sentinelOthers(r.s.cfg.Node.ID, "sentinel") },
	}
}

// master returns the node that leads the first slots. While nobody is known to
// lead, or who does is silent, it is this node, which waits for a leader on behalf
// of its clients.
func (s *Server) master() cluster.Member {
	t := s.topology()
	id := s.cfg.Node.ID
	if len(t.leaders) > 0 && t.leaders[0] != 0 && !t.presence.Silent[t.leaders[0]] {
		id = t.leaders[0]
	}
	x, ok := t.m.Member(id)
	if !ok {
		x = cluster.Member{ID: s.cfg.Node.ID, Client: s.cfg.Node.Client}
	}
	return x
}

func sentinelCkquorum(r *request, _ [][]byte) {
	t := r.s.topology()
	if len(t.leaders) == 0 || !t.served(0) {
		r.Error("NOQUORUM no leader with a majority is known to this node")
		return
	}
	r.Simple(fmt.Sprintf("OK %d usable Sentinels. A leader with a majority is known.", len(t.m.Members)-len(t.presence.Silent)))
}

func sentinelAddr(r *request, args [][]byte) {
	r.s.cluster.switches.asked(string(args[2]))
	host, port := splitAddr(r.s.master().Client)
	r.BulkStrings([]string{host, port})
}

func sentinelMasters(r *request, _ [][]byte) {
	names := []string{r.s.cfg.Node.Cluster}
	if names[0] != sentinelName {
		names = append(names, sentinelName)
	}
	r.Array(len(names))
	for _, name := range names {
		r.sentinelNode(name, r.s.master(), "master")
	}
}

// sentinelOthers describes all nodes but one.
func (r *request) sentinelOthers(but cluster.NodeID, flags string) {
	t := r.s.topology()
	var others []cluster.Member
	for _, x := range t.m.Members {
		if x.ID != but {
			others = append(others, x)
		}
	}
	r.Array(len(others))
	for _, x := range others {
		f := flags
		if t.presence.Silent[x.ID] || flags == "slave" && x.State == cluster.Draining {
			f = "s_down," + flags // clients leave it out
		}
		r.sentinelNode(x.Client, x, f)
	}
}

// sentinelNode describes a node as Sentinel does: pairs of names and values, of
// which clients read these.
func (r *request) sentinelNode(name string, x cluster.Member, flags string) {
	host, port := splitAddr(x.Client)
	role, link := flags[strings.LastIndexByte(flags, ',')+1:], "ok"
	if role != flags {
		link = "err"
	}
	others := fmt.Sprint(len(r.s.cfg.Node.Map.Map().Members) - 1)
	pairs := [][2]string{{"name", name}, {"ip", host}, {"port", port}, {"runid", r.s.nodeName(x.ID)}, {"flags", flags},
		{"link-pending-commands", "0"}, {"link-refcount", "1"}, {"last-ping-sent", "0"}, {"last-ok-ping-reply", "0"}, {"last-ping-reply", "0"},
		{"down-after-milliseconds", "2000"}, {"role-reported", role}, {"num-slaves", others}, {"num-other-sentinels", others}, {"quorum", "1"},
		{"master-link-status", link}, {"slave-priority", "100"}}
	r.Map(len(pairs))
	for _, p := range pairs {
		r.Pair(p[0], p[1])
	}
}
