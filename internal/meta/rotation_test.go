package meta

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/trust"
)

// withAuthority is begun with an authority, whose members have identities.
func withAuthority(t *testing.T) (rows, map[cluster.NodeID]*trust.Identity) {
	t.Helper()
	r := begun(t)
	ca, err := trust.NewCA("c", time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	row, err := AuthorityRow(Authority{ID: 1, State: Signing, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	r[string(row.Key)] = row.Val
	idents := make(map[cluster.NodeID]*trust.Identity)
	for _, id := range []cluster.NodeID{1, 2} {
		if idents[id], err = ca.IssueNode(id, time.Now(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	return r, idents
}

// renew does what a node does that sees a new generation, but for confirming it.
func (r rows) renew(t *testing.T, old *trust.Identity) (next *trust.Identity, h Has) {
	t.Helper()
	request, err := old.Renewal(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var s Certificates
	err = r.change(t, func(c *Change) (err error) {
		s, err = Certs{c}.Certify(old.NodeID, request.Bytes(), []string{"localhost"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if next, err = request.Identity(s.CA, s.Node); err == nil {
		next, err = next.WithService(s.Service)
	}
	if err != nil {
		t.Fatalf("node %d can't use what was signed: %v", old.NodeID, err)
	}
	return next, Has{Generation: s.Generation, Expires: next.Expires().UnixMilli()}
}

func (r rows) confirm(t *testing.T, id cluster.NodeID, h Has) {
	t.Helper()
	if err := r.change(t, func(c *Change) error { return Certs{c}.Confirm(id, h) }); err != nil {
		t.Fatal(err)
	}
}

func (r rows) states(t *testing.T) string {
	t.Helper()
	list, err := LoadAuthorities(r)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, a := range list {
		states = append(states, a.State.String())
	}
	return strings.Join(states, " ")
}

// TestRotation has each phase wait for both members, and each member trust at any
// time what the other shows.
func TestRotation(t *testing.T) {
	r, idents := withAuthority(t)
	rotate := func(c *Change) error { return Certs{c}.Rotate() }
	if err := r.change(t, rotate); err != nil {
		t.Fatal(err)
	}
	if err := r.change(t, rotate); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("a second rotation at the same time: %v", err)
	}
	for i, want := range []string{"prepared signing", "retiring signing", "signing"} {
		// The new authority has the higher id, so it stands behind.
		got := strings.Fields(r.states(t))
		if i == 0 && strings.Join(got, " ") != "signing prepared" || i > 0 && strings.Join(got, " ") != want {
			t.Fatalf("phase %d: the authorities are %v", i, got)
		}
		generation := r.load(t).Trust
		if generation != uint64(i+1) {
			t.Fatalf("phase %d: generation %d", i, generation)
		}
		for _, id := range []cluster.NodeID{1, 2} {
			other := idents[3-id]
			next, h := r.renew(t, idents[id])
			if err := next.Accepts(other); err != nil {
				t.Fatalf("phase %d: node %d does not trust node %d: %v", i, id, other.NodeID, err)
			}
			if err := other.Accepts(next); err != nil {
				t.Fatalf("phase %d: node %d does not trust node %d: %v", i, other.NodeID, id, err)
			}
			idents[id] = next
			if now := r.load(t).Trust; now != generation {
				t.Fatalf("phase %d ended before node %d confirmed it", i, id)
			}
			r.confirm(t, id, h)
			r.confirm(t, id, h) // as of a node that did not hear the answer
		}
	}
	if m := r.load(t); m.Trust != 3 || r.states(t) != "signing" {
		t.Errorf("at the end: generation %d, %s", m.Trust, r.states(t))
	}
	stranger, _ := withAuthority(t)
	foreign, _ := stranger.renew(t, mustIssue(t, stranger))
	if idents[1].Accepts(foreign) == nil {
		t.Error("another authority is trusted too")
	}
}

func mustIssue(t *testing.T, r rows) *trust.Identity {
	t.Helper()
	list, err := LoadAuthorities(r)
	if err != nil {
		t.Fatal(err)
	}
	ident, err := list[0].CA.IssueNode(1, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ident
}

func TestRotationGoesOnWithoutANodeThatWasRemoved(t *testing.T) {
	r, idents := withAuthority(t)
	if err := r.change(t, func(c *Change) error { return Certs{c}.Rotate() }); err != nil {
		t.Fatal(err)
	}
	_, h := r.renew(t, idents[1])
	r.confirm(t, 1, h)
	if got := r.states(t); got != "signing prepared" {
		t.Fatalf("it does not wait for node 2: %s", got)
	}
	for _, row := range Rows(r.load(t)) { // nothing is left on node 2
		if row.Key[len(keyspace.MetaRow(0))-1] == rowShard {
			d, err := cluster.DecodeDescriptor(row.Val)
			if err != nil {
				t.Fatal(err)
			}
			d.Replicas, d.Generation = d.Replicas[:1], d.Generation+1
			r[string(row.Key)] = d.Encode(nil)
		}
	}
	if err := r.change(t, func(c *Change) error { return c.RemoveMember(2) }); err != nil {
		t.Fatal(err)
	}
	if got := r.states(t); got != "retiring signing" {
		t.Errorf("it does not go on without node 2: %s", got)
	}
}

func TestCertifyRefuses(t *testing.T) {
	r, idents := withAuthority(t)
	r.renew(t, idents[2])
	request, err := idents[1].Renewal(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		f    func(c *Change) error
		want error
	}{
		{"the key of another node", func(c *Change) error { _, err := Certs{c}.Certify(2, request.Bytes(), []string{"h"}); return err }, ErrForeignKey},
		{"no member", func(c *Change) error { _, err := Certs{c}.Certify(9, request.Bytes(), []string{"h"}); return err }, ErrNoMember},
		{"nonsense", func(c *Change) error { _, err := Certs{c}.Certify(1, []byte{1, 2}, []string{"h"}); return err }, trust.ErrRequest},
		{"a pattern for a host", func(c *Change) error { _, err := Certs{c}.Certify(1, request.Bytes(), []string{"*"}); return err }, trust.ErrHost},
		{"a confirmation of the future", func(c *Change) error { return Certs{c}.Confirm(1, Has{Generation: 1}) }, ErrNotAllowed},
		{"one of nobody", func(c *Change) error { return Certs{c}.Confirm(9, Has{}) }, ErrNoMember},
	} {
		if err := r.change(t, tt.f); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
