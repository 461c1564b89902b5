package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is one metric: the samples of all its labels.
type family struct {
	name   string
	labels []string
	help   string
}

// families lists all metrics of this package. Those of the Go runtime and of the
// process are Prometheus's own.
var families = []family{
	{"tutti_build_info", []string{"version", "go", "commit"}, "Always 1; the labels say what program the node runs."},
	{"tutti_node_info", []string{"cluster", "node", "zone"}, "Always 1; the labels say which node this is."},
	{"tutti_start_time_seconds", nil, "When the node started, in seconds since 1970."},
	{"tutti_cluster_nodes", []string{"state"}, "Members of the cluster: up, silent for more than a second, behind with what is committed, or rebuilding their data."},
	{"tutti_cluster_tolerates_node_losses", nil, "How many more nodes may be lost, whichever they are, without anything stopping; -1: something has."},
	{"tutti_cluster_tolerates_zone_losses", nil, "The same for zones with all their nodes, if members name zones."},
	{"tutti_cluster_version_gate", nil, "The newest version of formats that all members read; nothing newer is written."},

	{"tutti_commands_total", []string{"command", "class", "result"}, "Commands of clients of this node: ok, error, or rejected before they were executed."},
	{"tutti_command_duration_seconds", []string{"class"}, "From having read a command to having its reply, replication included. Commands that went together each took the time of all."},
	{"tutti_command_stage_duration_seconds", []string{"stage"}, "Where the time of batches of writes goes at their leader. append: from the proposal to being durable in its own log, of which fsync is one fsync; replicate: from the proposal to a majority having it; apply: from there to being visible."},
	{"tutti_command_errors_total", []string{"code"}, "Error replies by their first word."},
	{"tutti_command_outcome_unknown_total", nil, "Commands answered with UNCERTAIN: the client can't know whether they were applied."},
	{"tutti_slow_commands_total", nil, "Commands that took longer than slowlog-log-slower-than."},

	{"tutti_connections", []string{"kind", "tls"}, "Connections of clients, and of this node to its peers, and whether they speak TLS."},
	{"tutti_connections_accepted_total", nil, "Clients that were let in."},
	{"tutti_connections_rejected_total", []string{"reason"}, "Clients that were not let in."},
	{"tutti_tls_handshakes_failed_total", nil, "Clients whose TLS handshake failed: most speak no TLS, or do not trust the authority."},
	{"tutti_join_tokens_active", nil, "Tokens with which a machine could join now, told by who leads meta."},
	{"tutti_auth_failures_total", nil, "Logins that failed."},
	{"tutti_acl_denied_total", []string{"reason"}, "What the rights of a user forbade: a command, or a key."},
	{"tutti_certificate_expiry_timestamp_seconds", []string{"kind"}, "Until when the node's certificates and its authorities are valid, the first of each to end, in seconds since 1970."},
	{"tutti_txn_conflicts_total", nil, "EXEC that did nothing since a watched key had changed."},

	{"tutti_client_bytes_total", []string{"direction"}, "Bytes of RESP from and to clients."},
	{"tutti_subscriptions", []string{"kind"}, "Names that clients of this node have subscribed to: channels, patterns, shard channels."},
	{"tutti_messages_published_total", nil, "Messages that clients of this node have published."},
	{"tutti_messages_dropped_total", []string{"reason"}, "Messages that were lost: a node that wants them could not be reached or took less than was to be sent (link), too many had come from other nodes (inbox)."},
	{"tutti_client_output_buffer_bytes", nil, "Pushed messages that wait to be sent to clients."},
	{"tutti_clients_paused", nil, "Clients that CLIENT PAUSE holds."},

	{"tutti_raft_groups", []string{"role"}, "Shards of which this node has a replica, by what it is: leader, follower, learner, or unknown if its event loop did not answer in time."},
	{"tutti_raft_groups_without_leader", nil, "Shards of the cluster whose leader does not answer this node."},
	{"tutti_raft_groups_underreplicated", nil, "Shards of the cluster of which a voter has not confirmed within a second what is committed."},
	{"tutti_raft_leader_changes_total", []string{"reason"}, "Leaderships that began on this node, after an election or handed over by the leader before."},
	{"tutti_raft_proposals_total", []string{"result"}, "Batches that this node proposed: applied, refused by raft (and tried again), or lost with the leadership."},
	{"tutti_raft_commit_duration_seconds", nil, "From the proposal of a batch to its being applied at its leader."},
	{"tutti_raft_cycle_duration_seconds", nil, "One turn of an event loop: everything that waited. Near an election time-out it costs a leadership."},
	{"tutti_raft_apply_lag_entries", nil, "Entries that are committed and not yet applied here, of the shard that has most of them."},
	{"tutti_raft_read_index_duration_seconds", nil, "Rounds that confirm, for all reads that wait, that they will see whatever was acknowledged. At a follower with the way to its leader."},
	{"tutti_raft_snapshots_in_progress", []string{"direction"}, "Copies of whole shards that are on their way; tutti_raft_snapshot_bytes_total grows with them."},
	{"tutti_raft_snapshots_total", []string{"direction", "result"}, "Copies of whole shards, sent and received."},
	{"tutti_raft_snapshot_bytes_total", []string{"direction"}, "Rows of such copies, in bytes."},
	{"tutti_shard_moves_in_progress", nil, "Copies of shards of the whole cluster that are not yet where, or what, they should be."},
	{"tutti_shard_moves_behind_entries", nil, "Entries that those copies have still to get."},
	{"tutti_shard_moves_total", []string{"result"}, "Copies of shards that this node led: begun, that got their vote or gave it up, that were removed."},
	{"tutti_shards", nil, "Shards of the cluster that own slots."},

	{"tutti_tasks", []string{"queue", "state"}, "Tasks of the queues whose shards this node leads, by where they stand; of those that ended, the records that are kept. 200 queues are told apart, all others are \"other\"; the same for all that follows."},
	{"tutti_tasks_added_total", []string{"queue"}, "Tasks that were added, as long as the queue has existed."},
	{"tutti_tasks_finished_total", []string{"queue", "outcome"}, "Tasks that ended: done, dead, or cancelled."},
	{"tutti_task_attempts_total", []string{"queue", "outcome"}, "Claims that ended: done, failed, or lost with their worker."},
	{"tutti_task_leases_expired_total", []string{"queue"}, "Claims that were taken back since their worker was silent for its lease."},
	{"tutti_task_fenced_total", []string{"queue"}, "Finishes that were refused: the task had ended, or was somebody else's."},
	{"tutti_task_wait_seconds", []string{"queue"}, "How long tasks that were claimed had been ready, as far as the leader has seen it."},
	{"tutti_task_run_seconds", []string{"queue"}, "How long attempts took, from the claim to their end."},
	{"tutti_task_oldest_waiting_seconds", []string{"queue"}, "For how long the task has been ready that has been so for longest; after a change of leader since then at least. 0: none is."},
	{"tutti_workers", []string{"queue", "state"}, "Claims that wait for a task of the queue."},

	{"tutti_storage_fsync_duration_seconds", nil, "How long fsyncs of the raft log took."},
	{"tutti_storage_bytes", []string{"kind"}, "What the raft log and the state take on the disk."},
	{"tutti_storage_capacity_bytes", nil, "Size of the disk of the node's folder."},
	{"tutti_storage_available_bytes", nil, "What the node takes for left on its disk: less than the file system tells once it has refused a write."},
	{"tutti_storage_full", nil, "1 while the node refuses writes for want of room."},
	{"tutti_storage_write_stalls_total", []string{"kind"}, "How often writes had to wait for flushes or compactions."},
	{"tutti_storage_write_amplification_ratio", nil, "Bytes that both stores have written, for each byte of raft log."},
	{"tutti_storage_compaction_debt_bytes", []string{"kind"}, "What is still to be compacted, estimated."},
	{"tutti_storage_cache_hits_total", nil, "Blocks of the state that were found in memory."},
	{"tutti_storage_cache_misses_total", nil, "Blocks of the state that were read from the disk."},
	{"tutti_storage_rows_bytes", []string{"kind"}, "Memory for the newest values of small rows: what they take of it, and how much there is."},
	{"tutti_storage_rows", []string{"kind"}, "Rows in that memory, and keys or elements that are known there not to exist."},
	{"tutti_storage_rows_hits_total", nil, "Rows that were looked up and were in memory."},
	{"tutti_storage_rows_misses_total", nil, "Rows that were looked up and were read from the state."},
	{"tutti_storage_corruptions_total", []string{"kind"}, "Damage that was found here: data that was set aside and made anew (since the node was formed), commands that met a row which can't be read (since it started)."},
	{"tutti_keys", nil, "Keys of the shards that this node leads, so the sum over the nodes is the cluster's."},

	{"tutti_peer_up", []string{"peer"}, "1 if this node's connections to the peer stand. The peer tells of the other direction."},
	{"tutti_peer_rtt_seconds", []string{"peer"}, "From the last question for the peer's clock to its answer; asked every second."},
	{"tutti_peer_bytes_total", []string{"peer", "direction"}, "Frames to and from the peer in bytes; copies of whole shards are not among them."},
	{"tutti_peer_messages_dropped_total", []string{"peer", "reason"}, "Frames that were not sent: the peer was down, or took less than was to be sent."},
	{"tutti_peer_reconnects_total", []string{"peer"}, "Connections that this node has made to the peer: two when a link comes up."},
	{"tutti_clock_offset_seconds", []string{"peer"}, "How far the peer's wall clock is ahead of this node's. Nothing correct depends on it."},
}

// described is the families as Prometheus knows them, by name.
func described() map[string]*prometheus.Desc {
	all := make(map[string]*prometheus.Desc, len(families))
	for _, f := range families {
		all[f.name] = prometheus.NewDesc(f.name, f.help, f.labels, nil)
	}
	return all
}

// Names returns the names of all metrics, with their labels: alerts, dashboards
// and documents are checked against them.
func Names() map[string][]string {
	all := make(map[string][]string, len(families))
	for _, f := range families {
		all[f.name] = f.labels
	}
	return all
}
