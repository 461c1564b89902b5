package server

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/pubsub"
	"tutti/internal/rowcache"
)

// section is one part of INFO. Those that are not usual have to be asked for.
type section struct {
	name  string
	usual bool
	write func(s *Server, w *infoWriter)
}

var sections = []section{
	{"server", true, infoServer},
	{"clients", true, infoClients},
	{"memory", true, infoMemory},
	{"persistence", true, infoPersistence},
	{"stats", true, infoStats},
	{"replication", true, infoReplication},
	{"cpu", true, infoCPU},
	{"modules", true, func(*Server, *infoWriter) {}},
	{"commandstats", false, infoCommandstats},
	{"errorstats", true, infoErrorstats},
	{"latencystats", false, infoLatencystats},
	{"cluster", true, infoCluster},
	{"keyspace", true, infoKeyspace},
	{"tutti", true, infoTutti},
}

// titles are the headings that are not just the name with a capital.
var titles = map[string]string{"cpu": "CPU"}

func info(r *request, args [][]byte) {
	wanted := map[string]bool{}
	for _, a := range args[1:] {
		wanted[strings.ToLower(string(a))] = true
	}
	all := wanted["all"] || wanted["everything"]
	usual := len(args) == 1 || wanted["default"]
	w := &infoWriter{asCluster: r.c.session.asCluster}
	for _, s := range sections {
		if !all && !wanted[s.name] && !(usual && s.usual) {
			continue
		}
		title := titles[s.name]
		if title == "" {
			title = strings.ToUpper(s.name[:1]) + s.name[1:]
		}
		if w.text.Len() > 0 {
			w.text.WriteString("\r\n")
		}
		w.text.WriteString("# " + title + "\r\n")
		s.write(r.s, w)
	}
	r.Verbatim(w.text.String())
}

type infoWriter struct {
	text      strings.Builder
	asCluster bool // of whom the client thinks as a cluster
}

func (w *infoWriter) field(name string, value any) { fmt.Fprintf(&w.text, "%s:%v\r\n", name, value) }

// bytes writes a number of bytes, and again as people read it.
func (w *infoWriter) bytes(name string, n int64) {
	w.field(name, n)
	w.field(name+"_human", humanBytes(n))
}

func humanBytes(n int64) string {
	f, unit := float64(n), 0
	for f >= 1024 && unit < 4 {
		f /= 1024
		unit++
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10) + "B"
	}
	return fmt.Sprintf("%.2f%c", f, "BKMGT"[unit])
}

func infoServer(s *Server, w *infoWriter) {
	up := int64(time.Since(s.born.at) / time.Second)
	wall := s.cfg.Wall()
	w.field("redis_version", redisVersion)
	w.field("redis_git_sha1", "00000000")
	w.field("redis_git_dirty", 0)
	w.field("redis_build_id", "tutti")
	mode := "standalone"
	if w.asCluster {
		mode = "cluster"
	}
	w.field("redis_mode", mode)
	w.field("os", runtime.GOOS+" "+runtime.GOARCH)
	w.field("arch_bits", strconv.IntSize)
	w.field("multiplexing_api", "go")
	w.field("process_id", os.Getpid())
	w.field("process_supervised", "no")
	w.field("run_id", s.born.runID)
	w.field("tcp_port", s.config.value("port"))
	w.field("server_time_usec", wall*1000)
	w.field("uptime_in_seconds", up)
	w.field("uptime_in_days", up/(24*60*60))
	w.field("hz", s.config.value("hz"))
	w.field("configured_hz", s.config.value("hz"))
	w.field("lru_clock", wall/1000&(1<<24-1))
	w.field("executable", os.Args[0])
	w.field("config_file", "")
	w.field("io_threads_active", 0)
}

func infoClients(s *Server, w *infoWriter) {
	w.field("connected_clients", len(s.clients()))
	w.field("cluster_connections", 0)
	w.field("maxclients", s.config.value("maxclients"))
	w.field("client_recent_max_input_buffer", 0)
	w.field("client_recent_max_output_buffer", 0)
	w.field("blocked_clients", s.stats.blocked.Load())
	w.field("tracking_clients", s.cfg.Tracked.Usage().Clients)
	w.field("clients_in_timeout_table", 0)
}

func infoMemory(s *Server, w *infoWriter) {
	used, mapped := goMemory()
	peak := s.stats.raisePeak(used)
	var rows rowcache.Usage
	if f := s.cfg.Node.Rows; f != nil {
		rows = f()
	}
	rss := residentBytes()
	if rss == 0 {
		rss = mapped
	}
	w.bytes("used_memory", used)
	w.bytes("used_memory_rss", rss)
	w.bytes("used_memory_peak", peak)
	w.field("used_memory_peak_perc", fmt.Sprintf("%.2f%%", 100*float64(used)/float64(max(peak, 1))))
	w.field("used_memory_overhead", used)
	w.field("used_memory_startup", 0)
	w.field("used_memory_dataset", 0)
	w.field("used_memory_dataset_perc", "0.00%")
	w.bytes("total_system_memory", systemBytes())
	scripted := s.cfg.Table.Scripted()
	w.bytes("used_memory_lua", 0)
	w.bytes("used_memory_scripts", int64(scripted.Bytes))
	w.field("number_of_cached_scripts", scripted.Scripts)
	w.field("number_of_functions", scripted.Functions)
	w.field("number_of_libraries", scripted.Libraries)
	w.bytes("maxmemory", 0)
	w.field("maxmemory_policy", s.config.value("maxmemory-policy"))
	w.field("mem_fragmentation_ratio", fmt.Sprintf("%.2f", float64(rss)/float64(max(used, 1))))
	w.field("mem_fragmentation_bytes", max(rss-used, 0))
	w.field("mem_not_counted_for_evict", 0)
	w.field("mem_clients_slaves", 0)
	w.field("mem_clients_normal", s.config.held.used.Load())
	w.field("mem_aof_buffer", 0)
	w.field("mem_allocator", "go")
	w.field("active_defrag_running", 0)
	w.field("lazyfree_pending_objects", 0)
	w.field("lazyfreed_objects", 0)
	w.bytes("rows_memory", int64(rows.Bytes))
	w.bytes("rows_memory_max", int64(rows.Size))
	w.field("rows_in_memory", rows.Rows-rows.Absent)
	w.field("rows_known_absent", rows.Absent)
	w.field("rows_hits", rows.Hits)
	w.field("rows_misses", rows.Misses)
}

// residentBytes returns what Linux says of this process, elsewhere 0.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// systemBytes returns the memory of the machine on Linux, elsewhere 0.
func systemBytes() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	var kib int64
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err != nil {
		return 0
	}
	return kib << 10
}

// infoPersistence describes a server that has saved everything: whoever waits
// for a save to end sees that it has.
func infoPersistence(s *Server, w *infoWriter) {
	for _, name := range []string{"loading", "async_loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress"} {
		w.field(name, 0)
	}
	w.field("rdb_last_save_time", s.cfg.Wall()/1000)
	w.field("rdb_last_bgsave_status", "ok")
	w.field("rdb_last_bgsave_time_sec", 0)
	w.field("rdb_current_bgsave_time_sec", -1)
	w.field("rdb_saves", 0)
	w.field("aof_enabled", 1)
	w.field("aof_rewrite_in_progress", 0)
	w.field("aof_rewrite_scheduled", 0)
	w.field("aof_last_rewrite_time_sec", -1)
	w.field("aof_current_rewrite_time_sec", -1)
	w.field("aof_last_bgrewrite_status", "ok")
	w.field("aof_last_write_status", "ok")
}

func infoStats(s *Server, w *infoWriter) {
	stats := &s.stats
	w.field("total_connections_received", stats.connections.Load())
	w.field("total_commands_processed", stats.commands.Load())
	w.field("instantaneous_ops_per_sec", stats.perSecond())
	w.field("total_net_input_bytes", stats.bytesIn.Load())
	w.field("total_net_output_bytes", stats.bytesOut.Load())
	rejected := int64(0)
	for i := range stats.rejected {
		rejected += stats.rejected[i].Load()
	}
	w.field("rejected_connections", rejected)
	found := stats.since(s.cfg.Router.Finds())
	w.field("expired_keys", found.Expired)
	w.field("keyspace_hits", found.Hits)
	w.field("keyspace_misses", found.Misses)
	for _, name := range []string{"sync_full", "sync_partial_ok", "sync_partial_err", "evicted_keys", "evicted_clients",
		"latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys", "unexpected_error_replies"} {
		w.field(name, 0)
	}
	messages := s.cfg.Messages.Counts()
	w.field("pubsub_channels", messages.Here[pubsub.Channel])
	w.field("pubsub_patterns", messages.Here[pubsub.Pattern])
	w.field("pubsubshard_channels", messages.Here[pubsub.ShardChannel])
	tracked := s.cfg.Tracked.Usage()
	w.field("tracking_total_keys", tracked.Keys)
	w.field("tracking_total_items", tracked.Items)
	w.field("tracking_total_prefixes", tracked.Prefixes)
	w.field("total_error_replies", stats.errors.Load())
	for _, d := range []struct {
		name string
		why  acl.Why
	}{{"auth", deniedLogin}, {"cmd", acl.DeniedCommand}, {"key", acl.DeniedKey}, {"channel", acl.DeniedChannel}} {
		w.field("acl_access_denied_"+d.name, s.logs.denied.count(d.why))
	}
}

// infoReplication lists the other nodes that have copies of what this one serves,
// with how far they have told to be. Offsets are raft indexes, of all shards
// together.
func infoReplication(s *Server, w *infoWriter) {
	t := s.topology()
	offsets, committed := make(map[cluster.NodeID]uint64), uint64(0)
	for i, sh := range t.data {
		lead := t.presence.Leads[sh.ID]
		committed += lead.Commit
		for _, p := range t.replicas(i) {
			offsets[p.node] += p.offset
		}
	}
	delete(offsets, s.cfg.Node.ID)
	w.field("role", "master")
	w.field("connected_slaves", len(offsets))
	for i, node := range slices.Sorted(maps.Keys(offsets)) {
		m, _ := t.m.Member(node)
		host, port := splitAddr(m.Client)
		state, lag := "online", t.lag(node)
		if t.presence.Silent[node] {
			state = "wait_bgsave" // of what Redis says the nearest: nothing is sent to it now
		}
		w.field(fmt.Sprint("slave", i), fmt.Sprintf("ip=%s,port=%s,state=%s,offset=%d,lag=%d", host, port, state, offsets[node], lag))
	}
	w.field("master_failover_state", "no-failover")
	w.field("master_replid", s.nodeName(0))
	w.field("master_replid2", strings.Repeat("0", 40))
	w.field("master_repl_offset", committed)
	w.field("second_repl_offset", -1)
	w.field("repl_backlog_active", 0)
	w.field("repl_backlog_size", s.config.value("repl-backlog-size"))
	w.field("repl_backlog_first_byte_offset", 0)
	w.field("repl_backlog_histlen", 0)
}

func infoCPU(_ *Server, w *infoWriter) {
	user, system := cpuTimes()
	w.field("used_cpu_sys", fmt.Sprintf("%.6f", system.Seconds()))
	w.field("used_cpu_user", fmt.Sprintf("%.6f", user.Seconds()))
	w.field("used_cpu_sys_children", "0.000000")
	w.field("used_cpu_user_children", "0.000000")
}

func infoCommandstats(s *Server, w *infoWriter) {
	for _, cmd := range s.cfg.Table.All() {
		w.calls(cmd.Name, s.stats.calls[cmd])
		for _, sub := range cmd.Subs {
			w.calls(sub.Name, s.stats.calls[sub])
		}
	}
}

func (w *infoWriter) calls(name string, s *callStats) {
	calls, usec, rejected := s.calls.Load(), s.usec.Load(), s.rejected.Load()
	if calls == 0 && rejected == 0 {
		return
	}
	fmt.Fprintf(&w.text, "cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d\r\n",
		name, calls, usec, float64(usec)/float64(max(calls, 1)), rejected, s.failed.Load())
}

func infoErrorstats(s *Server, w *infoWriter) {
	for _, e := range s.stats.errorCodes() {
		fmt.Fprintf(&w.text, "errorstat_%s:count=%d\r\n", e.code, e.n)
	}
}

// infoCluster answers as the client wants to be served: redis-py up to 4.4 takes
// nobody for a cluster who does not say so here, and others treat whoever says so
// differently.
func infoCluster(_ *Server, w *infoWriter) {
	enabled := 0
	if w.asCluster {
		enabled = 1
	}
	w.field("cluster_enabled", enabled)
}

// infoKeyspace counts keys, without looking which of them expire: that would
// mean to read all.
func infoKeyspace(s *Server, w *infoWriter) {
	keys := s.keyCounts(func(db int, id cluster.ShardID, err error) {
		fmt.Fprintf(&w.text, "# db%d of shard %d can't be read: %v\r\n", db, id, err)
	})
	for db, n := range keys {
		if n > 0 {
			fmt.Fprintf(&w.text, "db%d:keys=%d,expires=0,avg_ttl=0\r\n", db, n)
		}
	}
}

// keyCounts counts the keys of all databases, and tells what can't be read.
func (s *Server) keyCounts(unread func(db int, id cluster.ShardID, err error)) (keys [keyspace.LogicalDatabases]int64) {
	for _, sh := range s.cfg.Router.Shards() {
		v := s.glance(sh.ID)
		if v == nil {
			continue
		}
		for db := range keys {
			n, err := v.Keys(v.Databases.Physical(uint8(db)))
			if err != nil {
				unread(db, sh.ID, err)
			}
			keys[db] += n
		}
		v.Release()
	}
	return keys
}

// infoTutti tells what Redis has no fields for; see TUTTI.STATUS for the rest.
func infoTutti(s *Server, w *infoWriter) {
	w.field("tutti_version", s.cfg.Node.Version)
	w.field("tutti_cluster", s.cfg.Node.Cluster)
	w.field("tutti_node", s.cfg.Node.ID)
	w.field("tutti_nodes", len(s.cfg.Node.Map.Map().Members))
	var leaders []string
	for _, sh := range s.cfg.Router.Shards() {
		leaders = append(leaders, strconv.FormatUint(uint64(s.cfg.Router.Lead(sh.ID).Node), 10))
	}
	w.field("tutti_shards", len(leaders))
	w.field("tutti_tls_handshakes_failed", s.stats.handshakesFailed.Load())
	w.field("tutti_unreadable_rows", s.cfg.Router.Unreadable())
	w.field("tutti_leader", strings.Join(leaders, ","))
}
