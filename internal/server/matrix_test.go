package server_test

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/command"
	"tutti/internal/node/nodetest"
)

// Who may do what, for every command of the table: as users that have all rights
// but one, plain and in MULTI.

// sample returns a call of a command that names key wherever it names one. What else
// it says need not make sense: rights are looked at first.
func sample(cmd *command.Command, key string) []string {
	n := max(cmd.Arity, -cmd.Arity)
	words := strings.Split(cmd.Name, "|")
	for len(words) < n {
		words = append(words, "1")
	}
	args := make([][]byte, len(words))
	for i, w := range words {
		args[i] = []byte(w)
	}
	for _, at := range cmd.KeyArgs(nil, args) {
		words[at] = key
	}
	return words
}

func keyed(cmd *command.Command) bool {
	words := sample(cmd, "k")
	return strings.Join(words, " ") != strings.Join(sample(cmd, "j"), " ")
}

// Of the commands with keys that only read, these tell nothing of a value but that
// it is there, of which type and how large: whoever may only write may call them.
// The others that may be called so are those that write and answer with nothing
// that was there.
var tellLittle = strings.Fields("exists hexists hlen hstrlen llen memory|usage object|encoding object|freq object|idletime object|refcount " +
	"scard sismember strlen touch type watch zcard")

// Of the commands that write, these answer with what was there.
var answerOld = strings.Fields("bitfield decr decrby getdel getex getset hincrby hincrbyfloat incr incrby incrbyfloat lmove lmpop lpop move rename renamenx " +
	"rpop rpoplpush setbit smove sort spop zincrby zmpop zpopmax zpopmin copy blmove brpoplpush blpop brpop blmpop bzmpop bzpopmin bzpopmax " +
	"bitop sdiffstore sinterstore sunionstore zdiffstore zinterstore zrangestore zunionstore " +
	"geosearchstore georadius georadiusbymember pfmerge pfdebug")

// These write, and called with a key alone they only read.
var readCalledSo = strings.Fields("sort bitfield georadius georadiusbymember")

func contains(list []string, name string) bool {
	for _, n := range list {
		if n == name {
			return true
		}
	}
	return false
}

// matrixUsers are the users of the matrix, with what each of them is to be told of a
// command that has keys: "" is anything but a NOPERM.
var matrixUsers = []struct {
	name, rules string
	want        func(cmd *command.Command) string
}{
	{"nobody", "~* &*", func(cmd *command.Command) string {
		return fmt.Sprintf("NOPERM User nobody has no permissions to run the '%s' command", cmd.Name)
	}},
	{"stranger", "~open:* &* +@all", func(cmd *command.Command) string { return keyDenied(keyed(cmd)) }},
	{"reader", "%R~* &* +@all", func(cmd *command.Command) string {
		return keyDenied(keyed(cmd) && cmd.Flags&command.Write != 0 && !contains(readCalledSo, cmd.Name))
	}},
	{"writer", "%W~* &* +@all", func(cmd *command.Command) string {
		reads := cmd.Flags&command.Write == 0 && !contains(tellLittle, cmd.Name) || contains(answerOld, cmd.Name)
		return keyDenied(keyed(cmd) && reads)
	}},
	{"selected", "~open:* &* +@all (~* nocommands) (+get +set ~*)", func(cmd *command.Command) string {
		return keyDenied(keyed(cmd) && cmd.Name != "get" && cmd.Name != "set")
	}},
	{"all", "~* &* +@all", func(*command.Command) string { return "" }},
}

func keyDenied(denied bool) string {
	if denied {
		return "NOPERM No permissions to access a key"
	}
	return ""
}

const secretKey = "secret:1"

// errorOf sends a command and returns the error, if it is one.
func errorOf(t *testing.T, c *nodetest.Client, words ...string) string {
	t.Helper()
	if v := c.Do(words...); v.IsError() {
		return string(v.Str)
	}
	return ""
}

func TestRightsOfEveryCommand(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{})
	root := cluster.Dial(0)
	root.Do("SET", secretKey, "treasure")
	before := root.Text("DUMP", secretKey)
	for _, u := range matrixUsers {
		if got := root.Text(append([]string{"ACL", "SETUSER", u.name, "on", "nopass"}, strings.Fields(u.rules)...)...); got != "OK" {
			t.Fatal(u.name, got)
		}
	}
	login := func(name string) *nodetest.Client {
		c := cluster.Dial(0)
		if got := c.Text("AUTH", name, "x"); got != "OK" {
			t.Fatal(name, got)
		}
		return c
	}
	table, looked := command.NewTable(), 0
	for _, top := range table.All() {
		for _, cmd := range append([]*command.Command{top}, top.Subs...) {
			if cmd.Container() || cmd.Flags&(command.NoAuth|command.Internal) != 0 {
				continue
			}
			words := sample(cmd, secretKey)
			for _, u := range matrixUsers {
				want := u.want(cmd)
				if want != "" && cmd.Name == "exec" {
					want = "EXECABORT Transaction discarded because of: " + want
				}
				if want == "" && (u.name != "all" || cmd.Flags&command.Write != 0) {
					continue // it would change the key; that rights let through is shown below
				}
				looked++
				c := login(u.name)
				if got := errorOf(t, c, words...); want == "" && strings.HasPrefix(got, "NOPERM") || want != "" && got != want {
					t.Errorf("%s: %q: %q, want %q", u.name, words, got, want)
				}
				if want != "" && cmd.Flags&command.AtOnce == 0 && u.name != "nobody" {
					c = login(u.name)
					if errorOf(t, c, "MULTI") != "" {
						t.Fatal("no MULTI")
					}
					if got := errorOf(t, c, words...); got != want {
						t.Errorf("%s in MULTI: %q: %q, want %q", u.name, words, got, want)
					}
					if got := errorOf(t, c, "EXEC"); !strings.HasPrefix(got, "EXECABORT") {
						t.Errorf("%s: EXEC behind %q: %q", u.name, words, got)
					}
				}
				c.Close()
			}
		}
	}
	if looked < 500 {
		t.Errorf("only %d looks", looked)
	}
	if after := root.Text("DUMP", secretKey); after != before {
		t.Errorf("the key has changed from %s to %s", before, after)
	}
}

// TestRightOfEachCommand takes one command from a user who may do all, and gives one
// to a user who may do nothing.
func TestRightOfEachCommand(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{})
	root := cluster.Dial(0)
	dry := func(user string, words []string) string {
		return strings.Trim(root.Text(append([]string{"ACL", "DRYRUN", user}, words...)...), `"`)
	}
	for i, top := range command.NewTable().All() {
		if testing.Short() && i%8 != 0 {
			continue // there are four requests for each, and the race detector sees the same
		}
		for _, cmd := range append([]*command.Command{top}, top.Subs...) {
			if cmd.Container() || cmd.Flags&command.NoAuth != 0 {
				continue
			}
			words := sample(cmd, "k")
			root.Do("ACL", "SETUSER", "most", "~*", "+@all", "-"+cmd.Name)
			root.Do("ACL", "SETUSER", "least", "~*", "&*", "-@all", "+"+cmd.Name)
			if got, want := dry("most", words), fmt.Sprintf("User most has no permissions to run the '%s' command", cmd.Name); got != want {
				t.Errorf("without %s: %s", cmd.Name, got)
			}
			if got := dry("least", words); got != "OK" {
				t.Errorf("with %s only: %s", cmd.Name, got)
			}
			if other := "ping"; cmd.Name != other && dry("least", []string{other}) == "OK" {
				t.Errorf("with %s only: %s may be called", cmd.Name, other)
			}
			if cmd.Name != "ping" && dry("most", []string{"ping"}) != "OK" {
				t.Errorf("without %s: ping may not be called", cmd.Name)
			}
		}
	}
}

// TestRightsToOtherKeys goes to keys in all other ways than naming them first.
func TestRightsToOtherKeys(t *testing.T) {
	t.Parallel()
	cluster := nodetest.Start(t, nodetest.Options{})
	root := cluster.Dial(0)
	root.Do("ACL", "SETUSER", "bob", "on", "nopass", "~open:*", "%R~shown:*", "+@all", "-@dangerous", "+sort", "+sort_ro")
	root.Do("ACL", "SETUSER", "eve", "on", "nopass", "~open:*", "-@all", "+multi", "+exec", "+get")
	root.Do("ACL", "SETUSER", "amy", "on", "nopass", "~open:*", "%R~*", "+sort")
	for _, cmd := range []string{"SET secret:1 treasure", "SET shown:1 1", "SET secret:w:a 3", "RPUSH open:l a b", "SADD secret:s x", "ZADD secret:z 1 x", "SADD open:s y"} {
		root.Do(strings.Fields(cmd)...)
	}
	before := root.Text("DUMP", "secret:1") + root.Text("DUMP", "shown:1") + root.Text("DUMP", "secret:s")
	const key = "NOPERM No permissions to access a key"
	no := func(user, name string) string {
		return fmt.Sprintf("NOPERM User %s has no permissions to run the '%s' command", user, name)
	}
	for _, c := range []struct{ user, line, want string }{
		{"bob", "SORT open:l BY secret:w:* ALPHA", "ERR BY option of SORT denied due to insufficient ACL permissions."},
		{"bob", "SORT open:l BY nosort GET secret:w:*", "ERR GET option of SORT denied due to insufficient ACL permissions."},
		{"bob", "SORT_RO open:l GET secret:w:*", "ERR GET option of SORT denied due to insufficient ACL permissions."},
		{"bob", "SORT_RO open:l GET #", "ERR GET option of SORT denied due to insufficient ACL permissions."},
		{"bob", "SORT open:l ALPHA LIMIT 0 GET STORE secret:x", key}, // GET is a number, and none
		{"bob", "SORT open:l ALPHA STORE secret:x", key},
		{"bob", "SORT open:l ALPHA STORE open:x STORE secret:x", key}, // the last one counts
		{"bob", "SORT open:l BY nosort ALPHA", ""},
		{"bob", "SORT open:l ALPHA STORE open:x", ""},
		{"amy", "SORT open:l BY secret:w:* GET secret:w:* STORE open:x", ""},
		{"amy", "SORT open:l STORE shown:1", key},
		{"bob", "COPY secret:1 open:c", key},
		{"bob", "COPY open:l secret:1 REPLACE", key},
		{"bob", "COPY shown:1 open:c", ""},
		{"bob", "COPY open:l shown:1 REPLACE", key},
		{"bob", "RENAME secret:1 open:r", key},
		{"bob", "RENAME open:l secret:1", key},
		{"bob", "RENAME shown:1 open:r", key},
		{"bob", "RENAMENX open:s secret:n", key},
		{"bob", "SINTERSTORE open:i secret:s", key},
		{"bob", "SUNIONSTORE secret:i open:s", key},
		{"bob", "SUNIONSTORE open:i open:s secret:s", key},
		{"bob", "SMOVE secret:s open:s x", key},
		{"bob", "SMOVE open:s secret:s y", key},
		{"bob", "ZUNIONSTORE open:z 1 secret:z", key},
		{"bob", "ZUNIONSTORE open:z 2 open:z secret:z WEIGHTS 1 1", key},
		{"bob", "ZUNIONSTORE open:z 99 secret:z", "ERR syntax error"}, // more keys than there are arguments
		{"bob", "ZRANGESTORE open:z secret:z 0 -1", key},
		{"bob", "ZINTER 1 secret:z", key},
		{"bob", "SINTERCARD 1 secret:s", key},
		{"bob", "LMPOP 2 open:l secret:l LEFT", key},
		{"bob", "LMOVE open:l secret:l LEFT LEFT", key},
		{"bob", "RPOPLPUSH open:l secret:l", key},
		{"bob", "MSET open:1 x secret:1 y", key},
		{"bob", "MSETNX open:1 x secret:n y", key},
		{"bob", "MGET open:1 secret:1", key},
		{"bob", "DEL open:1 secret:1", key},
		{"bob", "EXISTS open:1 secret:1", key},
		{"bob", "BITOP NOT open:b secret:1", key},
		{"bob", "BITOP NOT secret:1 open:b", key},
		{"bob", "LCS open:1 secret:1", key},
		{"bob", "SET shown:1 2", key},
		{"bob", "SET open:1 x GET", ""},
		{"bob", "GETSET shown:1 2", key},
		{"bob", "INCR shown:1", key},
		{"bob", "GETEX shown:1", key},
		{"bob", "EXPIRE shown:1 1", key},
		{"bob", "OBJECT ENCODING secret:1", key},
		{"bob", "OBJECT ENCODING shown:1", ""},
		{"bob", "MEMORY USAGE secret:1", key},
		{"bob", "DUMP secret:1", key},
		{"bob", "TYPE secret:1", key},
		{"bob", "WATCH secret:1", key},
		{"bob", "MOVE shown:1 1", key},
		{"bob", "DEBUG OBJECT secret:1", no("bob", "debug")},
		{"bob", "KEYS *", no("bob", "keys")},
		{"bob", "FLUSHALL", no("bob", "flushall")},
		{"bob", "FLUSHDB", no("bob", "flushdb")},
		{"bob", "SWAPDB 0 1", no("bob", "swapdb")},
		{"bob", "INFO", no("bob", "info")},
		{"bob", "CONFIG GET *", no("bob", "config|get")},
		{"bob", "CLIENT LIST", no("bob", "client|list")},
		{"bob", "CLIENT KILL ID 1", no("bob", "client|kill")},
		{"bob", "SLOWLOG GET", no("bob", "slowlog|get")},
		{"bob", "ACL LIST", no("bob", "acl|list")},
		{"bob", "ACL SETUSER bob allkeys", no("bob", "acl|setuser")},
		{"bob", "ACL LOG", no("bob", "acl|log")},
		{"bob", "ACL WHOAMI", ""},
		{"bob", "TUTTI.MAP", no("bob", "tutti.map")},
		{"bob", "TUTTI.STATUS", no("bob", "tutti.status")},
		{"bob", "TUTTI.INSPECT shown:1", "ERR TUTTI.INSPECT is what nodes say to each other. Not applied."},
		{"bob", "TUTTI.USER SET bob allkeys", "ERR TUTTI.USER SET is what nodes say to each other. Not applied."},
		{"bob", "TUTTI.FENCE 99", "ERR TUTTI.FENCE is what nodes say to each other. Not applied."},
		// As Redis has it, these take the right to the command only.
		{"bob", "SCAN 0", ""},
		{"bob", "RANDOMKEY", ""},
		{"bob", "DBSIZE", ""},
		{"bob", "CLUSTER KEYSLOT secret:1", ""},
		{"bob", "CLUSTER GETKEYSINSLOT 0 1", ""},
		{"eve", "SCAN 0", no("eve", "scan")},
		{"eve", "RANDOMKEY", no("eve", "randomkey")},
		{"eve", "DBSIZE", no("eve", "dbsize")},
		{"eve", "CLUSTER GETKEYSINSLOT 0 1", no("eve", "cluster|getkeysinslot")},
		{"eve", "CLUSTER INFO", no("eve", "cluster|info")},
		{"eve", "COMMAND COUNT", no("eve", "command|count")},
	} {
		client := cluster.Dial(0)
		client.Do("AUTH", c.user, "x")
		if got := errorOf(t, client, strings.Fields(c.line)...); got != c.want {
			t.Errorf("%s: %s: %q, want %q", c.user, c.line, got, c.want)
		}
		if strings.HasPrefix(c.want, "NOPERM") && c.line != "WATCH secret:1" && !strings.HasPrefix(c.line, "TUTTI.") {
			errorOf(t, client, "MULTI")
			if got := errorOf(t, client, strings.Fields(c.line)...); got != c.want {
				t.Errorf("%s in MULTI: %s: %q, want %q", c.user, c.line, got, c.want)
			}
		}
		client.Close()
	}
	if after := root.Text("DUMP", "secret:1") + root.Text("DUMP", "shown:1") + root.Text("DUMP", "secret:s"); after != before {
		t.Error("a key has changed that nobody may change")
	}
}
