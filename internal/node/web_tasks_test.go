package node_test

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/task"
)

// What has become of tasks is told by queue, by whoever leads them.
func TestMetricsOfTasks(t *testing.T) {
	t.Parallel()
	c := startWatched(t, 1)
	conn := c.Dial(0)
	claim := func() (id, token string) {
		v := conn.Do("TASK.CLAIM", "w", "FROM", "mail")
		if len(v.Elems) != 1 {
			t.Fatalf("claimed %s", v.FormatCLI())
		}
		return string(v.Elems[0].Elems[0].Str), string(v.Elems[0].Elems[1].Str)
	}
	conn.Do("TASK.ADD", "mail", "COUNT", "5", "a", "b", "c", "d", "e")
	conn.Do("TASK.ADD", "mail", "later", "IN", "600000")
	id, token := claim()
	conn.Do("TASK.DONE", id, "1", "of an old claim")
	conn.Do("TASK.DONE", id, token, "result")
	id, token = claim()
	conn.Do("TASK.FAIL", id, token, "why", "DEAD")
	id, token = claim()
	conn.Do("TASK.FAIL", id, token, "why")
	id, _ = claim()
	conn.Do("TASK.CANCEL", id)
	c.Dial(0).Send("TASK.CLAIM", "v", "BLOCK", "0", "FROM", "idle")
	conn.Do("TASK.QUEUE", "idle", "RATE", "7")
	conn.Do("TASK.ADD", "\xff\xfe", "a name that no label can have")
	for {
		all := scrape(t, c.HTTPAddr(0))
		if sample(all, "tutti_workers", map[string]string{"queue": "idle", "state": "waiting"}) == 1 {
			break
		}
	}
	all := scrape(t, c.HTTPAddr(0))
	for _, want := range []struct {
		name, queue, label, is string
		value                  float64
	}{
		{"tutti_tasks", "mail", "state", "ready", 1},
		{"tutti_tasks", "mail", "state", "scheduled", 2},
		{"tutti_tasks", "mail", "state", "running", 0},
		{"tutti_tasks", "mail", "state", "done", 1},
		{"tutti_tasks", "mail", "state", "dead", 1},
		{"tutti_tasks", "mail", "state", "cancelled", 1},
		{"tutti_tasks", "idle", "state", "ready", 0},
		{"tutti_tasks", task.OtherQueues, "state", "ready", 1},
		{"tutti_tasks_added_total", "mail", "", "", 6},
		{"tutti_tasks_finished_total", "mail", "outcome", "done", 1},
		{"tutti_tasks_finished_total", "mail", "outcome", "dead", 1},
		{"tutti_tasks_finished_total", "mail", "outcome", "cancelled", 1},
		{"tutti_task_attempts_total", "mail", "outcome", "done", 1},
		{"tutti_task_attempts_total", "mail", "outcome", "failed", 2},
		{"tutti_task_attempts_total", "mail", "outcome", "lost", 0},
		{"tutti_task_fenced_total", "mail", "", "", 1},
		{"tutti_task_wait_seconds", "mail", "", "", 4},
		{"tutti_task_run_seconds", "mail", "", "", 4},
		{"tutti_task_oldest_waiting_seconds", "idle", "", "", 0},
	} {
		labels := map[string]string{"queue": want.queue}
		if want.label != "" {
			labels[want.label] = want.is
		}
		if got := sample(all, want.name, labels); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, labels, got, want.value)
		}
	}
	for {
		if sample(scrape(t, c.HTTPAddr(0)), "tutti_task_oldest_waiting_seconds", map[string]string{"queue": "mail"}) > 0 {
			break // time goes on by itself
		}
	}
}

// However many queues there are, a scrape has so many series of them and no more, and
// nothing of any queue is missing in their sum.
func TestMetricsOfManyQueues(t *testing.T) {
	t.Parallel()
	c := startWatched(t, 1)
	conn := c.Dial(0)
	const queues = 3 * task.QueuesMetered
	for i := range queues {
		conn.Send("TASK.ADD", fmt.Sprintf("queue-%d", i), "p")
	}
	for range queues {
		if v, err := conn.Receive(); err != nil || v.IsError() {
			t.Fatal(v.FormatCLI(), err)
		}
	}
	all := scrape(t, c.HTTPAddr(0))
	labels, ready := map[string]bool{}, 0.0
	for _, m := range all["tutti_tasks"].GetMetric() {
		for _, l := range m.GetLabel() {
			switch {
			case l.GetName() == "queue":
				labels[l.GetValue()] = true
			case l.GetValue() == "ready":
				ready += m.GetGauge().GetValue()
			}
		}
	}
	if len(labels) != task.QueuesMetered+1 || !labels[task.OtherQueues] || ready != queues {
		t.Errorf("%d labels, %v ready", len(labels), ready)
	}
	again := scrape(t, c.HTTPAddr(0))
	for _, m := range again["tutti_tasks_added_total"].GetMetric() {
		if q := m.GetLabel()[0].GetValue(); !labels[q] || q != task.OtherQueues && !strings.HasPrefix(q, "queue-") {
			t.Errorf("%s is told apart now", q)
		}
	}
}
