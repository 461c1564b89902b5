package server_test

import (
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// What a script was denied stands in ACL LOG of the node that it came to, wherever it ran.
func TestWhatScriptsAreDeniedIsLogged(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, nodetest.Options{Nodes: 2})
	admin, client := c.Dial(0), c.Dial(0)
	admin.Do("ACL", "SETUSER", "bob", "on", ">word", "~app:*", "resetchannels", "&news", "+@all", "-set")
	client.Do("AUTH", "bob", "word")
	for _, x := range []struct{ eval, script, want string }{
		{"EVAL", "redis.call('set', 'app:1', 1)", `"reason" "command" "context" "lua" "object" "set" "username" "bob"`},
		{"EVAL", "redis.call('del', 'it''s')", ``},
		{"EVAL", `redis.call('del', "it's")`, `"reason" "key" "context" "lua" "object" "it's" "username" "bob"`},
		{"EVAL_RO", "redis.call('get', 'other')", `"reason" "key" "context" "lua" "object" "other" "username" "bob"`},
		{"EVAL", "redis.call('publish', 'secrets', 'x')", `"reason" "channel" "context" "lua" "object" "secrets" "username" "bob"`},
		{"EVAL", "redis.pcall('set', 'app:1', 1)", ``},
	} {
		admin.Do("ACL", "LOG", "RESET")
		client.Do(x.eval, x.script, "0")
		got := entry(admin.Text("ACL", "LOG"))
		if x.want == "" && got != "(empty array)" || !strings.Contains(got, x.want) {
			t.Errorf("%s: %s", x.script, got)
		}
	}
	admin.Do("ACL", "LOG", "RESET")
	for _, cmd := range [][]string{{"MULTI"}, {"EVAL", "redis.call('set', 'app:1', 1)", "0"}, {"EXEC"}} {
		client.Do(cmd...)
	}
	if got := entry(admin.Text("ACL", "LOG")); !strings.Contains(got, `"context" "lua" "object" "set"`) {
		t.Errorf("in a transaction: %s", got)
	}
}

// entry is an entry of ACL LOG without what redis-cli numbers.
func entry(text string) string {
	var words []string
	for _, w := range strings.Fields(text) {
		if !strings.HasSuffix(w, ")") || strings.HasPrefix(w, "(") || w == "array)" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
