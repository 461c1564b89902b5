package metrics_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"tutti/internal/metrics"
)

// What is deployed beside the program: alerts, dashboards.
const deploy = "../../deploy"

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	metricName = regexp.MustCompile(`\b(?:tutti|go|process)_[a-z0-9_]+\b`)
	selector   = regexp.MustCompile(`\b(tutti_[a-z0-9_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!=|!~|=)`)
)

// known lists all metrics of a node and their labels.
func known(t *testing.T) map[string][]string {
	t.Helper()
	all := metrics.Names()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		all[f.GetName()] = nil
	}
	return all
}

// family is the metric that a series belongs to.
func family(all map[string][]string, series string) (name string, ok bool) {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		name, has := strings.CutSuffix(series, suffix)
		if _, there := all[name]; has && there {
			return name, true
		}
	}
	return "", false
}

// An alert on a metric that nobody has never fires.
func TestDeployedFilesNameOnlyMetricsThatExist(t *testing.T) {
	all := known(t)
	for _, name := range []string{"prometheus/alerts.yml", "prometheus/alerts.test.yml", "grafana/tutti.json"} {
		text := read(t, filepath.Join(deploy, name))
		found := metricName.FindAllString(text, -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", name)
		}
		for _, series := range found {
			if _, ok := family(all, series); !ok && series != "go_" {
				t.Errorf("%s names %s, which does not exist", name, series)
			}
		}
		for _, m := range selector.FindAllStringSubmatch(strings.ReplaceAll(text, `\"`, `"`), -1) {
			of, ok := family(all, m[1])
			if !ok {
				continue
			}
			for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(append([]string{"job", "instance", "le"}, all[of]...), label[1]) {
					t.Errorf("%s: %s has no label %s", name, m[1], label[1])
				}
			}
		}
	}
}

var alertName = regexp.MustCompile(`- alert: (\w+)`)

func alerts(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range alertName.FindAllStringSubmatch(read(t, filepath.Join(deploy, "prometheus/alerts.yml")), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		t.Fatalf("found only %d alerts", len(names))
	}
	return names
}

// Whoever is woken finds what it means and what to do, and each alert is shown
// to see what it is for.
func TestAlertsAreExplainedAndTested(t *testing.T) {
	manual, tests := read(t, "../../docs/OPERATIONS.md"), read(t, filepath.Join(deploy, "prometheus/alerts.test.yml"))
	for _, name := range alerts(t) {
		if !strings.Contains(manual, "| `"+name+"` |") {
			t.Errorf("docs/OPERATIONS.md has no row for %s", name)
		}
		if !regexp.MustCompile(`alertname: ` + name + `\n\s+exp_alerts:`).MatchString(tests) {
			t.Errorf("alerts.test.yml does not show %s firing", name)
		}
	}
	for _, m := range regexp.MustCompile("\\| `(Tutti\\w+)` \\|").FindAllStringSubmatch(manual, -1) {
		if !slices.Contains(alerts(t), m[1]) {
			t.Errorf("docs/OPERATIONS.md has %s, which is no alert", m[1])
		}
	}
}

// dashboard is what this test reads of one.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
}

func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, filepath.Join(deploy, "grafana/tutti.json"))), &d); err != nil {
		t.Fatal(err)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("panel %d, %q: its id is taken, or it has no title or no query", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// queries writes the queries of the dashboard as rules, since promtool reads
// those.
func queries(t *testing.T) string {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, filepath.Join(deploy, "grafana/tutti.json"))), &d); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "tutti", "$instance", ".*")
	var b strings.Builder
	b.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for _, p := range d.Panels {
		for i, q := range p.Targets {
			expr, err := json.Marshal(variables.Replace(q.Expr)) // a JSON string is one of YAML
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "      - {record: 'panel:%d:%d', expr: %s}\n", p.ID, i, expr)
		}
	}
	name := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// promtool is Prometheus's own judge. .ci/deploy brings it and insists on it.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("TUTTI_PROMTOOL") == "required" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip("needs promtool, of Debian's package prometheus; .ci/deploy runs this test with it")
	}
	dir, err := filepath.Abs(filepath.Join(deploy, "prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "alerts.yml"},
		{"check", "rules", queries(t)},
		{"test", "rules", "alerts.test.yml"},
	} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
