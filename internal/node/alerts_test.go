package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	dto "github.com/prometheus/client_model/go"

	"tutti/internal/node"
)

// failingDisk tells of plenty of room until it is full.
type failingDisk struct {
	vfs.FS
	full *atomic.Bool
}

func (d failingDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if d.full.Load() {
		return vfs.DiskUsage{AvailBytes: 40 << 20, TotalBytes: 100 << 30}, nil // less than the reserve
	}
	return vfs.DiskUsage{AvailBytes: 60 << 30, TotalBytes: 100 << 30}, nil
}

// awaitLost waits until node i tells that so many nodes are silent, and that of all three
// shards.
func awaitLost(t *testing.T, c *watchedCluster, i, silent int, ofShards string) {
	t.Helper()
	eventually(t, func() string {
		all := scrape(t, c.HTTPAddr(i))
		gone, shards := sample(all, "tutti_cluster_nodes", map[string]string{"state": "silent"}), sample(all, ofShards, nil)
		if int(gone) != silent || shards != 3 {
			return fmt.Sprintf("node %d tells of %v silent nodes, %s %v", i+1, gone, ofShards, shards)
		}
		return ""
	})
}

// scrapes are what Prometheus has of the nodes at one moment; nil: it does not answer.
type scrapes []map[string]*dto.MetricFamily

func scrapeAll(t *testing.T, c *watchedCluster, stopped ...int) scrapes {
	t.Helper()
	list := make(scrapes, len(c.http))
	for i := range c.http {
		gone := false
		for _, s := range stopped {
			gone = gone || s == i
		}
		if !gone {
			list[i] = scrape(t, c.HTTPAddr(i))
		}
	}
	return list
}

// values are the samples of gauges and counters, by series. Instances are a, b and c.
func (s scrapes) values() map[string]string {
	all := make(map[string]string)
	for i, families := range s {
		at := fmt.Sprintf(`job="tutti", instance="%c"`, 'a'+i)
		all["up{"+at+"}"] = strconv.Itoa(min(len(families), 1))
		for name, f := range families {
			if !strings.HasPrefix(name, "tutti_") || f.GetType() == dto.MetricType_HISTOGRAM {
				continue
			}
			for _, m := range f.GetMetric() {
				labels := at
				for _, l := range m.GetLabel() {
					labels += fmt.Sprintf(", %s=%q", l.GetName(), l.GetValue())
				}
				all[name+"{"+labels+"}"] = strconv.FormatFloat(m.GetGauge().GetValue()+m.GetCounter().GetValue(), 'f', -1, 64)
			}
		}
	}
	return all
}

// expected is an alert that fires: what its labels are beside job and severity.
type expected struct{ severity, instance, summary, queue string }

// judged writes a test of promtool: Prometheus scrapes before for five minutes and after
// from then on, and at some time fires what is expected, and nothing else: "20m" sees what
// lasts, "8m" what has been counted in between.
func judged(at string, before, after scrapes, fires map[string][]expected, names []string) map[string]any {
	var series []map[string]string
	was, is := before.values(), after.values()
	for s, v := range was {
		then := "_x80" // as of who does not answer
		if now, ok := is[s]; ok {
			then = now + "x80"
		}
		series = append(series, map[string]string{"series": s, "values": v + "x19 " + then})
	}
	for s, v := range is {
		if _, ok := was[s]; !ok {
			series = append(series, map[string]string{"series": s, "values": "_x19 " + v + "x80"})
		}
	}
	var tests []map[string]any
	for _, name := range names {
		test := map[string]any{"eval_time": at, "alertname": name}
		var list []any
		for _, e := range fires[name] {
			labels := map[string]string{"severity": e.severity, "job": "tutti"}
			if e.instance != "" {
				labels["instance"] = e.instance
			}
			if e.queue != "" {
				labels["queue"] = e.queue
			}
			list = append(list, map[string]any{"exp_labels": labels, "exp_annotations": map[string]string{"summary": e.summary}})
		}
		if list != nil {
			test["exp_alerts"] = list
		}
		tests = append(tests, test)
	}
	return map[string]any{"interval": "15s", "input_series": series, "alert_rule_test": tests}
}

// The alerts fire on what real nodes tell, when one is lost, when its disk is full and
// when the majority is lost, and no others do. promtool judges; .ci/deploy brings it.
func TestAlertsFireOnWhatNodesTell(t *testing.T) {
	p := newPrometheus(t)
	names := p.names
	full := &atomic.Bool{}
	c := startWatched(t, 3, func(i int, cfg *node.Config) {
		if i == 1 {
			cfg.FS = failingDisk{cfg.FS, full}
		}
	})
	for i := range 3 {
		awaitHealth(t, c, i, "all is well", func(_ int, h health) bool { return h.Safety == "healthy" })
	}
	well := scrapeAll(t, c)
	full.Store(true)
	eventually(t, func() string {
		if sample(scrape(t, c.HTTPAddr(1)), "tutti_storage_full", nil) != 1 {
			return "node 2 does not find its disk full"
		}
		return ""
	})
	noRoom := scrapeAll(t, c)
	full.Store(false)
	eventually(t, func() string {
		if sample(scrape(t, c.HTTPAddr(1)), "tutti_storage_full", nil) != 0 {
			return "node 2 still finds its disk full"
		}
		return ""
	})
	c.Stop(2)
	for i := range 2 {
		awaitLost(t, c, i, 1, "tutti_raft_groups_underreplicated")
	}
	one := scrapeAll(t, c, 2)
	c.Stop(1)
	awaitLost(t, c, 0, 2, "tutti_raft_groups_without_leader")
	two := scrapeAll(t, c, 1, 2)

	silent := func(n int) []expected {
		return []expected{{severity: "warn", summary: fmt.Sprintf("tutti: %d nodes do not answer the others", n)}}
	}
	down := func(instance string) expected {
		return expected{severity: "warn", instance: instance, summary: "tutti: " + instance + " does not answer Prometheus"}
	}
	page := func(instance, summary string) []expected {
		return []expected{{severity: "page", instance: instance, summary: summary}}
	}
	behind := []expected{{severity: "warn", summary: "tutti: 3 shards have had fewer good copies than they should for 10 minutes"}}
	tests := []any{
		judged("20m", well, well, nil, names),
		judged("20m", well, noRoom, map[string][]expected{"TuttiDiskFull": page("b", "b: the disk is full, writes that need room are refused")}, names),
		judged("20m", well, one, map[string][]expected{"TuttiNodeDown": {down("c")}, "TuttiNodeSilent": silent(1), "TuttiUnderReplicated": behind,
			"TuttiToleratesNoLoss": page("", "tutti: the loss of one more node stops a part of the cluster")}, names),
		judged("20m", one, two, map[string][]expected{"TuttiNodeDown": {down("b"), down("c")}, "TuttiNodeSilent": silent(2), "TuttiUnderReplicated": behind,
			"TuttiUnavailable":        page("", "tutti: a shard has no majority or no leader; a part of the keys is not served"),
			"TuttiShardWithoutLeader": page("", "tutti: 3 shards have no leader that answers")}, names),
	}
	p.judge(t, tests...)
}

// prometheus judges by the rules that are delivered.
type prometheus struct {
	tool, rules string
	text        string
	names       []string // of the alerts
}

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("TUTTI_PROMTOOL") == "required" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("needs promtool, of Debian's package prometheus; .ci/deploy runs this test with it")
	}
	p := &prometheus{tool: tool}
	if p.rules, err = filepath.Abs("../../deploy/prometheus/alerts.yml"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.rules)
	if err != nil {
		t.Fatal(err)
	}
	p.text = string(text)
	for line := range strings.Lines(p.text) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), "- alert: "); ok {
			p.names = append(p.names, name)
		}
	}
	return p
}

// hush has all alerts say the same, where what they say depends on how long something took.
func (p *prometheus) hush(t *testing.T) {
	t.Helper()
	text := regexp.MustCompile(`summary: ".*"`).ReplaceAllString(p.text, `summary: "seen"`)
	p.rules = filepath.Join(t.TempDir(), "alerts.yml")
	if err := os.WriteFile(p.rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *prometheus) judge(t *testing.T, tests ...any) {
	t.Helper()
	file, err := json.Marshal(map[string]any{"rule_files": []string{p.rules}, "evaluation_interval": "15s", "tests": tests}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "tests.yml")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(p.tool, "test", "rules", name).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
