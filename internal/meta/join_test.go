package meta

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/trust"
)

// authorized is begun with an authority that signs.
func authorized(t *testing.T) (rows, *trust.CA) {
	t.Helper()
	r := begun(t)
	ca, err := trust.NewCA("c", time.Unix(1_700_000_000, 0), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	row, err := AuthorityRow(Authority{ID: 1, State: Signing, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	r[string(row.Key)] = row.Val
	return r, ca
}

// changeAt is change at a time of the shard.
func (r rows) changeAt(t *testing.T, now int64, f func(c *Change) error) error {
	t.Helper()
	tx := keyspace.NewTx(r, keyspace.Env{Databases: keyspace.NewDatabases(), Now: now})
	c, err := Begin(tx)
	if err != nil {
		t.Fatal(err)
	}
	if err := f(c); err != nil {
		return err
	}
	tx.Effects(func(row, val []byte) { r[string(row)] = bytes.Clone(val) }, func(row []byte) { delete(r, string(row)) })
	return nil
}

func (r rows) token(t *testing.T, now int64, ttl time.Duration, uses uint64, role cluster.Role) (made trust.Token) {
	t.Helper()
	if err := r.changeAt(t, now, func(c *Change) (err error) { made, err = c.CreateToken(ttl, uses, role); return err }); err != nil {
		t.Fatal(err)
	}
	return made
}

// asking is what a machine asks with a token.
func asking(t *testing.T, token trust.Token, name string) trust.JoinRequest {
	t.Helper()
	request, err := trust.NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := trust.JoinRequest{Token: token.ID, Request: request.Bytes(), Name: name, Peer: name + ":7379", Client: name + ":6379",
		Hosts: []string{name}, Version: cluster.Newest}
	return proved(token, r)
}

func proved(token trust.Token, r trust.JoinRequest) trust.JoinRequest {
	r.Proof = token.Key().Prove(exporter, r)
	return r
}

var exporter = []byte("what both ends know")

func (r rows) join(t *testing.T, now int64, q trust.JoinRequest) (answer trust.JoinAnswer, err error) {
	t.Helper()
	err = r.changeAt(t, now, func(c *Change) (err error) { answer, err = c.Join(q, exporter); return err })
	return answer, err
}

// TestTokenIsUsedUp lets as many machines in as a token is for, each as a node of
// its own, and the same machine as often as it asks.
func TestTokenIsUsedUp(t *testing.T) {
	r, ca := authorized(t)
	token := r.token(t, 1000, time.Hour, 2, cluster.Storage)
	if token.Pin != ca.Pin() {
		t.Error("the token is of another authority")
	}
	first := asking(t, token, "ada")
	for _, q := range []trust.JoinRequest{first, first, asking(t, token, "bob"), first} {
		answer, err := r.join(t, 2000, q)
		if err != nil {
			t.Fatal(err)
		}
		want := cluster.NodeID(3)
		if q.Name == "bob" {
			want = 4
		}
		m, err := cluster.DecodeMap(answer.Map)
		if err != nil || answer.Node != want || answer.Time != 2000 || len(answer.CA) == 0 || len(answer.Service) == 0 {
			t.Fatalf("%s: %+v, %v, want node %d", q.Name, answer, err, want)
		}
		x, ok := m.Member(want)
		if stored, _ := r.load(t).Member(want); !ok || x.Name != q.Name || x != stored {
			t.Errorf("member %+v, stored %+v", x, stored)
		}
	}
	if _, err := r.join(t, 2000, asking(t, token, "eve")); !errors.Is(err, ErrTokenUsed) {
		t.Errorf("a third machine: %v", err)
	}
	// Once the node was removed its key is nobody's.
	if err := r.change(t, func(c *Change) error { return c.RemoveMember(3) }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.join(t, 2000, first); !errors.Is(err, ErrTokenUsed) {
		t.Errorf("a machine that was removed: %v", err)
	}
	again := r.token(t, 3000, time.Hour, 1, cluster.Storage)
	if answer, err := r.join(t, 3000, proved(again, trust.JoinRequest{Token: again.ID, Request: first.Request, Name: "ada", Peer: "ada:1", Client: "ada:2", Version: cluster.Newest})); err != nil || answer.Node != 5 {
		t.Errorf("it joins anew as node %d, %v", answer.Node, err)
	}
}

// TestJoinIsRefused comes with everything that is wrong: nothing changes.
func TestJoinIsRefused(t *testing.T) {
	r, _ := authorized(t)
	token := r.token(t, 1000, time.Minute, 1, cluster.Storage)
	gone := r.token(t, 1000, time.Minute, 1, cluster.Storage)
	if err := r.changeAt(t, 1000, func(c *Change) error { return c.RevokeToken(gone.ID) }); err != nil {
		t.Fatal(err)
	}
	if err := r.changeAt(t, 1000, func(c *Change) error {
		_, err := c.SetMember(cluster.Member{Name: "cy", Peer: "cy:7379", Version: cluster.Newest})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	with := func(change func(q *trust.JoinRequest)) trust.JoinRequest {
		q := asking(t, token, "ada")
		change(&q)
		return proved(token, q)
	}
	for _, c := range []struct {
		what string
		now  int64
		q    trust.JoinRequest
		want error
	}{
		{"revoked", 1000, asking(t, gone, "ada"), ErrTokenUnknown},
		{"not proved", 1000, func() trust.JoinRequest { q := asking(t, token, "ada"); q.Name = "eve"; return q }(), ErrTokenProof},
		{"at the end", 61_000, asking(t, token, "ada"), ErrTokenExpired},
		{"another role", 1000, with(func(q *trust.JoinRequest) { q.Role = cluster.Gateway }), ErrTokenRole},
		{"a name that is taken", 1000, with(func(q *trust.JoinRequest) { q.Name = "cy" }), ErrNameTaken},
		{"an address that is taken", 1000, with(func(q *trust.JoinRequest) { q.Peer = "cy:7379" }), ErrAddressTaken},
		{"no name", 1000, with(func(q *trust.JoinRequest) { q.Name = "" }), cluster.ErrName},
		{"a name for a terminal", 1000, with(func(q *trust.JoinRequest) { q.Name = "\x1b[2J" }), cluster.ErrName},
		{"a zone that is none", 1000, with(func(q *trust.JoinRequest) { q.Zone = "z 1" }), cluster.ErrName},
		{"an old version", 1000, with(func(q *trust.JoinRequest) { q.Version = cluster.Newest - 1 }), ErrNotAllowed},
		{"no request", 1000, with(func(q *trust.JoinRequest) { q.Request = nil }), trust.ErrRequest},
		{"hosts that are none", 1000, with(func(q *trust.JoinRequest) { q.Hosts = []string{"*"} }), trust.ErrHost},
	} {
		before := len(r)
		epoch := r.load(t).Epoch
		if answer, err := r.join(t, c.now, c.q); !errors.Is(err, c.want) {
			t.Errorf("%s: node %d, %v, want %v", c.what, answer.Node, err, c.want)
		}
		if len(r) != before || r.load(t).Epoch != epoch {
			t.Errorf("%s: something has changed", c.what)
		}
	}
	if _, err := r.join(t, 60_999, asking(t, token, "ada")); err != nil {
		t.Errorf("in time: %v", err)
	}
}

// TestTokensAreForgotten keeps what has expired for a day.
func TestTokensAreForgotten(t *testing.T) {
	r, _ := authorized(t)
	day := (24 * time.Hour).Milliseconds()
	old := r.token(t, 0, time.Second, 1, cluster.Gateway)
	for now, want := range map[int64]int{day: 2, day + 1002: 1} {
		s := make(rows)
		for k, v := range r {
			s[k] = v
		}
		s.token(t, now, time.Hour, 1, cluster.Storage)
		list, err := LoadTokens(s)
		if err != nil || len(list) != want {
			t.Errorf("at %d: %+v, %v, want %d", now, list, err, want)
		}
	}
	list, err := LoadTokens(r)
	if err != nil || len(list) != 1 || list[0] != (Token{ID: old.ID, Role: cluster.Gateway, Expires: 1000, Uses: 1, Key: old.Key()}) {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestTokensAreBounded makes one too many.
func TestTokensAreBounded(t *testing.T) {
	r, _ := authorized(t)
	for i := range tokensMax {
		x := Token{ID: trust.TokenID{byte(i), byte(i >> 8)}, Expires: 1000}
		r[string(tokenRow(x.ID))] = x.encode()
	}
	if err := r.changeAt(t, 0, func(c *Change) error { _, err := c.CreateToken(time.Hour, 1, cluster.Storage); return err }); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("%v", err)
	}
}

// TestAuthorities has one authority replace another.
func TestAuthorities(t *testing.T) {
	r, first := authorized(t)
	second, err := trust.NewCA("c", time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]Authority{{{2, Prepared, second}}, {{1, Retiring, first}, {2, Signing, second}}} {
		if err := r.change(t, func(c *Change) error {
			for _, a := range list {
				if err := c.SetAuthority(a); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.change(t, func(c *Change) error {
			a, err := c.Signing()
			text, terr := c.Trusted()
			if want := list[len(list)-1].State == Signing; (a.ID == 2) != want || strings.Count(string(text), "BEGIN") != 2 {
				t.Errorf("authority %d signs, trusted are %s", a.ID, text)
			}
			return errors.Join(err, terr)
		}); err != nil {
			t.Error(err)
		}
	}
	none := begun(t)
	if err := none.change(t, func(c *Change) error { _, err := c.Signing(); return err }); !errors.Is(err, ErrNoAuthority) {
		t.Errorf("without: %v", err)
	}
}

// TestJoinGolden reads rows as the first version wrote them, and writes them as
// they are.
func TestJoinGolden(t *testing.T) {
	read := func(name string) []byte {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	row := read("authority-1.hex")
	a, err := decodeAuthority(be.AppendUint64(nil, 7), row)
	if err != nil || a.ID != 7 || a.State != Signing || a.CA.Cluster != "c" {
		t.Fatalf("%+v, %v", a, err)
	}
	if again, err := AuthorityRow(a); err != nil || !bytes.Equal(again.Val, row) {
		t.Errorf("%x, %v", again.Val, err)
	}
	row = read("token-1.hex")
	want := Token{ID: trust.TokenID{1, 2, 3, 4, 5}, Role: cluster.Gateway, Created: 1000, Expires: 3_601_000, Uses: 300, Key: trust.JoinKey{9, 31: 8}}
	if x, err := decodeToken(want.ID[:], row); err != nil || x != want || !bytes.Equal(want.encode(), row) {
		t.Errorf("%+v, %v, written as %x", x, err, want.encode())
	}
}

// FuzzJoinRows reads any bytes as the rows of authorities and tokens.
func FuzzJoinRows(f *testing.F) {
	for _, name := range []string{"authority-1.hex", "token-1.hex"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := decodeToken([]byte("five!"), b); err == nil {
			if again, err := decodeToken([]byte("five!"), x.encode()); err != nil || again != x {
				t.Errorf("%+v becomes %+v, %v", x, again, err)
			}
		}
		if a, err := decodeAuthority(make([]byte, 8), b); err == nil {
			row, err := AuthorityRow(a)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := decodeAuthority(make([]byte, 8), row.Val); err != nil || again.State != a.State {
				t.Errorf("%+v becomes %+v, %v", a, again, err)
			}
		}
	})
}
