package server_test

import (
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// What is told of commands counts from CONFIG RESETSTAT on, if it is to be told.
func TestLatencyCommands(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{}).Dial(0)
	c.Do("CONFIG", "RESETSTAT")
	for range 3 {
		c.Do("SET", "a", "b")
	}
	histogram := func() string {
		return strings.Join(strings.Fields(c.Do("LATENCY", "HISTOGRAM", "set", "nosuch", "config").FormatCLI()), " ")
	}
	if got := histogram(); !strings.HasPrefix(got, `1) "set" 2) 1) "calls" 2) (integer) 3 3) "histogram_usec"`) || !strings.Contains(got, `"config|resetstat" 4) 1) "calls" 2) (integer) 1`) {
		t.Errorf("histogram: %s", got)
	}
	stats := c.Text("INFO", "latencystats")
	if !strings.Contains(stats, "latency_percentiles_usec_set:p50=") || !strings.Contains(stats, ",p99.9=") {
		t.Errorf("INFO: %s", stats)
	}
	c.Do("CONFIG", "SET", "latency-tracking", "no")
	if got := histogram(); got != "(empty array)" {
		t.Errorf("histogram without tracking: %s", got)
	}
	if got := c.Text("INFO", "latencystats"); strings.Contains(got, "_set") {
		t.Errorf("INFO without tracking: %s", got)
	}
}
