package node_test

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tutti/internal/metrics"
	"tutti/internal/node"
	"tutti/internal/node/nodetest"
)

// watchedCluster is a cluster whose nodes answer HTTP.
type watchedCluster struct {
	*nodetest.Cluster
	http []string // where
}

func (c *watchedCluster) HTTPAddr(i int) string { return c.http[i] }

func startWatched(t *testing.T, nodes int, configure ...func(i int, cfg *node.Config)) *watchedCluster {
	t.Helper()
	c := &watchedCluster{http: make([]string, nodes)}
	c.Cluster = nodetest.Start(t, nodetest.Options{Nodes: nodes, Shards: 2, Configure: func(i int, cfg *node.Config) {
		for _, change := range configure {
			change(i, cfg)
		}
		cfg.HTTP.Listen = "127.0.0.1:0"
		cfg.HTTP.Open = func(addr string) (net.Listener, error) {
			l, err := net.Listen("tcp", addr)
			if err == nil {
				c.http[i] = l.Addr().String()
			}
			return l, err
		}
	}})
	return c
}

func get(t *testing.T, addr, path string) (code int, body string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func scrape(t *testing.T, addr string) map[string]*dto.MetricFamily {
	t.Helper()
	code, body := get(t, addr, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("/metrics answers %d: %s", code, body)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	all, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	return all
}

// sample returns the value of the metric with these labels, or 0.
func sample(all map[string]*dto.MetricFamily, name string, labels map[string]string) float64 {
	for _, m := range all[name].GetMetric() {
		found := map[string]string{}
		for _, l := range m.GetLabel() {
			if _, asked := labels[l.GetName()]; asked {
				found[l.GetName()] = l.GetValue()
			}
		}
		if maps.Equal(found, labels) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}

// Each metric of the table is there, is what Prometheus wants, and counts.
func TestMetrics(t *testing.T) {
	t.Parallel()
	c := startWatched(t, 3)
	for i := range 3 {
		awaitHealth(t, c, i, "all is well", func(_ int, h health) bool { return h.Safety == "healthy" })
	}
	conn := c.Dial(0)
	for range 10 {
		conn.Do("SET", "k", "v")
	}
	conn.Do("GET", "k")
	conn.Do("INCR", "k") // -ERR
	conn.Do("NOSUCH")
	conn.Do("MULTI")
	conn.Do("EXEC")
	conn.Do("AUTH", "nobody", "wrong")
	conn.Do("WATCH", "k")
	c.Dial(0).Do("DEL", "k")
	conn.Do("MULTI")
	conn.Do("EXISTS", "k")
	conn.Do("EXEC")
	conn.Do("SET", "k", "v", "NX")
	all := scrape(t, c.HTTPAddr(0))
	// An in-memory file system does not tell its room, which TestStartAnswersHTTP of
	// cmd/tutti looks at; and there are no zones.
	// Of tasks those tell who lead them, see TestMetricsOfTasks.
	elsewhere := map[string]bool{"tutti_storage_capacity_bytes": true, "tutti_storage_available_bytes": true, "tutti_cluster_tolerates_zone_losses": true}
	for name := range metrics.Names() {
		if ofTasks := strings.HasPrefix(name, "tutti_task") || name == "tutti_workers" || name == "tutti_join_tokens_active"; all[name] == nil && !elsewhere[name] && !ofTasks {
			t.Errorf("%s is in the table and not in the output", name)
		}
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if all[name] == nil {
			t.Errorf("%s is not in the output", name)
		}
	}
	for _, want := range []struct {
		name   string
		labels map[string]string
		value  float64
	}{
		{"tutti_commands_total", map[string]string{"command": "set", "class": "write", "result": "ok"}, 11},
		{"tutti_commands_total", map[string]string{"command": "get", "class": "read", "result": "ok"}, 1},
		{"tutti_commands_total", map[string]string{"command": "incr", "result": "error"}, 1},
		{"tutti_commands_total", map[string]string{"command": "exec", "class": "txn", "result": "ok"}, 2},
		{"tutti_auth_failures_total", nil, 1},
		{"tutti_txn_conflicts_total", nil, 1},
		{"tutti_command_errors_total", map[string]string{"code": "ERR"}, 2},
		{"tutti_command_duration_seconds", map[string]string{"class": "write"}, 13},
		{"tutti_cluster_nodes", map[string]string{"state": "up"}, 3},
		{"tutti_connections", map[string]string{"kind": "client", "tls": "false"}, 2},
		{"tutti_connections", map[string]string{"kind": "peer", "tls": "true"}, 2},
		{"tutti_shard_moves_in_progress", nil, 0},
		{"tutti_raft_snapshots_in_progress", map[string]string{"direction": "sent"}, 0},
		{"tutti_peer_up", map[string]string{"peer": "2"}, 1},
		{"tutti_peer_up", map[string]string{"peer": "3"}, 1},
		{"tutti_raft_groups_without_leader", nil, 0},
		{"tutti_shards", nil, 2},
		{"tutti_raft_groups_underreplicated", nil, 0},
		{"tutti_cluster_tolerates_node_losses", nil, 1},
	} {
		if got := sample(all, want.name, want.labels); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	conn.Do("TUTTI.TOKEN", "CREATE")
	conn.Do("TUTTI.TOKEN", "CREATE", "USES", "7")
	groups, elected, keys, tokens, batches := 0.0, 0.0, 0.0, 0.0, map[string]float64{}
	for i := range 3 {
		all := scrape(t, c.HTTPAddr(i))
		groups += sample(all, "tutti_raft_groups", map[string]string{"role": "leader"})
		elected += sample(all, "tutti_raft_leader_changes_total", map[string]string{"reason": "election"})
		keys += sample(all, "tutti_keys", nil)
		tokens += sample(all, "tutti_join_tokens_active", nil)
		for _, stage := range []string{"append", "fsync", "replicate", "apply"} {
			batches[stage] += sample(all, "tutti_command_stage_duration_seconds", map[string]string{"stage": stage})
		}
		if rounds := sample(all, "tutti_raft_read_index_duration_seconds", nil); i == 0 && rounds == 0 {
			t.Error("no round has confirmed any of the reads")
		}
		if lag := sample(all, "tutti_raft_apply_lag_entries", nil); lag > 100 {
			t.Errorf("%v entries are not applied", lag)
		}
	}
	for stage, n := range batches {
		if n < 14 { // each of the writes above was a batch of its own
			t.Errorf("%v batches went through stage %s", n, stage)
		}
	}
	if groups != 3 || elected < 3 || keys != 1 || tokens != 2 {
		t.Errorf("%v groups led, %v elections, %v keys, %v tokens", groups, elected, keys, tokens)
	}
}

// What a client can send must not make series without end.
func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	c := startWatched(t, 1)
	conn := c.Dial(0)
	series := func() (n int) {
		for _, f := range scrape(t, c.HTTPAddr(0)) {
			n += len(f.GetMetric())
		}
		return n
	}
	conn.Do("NOSUCH")
	before := series()
	for i := range 500 {
		conn.Do("NO" + strings.Repeat("X", i%50) + "SUCH")
		conn.Do("CLIENT", "SETNAME", strings.Repeat("n", i%50+1))
	}
	if after := series(); after > before+10 {
		t.Errorf("%d series have become %d", before, after)
	}
}

// health is what /health/cluster answers.
type health struct {
	Serves    bool   `json:"serves"`
	Safety    string `json:"safety"`
	Tolerates int    `json:"tolerates_node_losses"`
	Verdict   string `json:"verdict"`
}

// awaitHealth asks node i until the answer is as it must become.
func awaitHealth(t *testing.T, c *watchedCluster, i int, what string, ok func(code int, h health) bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		code, body := get(t, c.HTTPAddr(i), "/health/cluster")
		var h health
		if err := json.Unmarshal([]byte(body), &h); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if ok(code, h) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d %+v", what, code, h)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	c := startWatched(t, 3)
	for _, path := range []string{"/health/live", "/health/ready"} {
		if code, body := get(t, c.HTTPAddr(0), path); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	awaitHealth(t, c, 0, "three nodes", func(code int, h health) bool { return code == http.StatusOK && h.Serves && h.Tolerates == 1 })
	c.Stop(2)
	awaitHealth(t, c, 0, "one lost", func(code int, h health) bool { return code == http.StatusOK && h.Serves && h.Tolerates == 0 })
	c.Stop(1)
	awaitHealth(t, c, 0, "two lost", func(code int, h health) bool { return code == http.StatusServiceUnavailable && !h.Serves })
	for end := time.Now().Add(20 * time.Second); ; { // each shard notices by itself
		code, body := get(t, c.HTTPAddr(0), "/health/ready")
		if code == http.StatusServiceUnavailable && strings.Contains(body, "leader of shard") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("/health/ready: %d %s", code, body)
		}
	}
	if code, _ := get(t, c.HTTPAddr(0), "/health/live"); code != http.StatusOK {
		t.Errorf("/health/live: %d", code)
	}
	if code, _ := get(t, c.HTTPAddr(0), "/health"); code != http.StatusNotFound {
		t.Errorf("/health: %d", code)
	}
}

// The labels of a metric are those of its row, no more and no less.
func TestMetricsHaveTheirLabels(t *testing.T) {
	t.Parallel()
	c := startWatched(t, 1)
	names := metrics.Names()
	for name, f := range scrape(t, c.HTTPAddr(0)) {
		if !strings.HasPrefix(name, "tutti_") {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			if want := slices.Sorted(slices.Values(names[name])); !slices.Equal(labels, want) {
				t.Errorf("%s has labels %v, want %v", name, labels, want)
			}
		}
	}
}
