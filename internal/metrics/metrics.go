package metrics

import (
	"context"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"tutti/internal/cluster"
	"tutti/internal/histogram"
	"tutti/internal/peer"
	"tutti/internal/server"
	"tutti/internal/shard"
	"tutti/internal/store"
)

// Node is the parts of a node that are asked. All must be open while it is
// scraped.
type Node struct {
	ID      cluster.NodeID
	Cluster string
	Version string // of the program
	Started time.Time
	// Rebuilt counts how often the node's data was damaged and made anew.
	Rebuilt uint64
	Map     *cluster.Holder
	Server  *server.Server
	Host    *shard.Host
	Links   *peer.Links
	Log     *store.Log
	State   *store.State
	Space   *store.Space
	// Certificates tells until when the node's certificates and its authorities are
	// valid, the first of each to end.
	Certificates func() (node, authority time.Time)
	// Safety asks the leaders of all shards; ok is false if there was no time for
	// that.
	Safety func(ctx context.Context) (c Cluster, ok bool)
}

// Cluster is how safe the whole cluster is.
type Cluster struct {
	// NodeLosses is how many more nodes may be lost without anything stopping, -1:
	// something has; ZoneLosses the same for zones, if any are named.
	NodeLosses, ZoneLosses int
	ZonesKnown             bool
	Nodes                  map[string]int // by state, all states
	Underreplicated        int            // shards of which a voter has not confirmed what is committed
	WithoutLeader          int            // shards whose leader does not answer
	Moves                  int            // copies that are not yet what they should be
	Behind                 uint64         // entries that they have still to get
}

const (
	// scrapesMax bounds the scrapes at a time: each asks every event loop.
	scrapesMax = 2
	// loopPatience is how long a scrape waits for all event loops together.
	loopPatience = time.Second
)

// Handler answers scrapes.
func Handler(n Node) http.Handler {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{node: n, descs: described()})
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesMax, ErrorHandling: promhttp.HTTPErrorOnError})
}

// collector asks a node.
type collector struct {
	node  Node
	descs map[string]*prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sink{ch: ch, descs: c.descs}
	c.identity(s)
	c.certificates(s)
	c.safety(s)
	c.commands(s)
	c.shards(s)
	c.led(s)
	c.storage(s)
	c.network(s)
	c.messages(s)
}

// sink takes the samples of one scrape.
type sink struct {
	ch    chan<- prometheus.Metric
	descs map[string]*prometheus.Desc
}

func (s sink) gauge(name string, value float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(s.descs[name], prometheus.GaugeValue, value, labels...)
}

func (s sink) count(name string, value uint64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(s.descs[name], prometheus.CounterValue, float64(value), labels...)
}

func (s sink) durations(name string, h histogram.Snapshot, labels ...string) {
	buckets := make(map[float64]uint64, len(h.AtMost))
	for _, b := range h.AtMost {
		buckets[b.Bound.Seconds()] = b.Count
	}
	s.ch <- prometheus.MustNewConstHistogram(s.descs[name], h.Count, h.Sum.Seconds(), buckets, labels...)
}

// fsyncs passes on a histogram in nanoseconds of 100 buckets as one in seconds,
// whose bounds at least double.
func (s sink) fsyncs(name string, h prometheus.Histogram, labels ...string) {
	var m dto.Metric
	if h == nil || h.Write(&m) != nil {
		return
	}
	buckets, last := make(map[float64]uint64), 0.0
	for _, b := range m.GetHistogram().GetBucket() {
		if bound := b.GetUpperBound() / float64(time.Second); bound > 0 && bound >= 2*last {
			buckets[bound], last = b.GetCumulativeCount(), bound
		}
	}
	s.ch <- prometheus.MustNewConstHistogram(s.descs[name], m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()/float64(time.Second), buckets, labels...)
}

func nodeLabel(id cluster.NodeID) string { return strconv.FormatUint(uint64(id), 10) }

func (c *collector) identity(s sink) {
	n, m := &c.node, c.node.Map.Map()
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, x := range info.Settings {
			if x.Key == "vcs.revision" {
				commit = x.Value
			}
		}
	}
	s.gauge("tutti_build_info", 1, n.Version, runtime.Version(), commit)
	me, _ := m.Member(n.ID)
	s.gauge("tutti_node_info", 1, n.Cluster, nodeLabel(n.ID), me.Zone)
	s.gauge("tutti_start_time_seconds", float64(n.Started.UnixMilli())/1000)
	s.gauge("tutti_cluster_version_gate", float64(m.Version))
}

func (c *collector) certificates(s sink) {
	node, authority := c.node.Certificates()
	s.gauge("tutti_certificate_expiry_timestamp_seconds", float64(node.Unix()), "node")
	s.gauge("tutti_certificate_expiry_timestamp_seconds", float64(authority.Unix()), "authority")
}

// safety tells of the whole cluster; without an answer nothing is told, so that
// an alert sees what is missing and not what was true before.
func (c *collector) safety(s sink) {
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	x, ok := c.node.Safety(ctx)
	if !ok {
		return
	}
	s.gauge("tutti_cluster_tolerates_node_losses", float64(x.NodeLosses))
	if x.ZonesKnown {
		s.gauge("tutti_cluster_tolerates_zone_losses", float64(x.ZoneLosses))
	}
	for state, n := range x.Nodes {
		s.gauge("tutti_cluster_nodes", float64(n), state)
	}
	s.gauge("tutti_raft_groups_underreplicated", float64(x.Underreplicated))
	s.gauge("tutti_shard_moves_in_progress", float64(x.Moves))
	s.gauge("tutti_shard_moves_behind_entries", float64(x.Behind))
	s.gauge("tutti_raft_groups_without_leader", float64(x.WithoutLeader))
}

func (c *collector) commands(s sink) {
	n := c.node.Server.Counts()
	for _, x := range n.Commands {
		s.count("tutti_commands_total", uint64(x.Calls-min(x.Failed, x.Calls)), x.Command, x.Class, "ok")
		s.count("tutti_commands_total", uint64(x.Failed), x.Command, x.Class, "error")
		s.count("tutti_commands_total", uint64(x.Rejected), x.Command, x.Class, "rejected")
	}
	for _, x := range n.Durations {
		s.durations("tutti_command_duration_seconds", x.Took, x.Class)
	}
	unknown := int64(0)
	for _, x := range n.Errors {
		s.count("tutti_command_errors_total", uint64(x.N), x.Code)
		if x.Code == "UNCERTAIN" {
			unknown = x.N
		}
	}
	s.count("tutti_command_outcome_unknown_total", uint64(unknown))
	s.count("tutti_slow_commands_total", uint64(n.Slow))
	s.gauge("tutti_connections", float64(n.Connections), "client", strconv.FormatBool(n.TLS))
	s.count("tutti_connections_accepted_total", uint64(n.Accepted))
	for _, x := range n.Rejected {
		s.count("tutti_connections_rejected_total", uint64(x.N), x.Reason)
	}
	s.count("tutti_tls_handshakes_failed_total", uint64(n.HandshakesFailed))
	s.count("tutti_auth_failures_total", uint64(n.LoginsFailed))
	for _, x := range n.Denied {
		s.count("tutti_acl_denied_total", uint64(x.N), x.Reason)
	}
	s.count("tutti_txn_conflicts_total", uint64(n.Conflicts))
	s.count("tutti_client_bytes_total", uint64(n.BytesIn), "in")
	s.count("tutti_client_bytes_total", uint64(n.BytesOut), "out")
	s.gauge("tutti_client_output_buffer_bytes", float64(n.OutputBytes))
	s.gauge("tutti_clients_paused", float64(n.Blocked))
}

// shards asks the event loops, for a second at most.
func (c *collector) shards(s sink) {
	n := &c.node
	ctx, cancel := context.WithTimeout(context.Background(), loopPatience)
	defer cancel()
	lag := uint64(0)
	roles := map[string]int{"leader": 0, "follower": 0, "learner": 0, "unknown": 0}
	for _, x := range n.Map.Map().Shards {
		if !n.Host.Has(x.ID) {
			continue
		}
		info, err := n.Host.Replica(ctx, x.ID)
		lag = max(lag, info.Lag)
		switch {
		case err != nil:
			roles["unknown"]++
		case info.Leader == n.ID:
			roles["leader"]++
		case info.Rebuilding:
			roles["learner"]++
		default:
			roles["follower"]++
		}
	}
	for role, count := range roles {
		s.gauge("tutti_raft_groups", float64(count), role)
	}
	s.gauge("tutti_raft_apply_lag_entries", float64(lag))
	s.gauge("tutti_shards", float64(len(n.Map.Map().Data())))
	c.raft(s, n.Host.Counts())
}

func (c *collector) raft(s sink, n shard.Counts) {
	s.count("tutti_raft_leader_changes_total", n.Elected, "election")
	s.count("tutti_raft_leader_changes_total", n.HandedOver, "handover")
	s.count("tutti_raft_proposals_total", n.Applied, "applied")
	s.count("tutti_raft_proposals_total", n.Refused, "refused")
	s.count("tutti_raft_proposals_total", n.Lost, "lost")
	s.durations("tutti_raft_commit_duration_seconds", n.Commit)
	s.durations("tutti_command_stage_duration_seconds", n.Stages.Durable, "append")
	s.durations("tutti_command_stage_duration_seconds", n.Stages.Replicate, "replicate")
	s.durations("tutti_command_stage_duration_seconds", n.Stages.Apply, "apply")
	s.durations("tutti_raft_read_index_duration_seconds", n.Rounds)
	c.moves(s)
	s.durations("tutti_raft_cycle_duration_seconds", n.Cycle)
	s.count("tutti_raft_snapshots_total", n.SnapshotsSent, "sent", "ok")
	s.count("tutti_raft_snapshots_total", n.SnapshotsNotSent, "sent", "failed")
	s.count("tutti_raft_snapshots_total", n.SnapshotsReceived, "received", "ok")
	s.count("tutti_raft_snapshots_total", n.SnapshotsNotReceived, "received", "failed")
	s.count("tutti_raft_snapshot_bytes_total", n.BytesSent, "sent")
	s.count("tutti_raft_snapshot_bytes_total", n.BytesReceived, "received")
	s.count("tutti_storage_corruptions_total", n.Unreadable, "unreadable_row")
	s.count("tutti_storage_corruptions_total", c.node.Rebuilt, "rebuilt_data")
}

// moves tells what becomes of copies of shards.
func (c *collector) moves(s sink) {
	m := c.node.Host.Moves()
	s.count("tutti_shard_moves_total", m.Added, "begun")
	s.count("tutti_shard_moves_total", m.Promoted, "vote")
	s.count("tutti_shard_moves_total", m.Demoted, "no_vote")
	s.count("tutti_shard_moves_total", m.Removed, "removed")
	s.gauge("tutti_raft_snapshots_in_progress", float64(m.Sending), "sent")
	s.gauge("tutti_raft_snapshots_in_progress", float64(m.Receiving), "received")
}

func (c *collector) storage(s sink) {
	log, state := c.node.Log.Usage(), c.node.State.Usage()
	s.fsyncs("tutti_storage_fsync_duration_seconds", log.Fsyncs)
	s.fsyncs("tutti_command_stage_duration_seconds", log.Fsyncs, "fsync")
	for _, x := range []struct {
		kind string
		store.Usage
	}{{"log", log}, {"state", state}} {
		s.gauge("tutti_storage_bytes", float64(x.Bytes), x.kind)
		s.gauge("tutti_storage_compaction_debt_bytes", float64(x.Debt), x.kind)
		s.count("tutti_storage_write_stalls_total", x.Stalls, x.kind)
	}
	s.count("tutti_storage_cache_hits_total", state.Hits)
	s.count("tutti_storage_cache_misses_total", state.Misses)
	rows := c.node.State.Rows()
	s.gauge("tutti_storage_rows_bytes", float64(rows.Bytes), "used")
	s.gauge("tutti_storage_rows_bytes", float64(rows.Size), "max")
	s.gauge("tutti_storage_rows", float64(rows.Rows-rows.Absent), "present")
	s.gauge("tutti_storage_rows", float64(rows.Absent), "absent")
	s.count("tutti_storage_rows_hits_total", rows.Hits)
	s.count("tutti_storage_rows_misses_total", rows.Misses)
	if log.In > 0 {
		s.gauge("tutti_storage_write_amplification_ratio", float64(log.Out+state.Out)/float64(log.In))
	}
	if room, ok := c.node.Space.Room(); ok {
		s.gauge("tutti_storage_capacity_bytes", float64(room.Total))
		s.gauge("tutti_storage_available_bytes", float64(room.Left))
	}
	full := 0.0
	if c.node.Space.Full() {
		full = 1
	}
	s.gauge("tutti_storage_full", full)
	if keys, ok := c.node.Server.LedKeys(); ok {
		s.gauge("tutti_keys", float64(keys))
	}
}

// messages tells of what clients publish and hear.
func (c *collector) messages(s sink) {
	counts := server.Messages(c.node.Server)
	for i, kind := range []string{"channel", "pattern", "shard_channel"} {
		s.gauge("tutti_subscriptions", float64(counts.Here[i]), kind)
	}
	s.count("tutti_messages_published_total", uint64(counts.Published))
	s.count("tutti_messages_dropped_total", uint64(counts.LostOnLink), "link")
	s.count("tutti_messages_dropped_total", uint64(counts.LostInInbox), "inbox")
}

func (c *collector) network(s sink) {
	up := 0
	for _, x := range peer.CountLinks(c.node.Links) {
		to, ok := nodeLabel(x.Node), 0.0
		if x.Up {
			ok = 1
			up++
		}
		s.gauge("tutti_peer_up", ok, to)
		if x.RTT > 0 {
			s.gauge("tutti_peer_rtt_seconds", x.RTT.Seconds(), to)
		}
		s.count("tutti_peer_bytes_total", x.Sent, to, "out")
		s.count("tutti_peer_bytes_total", x.Received, to, "in")
		s.count("tutti_peer_messages_dropped_total", x.LostWhileDown, to, "down")
		s.count("tutti_peer_messages_dropped_total", x.LostByFull, to, "full")
		s.count("tutti_peer_reconnects_total", x.Connected, to)
		if x.AheadKnown {
			s.gauge("tutti_clock_offset_seconds", x.Ahead.Seconds(), to)
		}
	}
	s.gauge("tutti_connections", float64(up), "peer", "true")
}
