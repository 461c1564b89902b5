package meta

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"tutti/internal/acl"
	"tutti/internal/keyspace"
)

func usersCatalog() *acl.Catalog {
	return acl.NewCatalog([]acl.Entry{{Name: "get", Categories: []string{"read"}}, {Name: "set"}}, []string{"read"})
}

func testUser(t testing.TB, name string, born uint64, rules string) *acl.User {
	t.Helper()
	u, err := acl.Change(usersCatalog(), nil, name, born, strings.Fields(rules))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func lines(s *acl.Set) string {
	var list []string
	for _, u := range s.All() {
		list = append(list, u.String())
	}
	return strings.Join(list, "\n")
}

// TestUsersGolden reads and writes the record of users as version 1 has it: disks
// and nodes of other ages have it too.
func TestUsersGolden(t *testing.T) {
	s := acl.NewSet(usersCatalog(), 7, []*acl.User{
		testUser(t, "bob", 5, "on #"+acl.SHA256([]byte("pw"))+" ~a %R~b +@read -get (~c +set)"), testUser(t, acl.Default, 0, "off")})
	enc := EncodeUsers(nil, s)
	want, err := os.ReadFile("testdata/users-1.hex")
	if err != nil || hex.Dump(enc) != string(want) {
		t.Errorf("%v\n%s", err, hex.Dump(enc))
	}
	got, err := DecodeUsers(usersCatalog(), enc)
	if err != nil || got.Epoch != 7 || lines(got) != lines(s) || got.User("bob").Born != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range enc {
		if _, err := DecodeUsers(usersCatalog(), enc[:i]); !errors.Is(err, ErrUsers) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
	if _, err := DecodeUsers(usersCatalog(), append(bytes.Clone(enc), 0)); !errors.Is(err, ErrUsers) {
		t.Errorf("with more behind it: %v", err)
	}
	enc[0] = 2
	if _, err := DecodeUsers(usersCatalog(), enc); !errors.Is(err, ErrUsers) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("%v", err)
	}
}

func FuzzDecodeUsers(f *testing.F) {
	f.Add(EncodeUsers(nil, acl.NewSet(usersCatalog(), 7, []*acl.User{testUser(f, "bob", 5, "on ~a +get (~c +set)")})))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeUsers(usersCatalog(), b)
		if err != nil {
			return
		}
		again, err := DecodeUsers(usersCatalog(), EncodeUsers(nil, s))
		if err != nil || again.Epoch != s.Epoch || lines(again) != lines(s) {
			t.Fatalf("%s becomes %v, %v", lines(s), again, err)
		}
	})
}

func TestChangeUsers(t *testing.T) {
	s := begun(t)
	begin := func() *UserChange {
		x, err := BeginUsers(keyspace.NewTx(s, keyspace.Env{Databases: keyspace.NewDatabases()}), usersCatalog())
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	apply := func(x *UserChange) {
		x.tx.Effects(func(row, val []byte) { s[string(row)] = bytes.Clone(val) }, func(row []byte) { delete(s, string(row)) })
	}
	put := func(name, rules string) uint64 {
		t.Helper()
		x := begin()
		epoch, err := x.Put(name, strings.Fields(rules))
		if err != nil {
			t.Fatal(err)
		}
		apply(x)
		return epoch
	}
	for _, step := range []struct {
		name, rules string
		epoch       uint64
	}{
		{"bob", "on ~a +get", 2}, {"bob", "", 2}, {"bob", "~a", 2}, {"bob", "+set", 3}, {"amy", "", 4}, {acl.Default, "", 4}, {acl.Default, "off", 5},
	} {
		if got := put(step.name, step.rules); got != step.epoch {
			t.Errorf("%+v: epoch %d", step, got)
		}
	}
	x := begin()
	if x.Set.User("bob").Born != 2 || x.Set.User("amy").Born != 4 || x.Set.Default().Born != 0 || !x.Set.Default().NeedsLogin() {
		t.Error(lines(x.Set))
	}
	if _, err := x.Put("bob", []string{"foo"}); err == nil {
		t.Error("a wrong rule is taken")
	}
	if _, _, err := x.Delete([]string{"bob", acl.Default}); err == nil || !x.tx.Empty() {
		t.Errorf("the default user was removed: %v", err)
	}
	if n, epoch, err := x.Delete([]string{"nobody"}); n != 0 || epoch != 5 || err != nil {
		t.Error(n, epoch, err)
	}
	if n, epoch, err := x.Delete([]string{"bob", "amy", "bob"}); n != 2 || epoch != 6 || err != nil {
		t.Error(n, epoch, err)
	}
	apply(x)
	if put("bob", "") != 7 || begin().Set.User("bob").Born != 7 {
		t.Error("a user that was deleted and made again is the same")
	}
	if got, err := UserEpoch(s); got != 7 || err != nil {
		t.Error(got, err)
	}
	// Rows that were written are those that a cluster may begin with.
	for _, row := range UserRows(begin().Set) {
		if val, ok, _ := s.Get(row.Key, nil); !ok || !bytes.Equal(val, row.Val) {
			t.Errorf("row %q: %q", row.Key, val)
		}
	}
}

// There is always somebody who can change users, if there was: a cluster that nobody may
// administer can't be mended.
func TestSomebodyCanChangeUsers(t *testing.T) {
	c := acl.NewCatalog([]acl.Entry{{Name: "get"}, {Name: "acl", Categories: []string{"admin"}}, {Name: "acl|setuser", Categories: []string{"admin"}}}, []string{"admin"})
	user := func(name, rules string) *acl.User {
		u, err := acl.Change(c, nil, name, 1, strings.Fields(rules))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	hash := "#" + acl.SHA256([]byte("pw"))
	admin := user("admin", "on "+hash+" ~* &* +@all")
	off := user(acl.Default, "off")
	app := user("app", "on "+hash+" ~* +get")
	for _, x := range []struct {
		users   []*acl.User
		name    string // whose rules change; empty: gone go
		rules   string
		gone    []string
		refused bool
	}{
		{[]*acl.User{admin, off, app}, "", "", []string{"admin"}, true},
		{[]*acl.User{admin, off, app}, "", "", []string{"app", "admin", "nobody"}, true},
		{[]*acl.User{admin, off, app}, "", "", []string{"app"}, false},
		{[]*acl.User{admin, off, app}, "admin", "off", nil, true},
		{[]*acl.User{admin, off, app}, "admin", "resetpass", nil, true},
		{[]*acl.User{admin, off, app}, "admin", "-@admin", nil, true},
		{[]*acl.User{admin, off, app}, "admin", "-acl|setuser", nil, true},
		{[]*acl.User{admin, off, app}, "admin", "reset", nil, true},
		{[]*acl.User{admin, off, app}, "admin", "-get", nil, false},
		{[]*acl.User{admin, off, app}, "admin", "resetpass #" + acl.SHA256([]byte("other")), nil, false},
		{[]*acl.User{admin, off, user("ops", "on "+hash+" (~* +acl)")}, "", "", []string{"admin"}, false},
		{[]*acl.User{admin, off, user("ops", "off "+hash+" ~* +acl")}, "", "", []string{"admin"}, true},
		{[]*acl.User{admin, off, user("ops", "on ~* +acl")}, "", "", []string{"admin"}, true}, // without a password
		{[]*acl.User{admin}, "", "", []string{"admin"}, false},                                // default may do everything
		{nil, acl.Default, "off", nil, true},
		{nil, acl.Default, "resetpass " + hash, nil, false},
		{[]*acl.User{off, app}, "", "", []string{"app"}, false}, // nobody could before
	} {
		s := begun(t)
		for _, row := range UserRows(acl.NewSet(c, 5, x.users)) {
			s[string(row.Key)] = row.Val
		}
		change, err := BeginUsers(keyspace.NewTx(s, keyspace.Env{Databases: keyspace.NewDatabases()}), c)
		if err != nil {
			t.Fatal(err)
		}
		if x.name != "" {
			_, err = change.Put(x.name, strings.Fields(x.rules))
		} else {
			_, _, err = change.Delete(x.gone)
		}
		if refused := errors.Is(err, ErrNotAllowed); refused != x.refused || err != nil && !refused {
			t.Errorf("%s: %s %s, gone %v: %v", lines(change.Set), x.name, x.rules, x.gone, err)
		}
		changed := false
		change.tx.Effects(func([]byte, []byte) { changed = true }, func([]byte) { changed = true })
		if x.refused && changed {
			t.Errorf("%s %s, gone %v: refused, and changed", x.name, x.rules, x.gone)
		}
	}
}
