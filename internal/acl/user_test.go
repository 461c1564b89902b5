package acl_test

import (
	"strings"
	"testing"

	"tutti/internal/acl"
	"tutti/internal/command"
)

func user(t testing.TB, table *command.Table, rules string) *acl.User {
	t.Helper()
	u, err := acl.Change(table.Catalog(), nil, "x", 1, strings.Fields(rules))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// check looks whether a user may execute a command.
func check(t testing.TB, table *command.Table, u *acl.User, line string) acl.Denial {
	t.Helper()
	var args [][]byte
	for _, w := range strings.Fields(line) {
		args = append(args, []byte(w))
	}
	cmd, text := table.Lookup(args)
	if cmd == nil {
		t.Fatalf("%s: %s", line, text)
	}
	return u.Check(cmd.ID(), cmd.Flags&command.NoAuth != 0, args, cmd.KeyRights(nil, args), cmd.ChannelRights(args))
}

func TestCheck(t *testing.T) {
	table := command.NewTable()
	none := acl.Denial{}
	byCommand := acl.Denial{Why: acl.DeniedCommand}
	byKey := func(at int) acl.Denial { return acl.Denial{Why: acl.DeniedKey, At: at} }
	for _, c := range []struct {
		rules, line string
		want        acl.Denial
	}{
		{"allkeys allcommands allchannels", "GET a", none},
		{"+get", "GET a", byKey(1)},
		{"~*", "GET a", byCommand},
		{"~a* +get", "GET ab", none},
		{"~a* +get", "GET b", byKey(1)},
		{"~a +mset", "MSET a 1 b 2", byKey(3)},
		{"~a ~b +mset", "MSET a 1 b 2", none},
		{"+auth -auth", "AUTH x", none}, // anybody may
		{"%R~a +@all", "GET a", none},
		{"%R~a +@all", "SET a 1", byKey(1)},
		{"%W~a +@all", "SET a 1", none},
		{"%W~a +@all", "SET a 1 GET", byKey(1)},
		{"%W~a +@all", "GETSET a 1", byKey(1)},
		{"%W~a +@all", "EXISTS a", none}, // asks only
		{"%W~a +@all", "BITFIELD a SET u8 0 1", byKey(1)},
		{"%R~a +@all", "BITFIELD a GET u8 0", none},
		{"%R~a +@all", "BITFIELD a OVERFLOW WRAP GET u8 0 SET u8 0 1", byKey(1)},
		{"%R~a %W~b +@all", "COPY a b", none},
		{"%R~a %W~b +@all", "COPY b a", byKey(1)},
		{"%R~a %W~b +@all", "RENAME a b", byKey(1)},
		{"~a %W~b +@all", "RENAME a b", none},
		{"%R~a %W~b +@all", "SORT a STORE b", none},
		{"%R~a %W~b +@all", "SORT b STORE a", byKey(1)},
		{"%R~a %W~b +@all", "ZUNIONSTORE b 1 a", none},
		{"%R~a %W~b +@all", "ZUNIONSTORE a 1 b", byKey(1)},
		{"~b +@all", "ZUNIONSTORE b 2 b a", byKey(4)},
		{"~a +select|0", "SELECT 0", none},
		{"~a +select|0", "SELECT 1", byCommand},
		{"~a +@all -select +select|0", "SELECT 1", byCommand},
		{"~* +config|get", "CONFIG GET x", none},
		{"~* +config|get", "CONFIG SET x y", byCommand},
		{"~* +config -config|set", "CONFIG SET x y", byCommand},
		{"~* +@all -config", "CONFIG GET x", byCommand},
		{"~* +@all -@dangerous", "KEYS *", byCommand},
		{"~* +@read", "SCAN 0", none},
		{"~a +get (~b +set)", "GET a", none},
		{"~a +get (~b +set)", "SET b 1", none},
		{"~a +get (~b +set)", "GET b", byKey(1)},
		{"~a +get (~b +set)", "DEL b", byCommand},
		{"~a +mset (~b +mset)", "MSET a 1 b 2", byKey(3)}, // one selector allows all of it
		{"%R~a +@all (%W~a +@all)", "GETSET a 1", byKey(1)},
		{"%R~* +@all", "GET x", none},
		{"+@all ~[ab]", "GET b", none},
		{"+@all ~[ab]", "GET c", byKey(1)},
	} {
		if got := check(t, table, user(t, table, c.rules), c.line); got != c.want {
			t.Errorf("%s: %s: %v, want %v", c.rules, c.line, got, c.want)
		}
	}
}

func TestReadsAll(t *testing.T) {
	table := command.NewTable()
	sort := table.Find([]byte("sort"))
	args := [][]byte{[]byte("SORT"), []byte("a"), []byte("GET"), []byte("b*")}
	for rules, want := range map[string]bool{
		"~* +sort": true, "%R~* +sort": true, "%W~* +sort": false, "~a* +sort": false, "~a +sort (~* +get)": false, "~x +get (%R~* +sort)": true,
	} {
		if got := user(t, table, rules).ReadsAll(sort.ID(), args, sort.KeyRights(nil, args)); got != want {
			t.Errorf("%s: %v", rules, got)
		}
	}
}

// TestChangeLeavesOld changes a user and looks whether the old one is as it was.
func TestChangeLeavesOld(t *testing.T) {
	table := command.NewTable()
	old := user(t, table, "on ~a &b +get +select|0 -set (~x +get)")
	was := old.String()
	for _, rules := range []string{"~c &d +set -get +select|1", "reset", "clearselectors (~y) (~z)", "+@all allkeys allchannels", "-@all resetkeys resetchannels"} {
		if _, err := acl.Change(table.Catalog(), old, "x", 2, strings.Fields(rules)); err != nil {
			t.Fatal(err)
		}
		if old.String() != was || check(t, table, old, "SELECT 1") == (acl.Denial{}) {
			t.Errorf("%s changed %s to %s", rules, was, old)
		}
	}
}

func TestHolder(t *testing.T) {
	c := command.NewTable().Catalog()
	h := acl.NewHolder(acl.Nobody(c))
	calls := 0
	h.Changed(func() { calls++ })
	if !h.Set().Default().NeedsLogin() {
		t.Error("nobody knows the users, and anybody is let in")
	}
	for _, s := range []struct {
		epoch uint64
		want  bool
	}{{1, true}, {1, false}, {3, true}, {2, false}} {
		if got := h.Replace(acl.NewSet(c, s.epoch, nil)); got != s.want {
			t.Errorf("epoch %d: %v", s.epoch, got)
		}
	}
	if calls != 2 || h.Set().Epoch != 3 || h.Set().Default().NeedsLogin() {
		t.Errorf("%d calls, %+v", calls, h.Set())
	}
}

func BenchmarkCheck(b *testing.B) {
	table := command.NewTable()
	args := [][]byte{[]byte("GET"), []byte("app:1")}
	get := table.Find([]byte("get"))
	for name, rules := range map[string]string{"all": "allkeys allcommands allchannels", "pattern": "~other:* ~app:* +get"} {
		b.Run(name, func(b *testing.B) {
			h := acl.NewHolder(acl.NewSet(table.Catalog(), 1, []*acl.User{user(b, table, "on "+rules)}))
			set := h.Set()
			u := set.User("x")
			b.ReportAllocs()
			for b.Loop() {
				if h.Set() == set && u.Everything() {
					continue
				}
				var buf [8]acl.Key
				if d := u.Check(get.ID(), false, args, get.KeyRights(buf[:0], args), acl.Channels{}); d.Why != acl.Allowed {
					b.Fatal(d)
				}
			}
		})
	}
}
