package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"tutti/internal/metrics"
	"tutti/internal/trust"
	"tutti/internal/web"
)

// telling is what a node tells those who watch it.
type telling struct {
	n      *Node
	server *web.Server // nil: nobody is told
}

// open begins to answer HTTP if the configuration says where. On the loopback
// it is plain; elsewhere it is TLS with the node's own certificate, so that nobody
// on the way reads or changes what is told of the node.
func (w *telling) open() error {
	n := w.n
	if n.cfg.HTTP.Listen == "" {
		return nil
	}
	l, err := n.cfg.HTTP.Open(n.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("listen for http: %w", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		l = tls.NewListener(l, trust.WebConfig(n.certs.Holder))
	}
	w.server = web.Serve(l, web.Config{Logger: n.cfg.Logger, Metrics: w.metrics(), Ready: w.ready, Cluster: w.health})
	return nil
}

func (w *telling) close() {
	if w.server != nil {
		w.server.Close()
	}
}

func (w *telling) metrics() http.Handler {
	n := w.n
	return metrics.Handler(metrics.Node{ID: n.self.Node, Cluster: n.self.Cluster, Version: Version, Started: time.Now(), Rebuilt: n.count.Generation,
		Map: n.maps, Server: n.server, Host: n.host, Links: n.links, Log: n.log, State: n.state, Space: n.space, Safety: w.safety, Certificates: w.certificates})
}

// certificates tells until when those that the node has now are valid.
func (w *telling) certificates() (node, authority time.Time) {
	id := w.n.certs.Holder.Identity()
	return id.Expires(), id.AuthorityExpires()
}

// ready reports whether clients should be sent here: the node is not about to
// stop, and reaches the leaders of all shards.
func (w *telling) ready(context.Context) (ok bool, why string) {
	n := w.n
	if n.server.Draining() {
		return false, "the node is stopping"
	}
	if n.server.Drained() {
		return false, "the node is drained"
	}
	for _, s := range n.maps.Map().Data() {
		switch lead := n.router.Lead(s.ID).Node; {
		case lead == 0:
			return false, fmt.Sprintf("no leader of shard %d is known", s.ID)
		case lead != n.self.Node && !n.links.Up(lead):
			return false, fmt.Sprintf("the leader of shard %d, node %d, is not reached", s.ID, lead)
		}
	}
	return true, ""
}

// safetyMaxAge is how old the answers of the leaders may be that those who watch
// are told: many watchers cause one round of questions.
const safetyMaxAge = time.Second

// health describes the whole cluster as this node sees it.
func (w *telling) health(ctx context.Context) (web.Cluster, error) {
	v, err := w.n.Verdict(ctx, safetyMaxAge)
	if err != nil {
		return web.Cluster{}, err
	}
	return web.Cluster{Serves: v.Safety != Unavailable, Safety: string(v.Safety), ToleratesNodeLosses: v.NodeLosses, Verdict: v.Text}, nil
}

// safety is health for metrics.
func (w *telling) safety(ctx context.Context) (c metrics.Cluster, ok bool) {
	f := w.n.survey.get(ctx, safetyMaxAge)
	if f == nil {
		return c, false
	}
	e := w.n.evidence(f)
	v := e.judge()
	c = metrics.Cluster{NodeLosses: v.NodeLosses, ZoneLosses: v.ZoneLosses, ZonesKnown: e.zones(), Nodes: make(map[string]int)}
	for _, state := range []Presence{Up, Silent, Behind, Rebuilding} {
		c.Nodes[string(state)] = 0
	}
	for _, x := range e.members() {
		c.Nodes[string(x.presence)]++
	}
	for _, m := range v.Moves {
		c.Moves++
		c.Behind += m.Behind
	}
	for _, s := range v.Shards {
		if s.Confirmed < s.Voters {
			c.Underreplicated++
		}
		if s.Leader == 0 {
			c.WithoutLeader++
		}
	}
	return c, true
}
