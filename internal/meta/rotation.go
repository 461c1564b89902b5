package meta

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/trust"
)

// Certificates of members, and how one authority replaces another. What each
// member has durably, and uses, it tells meta:
//
//	'h' node:8   version:1, then as uvarints the generation of the authorities
//	             and when its certificates end
//
// # Rotation
//
// The map has the generation of the authorities, which every phase raises. Who
// sees a newer one asks for new certificates, keeps them with the authorities to
// trust, and confirms. Once all members have confirmed a generation, the entry
// with the last confirmation begins the next phase:
//
//	prepare   the new authority is trusted, the old one signs
//	activate  the new one signs, both are trusted
//	retire    the old one is gone
//
// So at no time a node shows a certificate that a member does not trust, whoever
// stops or starts in between; and as all there is to know is in these rows, nobody
// has to drive it. A member that is away holds the rotation up until it is back or
// was removed.

const rowHas = 'h'

// ErrForeignKey says that a certificate is asked for under the name of a member
// that has another key.
var ErrForeignKey = errors.New("this is not the key of that node")

// Has is what a member has told of its certificates.
type Has struct {
	Generation uint64 // of the authorities that it trusts, see cluster.Map.Trust
	Expires    int64  // when its certificates end, in milliseconds
}

func hasRow(id cluster.NodeID) []byte {
	return keyspace.MetaRow(rowHas, be.AppendUint64(nil, uint64(id))...)
}

func (h Has) encode() []byte {
	return binary.AppendUvarint(binary.AppendUvarint([]byte{recordVersion}, h.Generation), uint64(h.Expires))
}

// LoadHas reads what the members have told of their certificates.
func LoadHas(r keyspace.Reader) (map[cluster.NodeID]Has, error) {
	all := make(map[cluster.NodeID]Has)
	err := eachRow(r, rowHas, func(key, val []byte) error {
		d := decoder{b: val}
		d.version("confirmation")
		h := Has{Generation: d.uint(), Expires: int64(d.uint())}
		if len(key) != 8 {
			d.fail()
			key = make([]byte, 8)
		}
		all[cluster.NodeID(be.Uint64(key))] = h
		return d.end()
	})
	return all, err
}

// Certs is a Change of what nodes trust and are certified by.
type Certs struct{ *Change }

// Certificates is what a member gets for a request: texts of PEM.
type Certificates struct {
	Generation uint64
	CA         []byte // the authorities to trust
	Node       []byte
	Service    []byte // what it shows to clients
}

// Certify signs new certificates of a member. They are of use only to who has the
// key with which it became one.
func (c Certs) Certify(id cluster.NodeID, request []byte, hosts []string) (Certificates, error) {
	if _, ok := c.Map.Member(id); !ok {
		return Certificates{}, fmt.Errorf("node %d: %w", id, ErrNoMember)
	}
	hash, err := trust.KeyHash(request)
	if err != nil {
		return Certificates{}, err
	}
	row := KeyRow(id, hash)
	switch was, ok := c.tx.Get(row.Key, nil); {
	case !ok: // a member that was put in by hand, with TUTTI.MEMBER
		c.tx.Put(row.Key, row.Val)
	case !slices.Equal(was, row.Val):
		return Certificates{}, fmt.Errorf("node %d: %w", id, ErrForeignKey)
	}
	a, err := c.Signing()
	if err != nil {
		return Certificates{}, err
	}
	s := Certificates{Generation: c.Map.Trust}
	if s.CA, err = c.Trusted(); err != nil {
		return Certificates{}, err
	}
	now := time.UnixMilli(c.tx.Now)
	if _, s.Node, err = a.CA.Sign(request, id, now, rand.Reader); err != nil {
		return Certificates{}, err
	}
	s.Service, err = a.CA.SignService(request, id, hosts, now, rand.Reader)
	return s, err
}

// Confirm notes what a member has and uses, and begins the next phase of a rotation
// if it was the last one.
func (c Certs) Confirm(id cluster.NodeID, h Has) error {
	if _, ok := c.Map.Member(id); !ok {
		return fmt.Errorf("node %d: %w", id, ErrNoMember)
	}
	if h.Generation > c.Map.Trust {
		return fmt.Errorf("%w: generation %d of the authorities is still to come", ErrNotAllowed, h.Generation)
	}
	c.tx.Put(hasRow(id), h.encode())
	return c.turn()
}

// Rotate begins to replace the authority of the cluster.
func (c Certs) Rotate() error {
	list, err := LoadAuthorities(reader{c.tx})
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%w: one authority is being replaced already", ErrNotAllowed)
	}
	old := list[0]
	ca, err := trust.NewCA(old.CA.Cluster, time.UnixMilli(c.tx.Now), rand.Reader)
	if err != nil {
		return err
	}
	if err := c.SetAuthority(Authority{ID: old.ID + 1, State: Prepared, CA: ca}); err != nil {
		return err
	}
	return c.raiseTrust()
}

// turn begins the next phase of a rotation once all members are done with this one.
func (c Certs) turn() error {
	list, err := LoadAuthorities(reader{c.tx})
	if err != nil || len(list) < 2 {
		return err
	}
	all, err := LoadHas(reader{c.tx})
	if err != nil {
		return err
	}
	for _, x := range c.Map.Members {
		if all[x.ID].Generation < c.Map.Trust {
			return nil
		}
	}
	if slices.ContainsFunc(list, func(a Authority) bool { return a.State == Prepared }) {
		return c.activate(list)
	}
	for _, a := range list {
		if a.State == Retiring {
			c.tx.Delete(authorityRow(a.ID))
		}
	}
	return c.raiseTrust()
}

// activate lets the prepared authority sign. Tokens name the one that signed when
// they were made, so they go.
func (c Certs) activate(list []Authority) error {
	for _, a := range list {
		switch a.State {
		case Prepared:
			a.State = Signing
		case Signing:
			a.State = Retiring
		}
		if err := c.SetAuthority(a); err != nil {
			return err
		}
	}
	tokens, err := c.Tokens()
	if err != nil {
		return err
	}
	for _, t := range tokens {
		c.tx.Delete(tokenRow(t.ID))
	}
	return c.raiseTrust()
}

func (c Certs) raiseTrust() error {
	if err := c.change(func(next *cluster.Map) { next.Trust++ }); err != nil {
		return err
	}
	c.tx.Put(keyspace.MetaRow(rowTrust), encodeNumbers(c.Map.Trust))
	return nil
}

// Authorities lists the authorities, by id.
func (c Certs) Authorities() ([]Authority, error) { return LoadAuthorities(reader{c.tx}) }

// Has is what the members have told of their certificates.
func (c Certs) Has() (map[cluster.NodeID]Has, error) { return LoadHas(reader{c.tx}) }
