package acl_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

var fromRedis = flag.Bool("redis", false, "ask a redis-server of version 7.0 for the replies in testdata/grammar.txt; read the difference")

// grammarFile has cases of a line "> RULES" each: arguments of ACL SETUSER for a new
// user, as redis-cli would be given them. "< " is what redis-server 7.0.15 says: the
// line of ACL LIST, or the error. "= ", by hand, is what it is to be where 7.2 says
// something else: it keeps the rules about commands in their order, 7.0 makes up
// others that mean the same, and what sanitize-payload is about is shown.
const grammarFile = "testdata/grammar.txt"

// lineOf is what is said of a user made by rules.
func lineOf(c *acl.Catalog, rules []string) string {
	u, err := acl.Change(c, nil, "x", 1, hashed(slices.Clone(rules)))
	if wrong, ok := errors.AsType[*acl.ModifierError](err); ok && !slices.Contains(rules, wrong.Rule) {
		i := slices.Index(hashed(slices.Clone(rules)), wrong.Rule)
		if i >= 0 {
			wrong.Rule = rules[i]
		}
	}
	if err != nil {
		return "ERR " + err.Error()
	}
	return u.String()
}

func TestGrammar(t *testing.T) {
	text, err := os.ReadFile(grammarFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if *fromRedis {
		lines = askRedis(t, lines)
		if err := os.WriteFile(grammarFile, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	catalog := command.NewTable().Catalog()
	rules, cases := "", 0
	for i, line := range lines {
		switch kind, rest := line[:min(2, len(line))], line[min(2, len(line)):]; kind {
		case "> ":
			rules = rest
		case "< ", "= ":
			if kind == "< " && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "= ") {
				continue // 7.2 says something else
			}
			cases++
			if got := strings.Replace(lineOf(catalog, wordsOf(t, rules)), " sanitize-payload", "", 1); got != rest {
				t.Errorf("%s\n got %s\nwant %s", rules, got, rest)
			}
			restored(t, catalog, rules)
		}
	}
	if cases < 50 {
		t.Errorf("only %d cases", cases)
	}
}

// restored checks that a user is made again of its own rules.
func restored(t *testing.T, catalog *acl.Catalog, rules string) {
	t.Helper()
	u, err := acl.Change(catalog, nil, "x", 1, hashed(wordsOf(t, rules)))
	if err != nil {
		return
	}
	again, err := acl.Restore(catalog, "x", 1, u.Rules())
	if err != nil || !slices.Equal(again.Rules(), u.Rules()) {
		t.Errorf("%s: restored %v, %v", u, again, err)
	}
	if u, err = acl.Change(catalog, nil, "x", 1, u.Rules()); err != nil || u.String() != again.String() {
		t.Errorf("%s: changed by its own rules to %v, %v", again, u, err)
	}
}

// hashed replaces passwords by their hashes, as nodes do.
func hashed(rules []string) []string {
	for i, r := range rules {
		switch {
		case strings.HasPrefix(r, ">"):
			rules[i] = "#" + acl.SHA256([]byte(r[1:]))
		case strings.HasPrefix(r, "<"):
			rules[i] = "!" + acl.SHA256([]byte(r[1:]))
		}
	}
	return rules
}

// wordsOf splits a line as redis-cli would.
func wordsOf(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// askRedis writes anew what redis-server says.
func askRedis(t *testing.T, lines []string) (out []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	server := exec.CommandContext(t.Context(), "redis-server", "--port", port, "--save", "", "--loglevel", "notice")
	logs, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	for s := bufio.NewScanner(logs); s.Scan() && !strings.Contains(s.Text(), "Ready to accept"); {
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	conn := respclient.New(nc)
	do := func(args ...string) resp.Value {
		v, err := conn.Do(args...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "< ") {
			continue
		}
		out = append(out, line)
		if rules, ok := strings.CutPrefix(line, "> "); ok {
			do("ACL", "DELUSER", "x")
			answer := string(do(append([]string{"ACL", "SETUSER", "x"}, wordsOf(t, rules)...)...).Str)
			if answer == "OK" {
				for _, u := range do("ACL", "LIST").Elems {
					if bytes.HasPrefix(u.Str, []byte("user x ")) {
						answer = string(u.Str)
					}
				}
			}
			out = append(out, "< "+answer)
		}
	}
	return out
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{"bob": true, "": true, "a b": false, "a\x00": false, "a\tb": false, strings.Repeat("x", acl.NameLenMax+1): false} {
		if err := acl.NameError(name); (err == nil) != ok {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

// TestLaterVersion restores a user with rules that this version does not know.
func TestLaterVersion(t *testing.T) {
	catalog := command.NewTable().Catalog()
	rules := []string{"on", "sanitize-payload", "~*", "resetchannels", "-@all", "+@nosuch", "+nosuch", "+get", "(~a resetchannels -@all +nosuch|sub)"}
	u, err := acl.Restore(catalog, "x", 1, rules)
	if err != nil || !slices.Equal(u.Rules(), rules) {
		t.Errorf("%v, %v", u, err)
	}
	var wrong *acl.ModifierError
	if _, err := acl.Restore(catalog, "x", 1, []string{"what"}); !errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
}

func TestLimits(t *testing.T) {
	catalog := command.NewTable().Catalog()
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf("~key:%06d", i))
	}
	if _, err := acl.Change(catalog, nil, "x", 1, many); !errors.Is(err, acl.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func FuzzRules(f *testing.F) {
	table := command.NewTable()
	catalog := table.Catalog()
	for _, seed := range []string{"on ~a +get", "(~a +get) (%R~b", "+config|get -@all", "#$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$", "+select|0 ~* allkeys"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := acl.Change(catalog, nil, "x", 1, strings.Split(text, " "))
		if err != nil {
			return
		}
		again, err := acl.Restore(catalog, "x", 1, u.Rules())
		if err != nil || !slices.Equal(again.Rules(), u.Rules()) {
			t.Fatalf("%q: restored %v, %v", u, again, err)
		}
		for _, cmd := range []string{"get", "config|get", "select"} {
			c := table.Find([]byte(cmd))
			args := [][]byte{[]byte("X"), []byte("0"), []byte("a")}
			if a, b := u.Check(c.ID(), false, args, nil, acl.Channels{}), again.Check(c.ID(), false, args, nil, acl.Channels{}); a != b {
				t.Fatalf("%q: %v, restored %v", u, a, b)
			}
		}
	})
}
