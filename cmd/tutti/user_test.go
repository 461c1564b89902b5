package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func (c devCluster) user(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return tutti(t, stdin, append([]string{"user", args[0], "--addr", c.addr(0)}, args[1:]...)...)
}

// Users are made, changed, asked about and removed by the commands that an operator
// types, and log in through another node.
func TestUsers(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 3)
	r := c.user(t, "", "add", "app", "~app:*", "+@read", "+@write")
	r.wants(t, 0)
	_, after, ok := strings.Cut(r.out, "password  ")
	password := strings.Fields(after + " ")
	if !ok || len(password) == 0 || len(password[0]) != 32 {
		t.Fatalf("no password: %+v", r)
	}
	if r := tutti(t, "AUTH app "+password[0]+"\nSET app:1 x\nGET other\n", "cli", "--addr", c.addr(1)); !strings.Contains(r.out, "OK\nOK\n") || !strings.Contains(r.out+r.errors, "NOPERM") {
		t.Errorf("the user through another node: %+v", r)
	}
	for _, step := range []struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		{"", []string{"add", "app"}, exitFailed, "there is a user \"app\" already"},
		{"", []string{"add", "x", ">pw"}, exitUsage, "must not be given as an argument"},
		{"", []string{"add", "x", "+nosuch"}, exitFailed, "Unknown command or category name"},
		{"", []string{"set", "nosuch", "on"}, exitFailed, "there is no user \"nosuch\""},
		{"", []string{"test", "app", "GET", "app:1"}, 0, "yes, app may run GET app:1"},
		{"", []string{"test", "app", "KEYS", "*"}, 0, "yes"},
		{"", []string{"set", "app", "-@dangerous"}, 0, "user app was changed"},
		{"", []string{"test", "app", "KEYS", "*"}, exitFailed, "no: User app has no permissions to run the 'keys' command"},
		{"hunter2\n", []string{"add", "--password-stdin", "ops", "allkeys", "allcommands"}, 0, "user ops was made"},
		{"", []string{"add", "--password-stdin", "nul"}, exitUsage, "no password on stdin"},
		{"", []string{"rm", "nosuch"}, exitFailed, "0 of 1 users were there"},
		{"", []string{"rm", "default"}, exitFailed, "cannot be removed"},
		{"", []string{"rm", "app"}, 0, "user app was removed"},
	} {
		r := c.user(t, step.stdin, step.args...)
		if r.code != step.code || !strings.Contains(r.out+r.errors, step.says) || strings.Contains(r.out+r.errors, "hunter2") {
			t.Errorf("%q: %+v", step.args, r)
		}
	}
	var list []userView
	r = c.user(t, "", "ls", "--json")
	want := []userView{{"default", true, true, 0, []string{"~*", "&*", "+@all"}}, {"ops", true, false, 1, []string{"~*", "resetchannels", "+@all"}}}
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%v: %+v", err, list)
	}
	if r = c.user(t, "", "ls"); !strings.Contains(r.out, "ops      password") {
		t.Errorf("%+v", r)
	}
}
