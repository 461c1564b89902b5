package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// tasksOf lists a queue through the program.
func (c devCluster) tasksOf(t *testing.T, queue string, flags ...string) (list []taskView) {
	t.Helper()
	r := tutti(t, "", append([]string{"task", "ls", queue, "--json", "--addr", c.addr(0)}, flags...)...)
	r.wants(t, 0)
	if err := json.Unmarshal([]byte(r.out), &list); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	return list
}

// Tasks and queues are listed, shown and changed by the commands that an operator types.
func TestTasksAndQueues(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1)
	c.cli(t, 0, "TASK.ADD", "mail", "COUNT", "3", "one", "\x1b[2J", "three").wants(t, 0)
	list := c.tasksOf(t, "mail")
	if len(list) != 3 || list[0].State != "ready" || list[0].Since.IsZero() {
		t.Fatalf("listed %+v", list)
	}
	if short := c.tasksOf(t, "mail", "--limit", "2"); len(short) != 2 {
		t.Errorf("at most 2: %+v", short)
	}
	id := list[1].ID
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"task", "ls", "mail"}, 0, id + "  ready"},
		{[]string{"task", "ls", "mail", "--state", "odd"}, exitFailed, "STATE is waiting"},
		{[]string{"task", "ls", "m*l"}, exitFailed, `there is no queue "m*l"`},
		{[]string{"task", "ls", "m*l", "--json"}, exitFailed, "tutti queue ls"},
		{[]string{"task", "ls", "mail", "--state", "dead"}, 0, "TASK  STATE"},
		{[]string{"queue", "resume", "m[a]il"}, 0, "queue m[a]il is new"},
		{[]string{"task", "show"}, exitUsage, "tutti task show --help"},
		{[]string{"task", "ls", "mail", "--limit", "0"}, exitUsage, "--limit must be at least 1"},
		{[]string{"task", "show", id}, 0, `"\x1b[2J"`},
		{[]string{"task", "show", id, "--json"}, 0, `"state": "ready"`},
		{[]string{"task", "show", id + "zz"}, exitFailed, "there is no task"},
		{[]string{"task", "retry", id}, exitFailed, "1 of 1 tasks were left as they were"},
		{[]string{"task", "cancel", id, list[2].ID}, 0, list[2].ID + "  cancelled"},
		{[]string{"task", "cancel", id}, exitFailed, "it has ended"},
		{[]string{"task", "retry", "--json", id}, 0, `"changed":true`},
		{[]string{"task", "cancel", "nothing"}, exitFailed, "is not the id of a task"},
		{[]string{"queue", "pause", "mail"}, 0, "mail is paused"},
		{[]string{"queue", "ls"}, 0, "mail   0        0          2      0        0     0     1          yes"},
		{[]string{"queue", "ls", "--json", "ma*"}, 0, `"ready": 2`},
		{[]string{"queue", "ls", "--json", "none"}, 0, "[]"},
		{[]string{"queue", "resume", "mail"}, 0, "mail is open"},
	} {
		r := tutti(t, "", append(step.args, "--addr", c.addr(0))...)
		if r.code != step.code || !strings.Contains(r.out+r.errors, step.says) || strings.Contains(r.out+r.errors, "\x1b") {
			t.Errorf("%q: %+v", step.args, r)
		}
	}
	if all := c.tasksOf(t, "mail", "--state", "ready"); len(all) != 2 {
		t.Errorf("ready: %+v", all)
	}
}

// Quotes within an error or JSON are read as they are; what a terminal would obey, or
// would take for a text in quotes, is in quotes.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`worker "n1/4" was silent`: `worker "n1/4" was silent`,
		`{"a":"\n"}`:               `{"a":"\n"}`,
		"größe":                    "größe",
		"":                         "",
		`"quoted"`:                 `"\"quoted\""`,
		"a\nb":                     `"a\nb"`,
		"\x1b[2J":                  `"\x1b[2J"`,
		"\xff":                     `"\xff"`,
		"a\u202eb":                 `"a\u202eb"`, // turns the direction of what follows
	} {
		if got := printable([]byte(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
