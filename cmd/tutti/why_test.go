package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// An operator asks why something does not go on, and is told what to type.
func TestWhy(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 1)
	c.cli(t, 0, "TASK.ADD", "mail", "one").wants(t, 0)
	c.cli(t, 0, "TASK.QUEUE", "mail", "PAUSE").wants(t, 0)
	c.cli(t, 0, "SET", "a\x1b[2J", "x").wants(t, 0)
	c.cli(t, 0, "RPUSH", "list", "x").wants(t, 0)
	c.cli(t, 0, "MOVE", "list", "2").wants(t, 0)
	id := c.tasksOf(t, "mail")[0].ID
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{id}, 0, `is paused`},
		{[]string{id}, 0, "  do     tutti queue resume mail\n  where  slot 4247, shard 1, led by node 1 since 2"},
		{[]string{id}, 0, "  also   no worker has claimed it yet"},
		{[]string{id, "--json"}, 0, `"for": "pause"`},
		{[]string{"mail"}, 0, "the queue of tasks of this name has 1 that have not ended"},
		{[]string{"a\x1b[2J"}, 0, `key "a\x1b[2J" is a string`},
		{[]string{"list"}, exitFailed, `there is no key "list" in this database`},
		{[]string{"list", "-n", "2"}, 0, `key "list" is a list`},
		{[]string{id + "zz"}, exitFailed, "there is no task"},
		{[]string{}, exitUsage, "accepts 1 arg"},
	} {
		r := tutti(t, "", append([]string{"why", "--addr", c.addr(0)}, step.args...)...)
		if r.code != step.code || !strings.Contains(r.out+r.errors, step.says) || strings.Contains(r.out+r.errors, "\x1b") {
			t.Errorf("%q: %+v", step.args, r)
		}
	}
}
