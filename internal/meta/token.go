package meta

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/trust"
)

// Tokens, with which machines join, are rows of meta:
//
//	't' id:5   version:1 role:1, then as uvarints created, expires, uses left,
//	           then key:32
//
// Times are the shard's, in milliseconds. What is kept of the secret checks a
// proof and makes none. A token that has expired or was used up is kept for a
// day, so that whoever comes with it is told so.
//
// Who joined with which key is in rows of its own, as long as the node is a
// member, so that a machine which did not hear the answer may ask again:
//
//	'k' node:8   version:1 hash:32 of the key of its first certificate

const (
	rowToken = 't'
	rowKey   = 'k'

	tokensMax = 1000
	tokenKeep = 24 * time.Hour
)

// Token is what the cluster knows of a token.
type Token struct {
	ID               trust.TokenID
	Role             cluster.Role // of the nodes that join with it
	Created, Expires int64
	Uses             uint64 // left
	Key              trust.JoinKey
}

// Reasons why a machine is not let in.
var (
	ErrTokenUnknown = errors.New("there is no such token")
	ErrTokenProof   = errors.New("the secret of the token is wrong")
	ErrTokenExpired = errors.New("the token has expired")
	ErrTokenUsed    = errors.New("the token was used up")
	ErrTokenRole    = errors.New("the token is for another role")
	ErrNameTaken    = errors.New("there is another node of this name")
	ErrAddressTaken = errors.New("there is another node with this address")
)

func tokenRow(id trust.TokenID) []byte { return keyspace.MetaRow(rowToken, id[:]...) }

func (t Token) encode() []byte {
	b := []byte{recordVersion, byte(t.Role)}
	for _, n := range [...]uint64{uint64(t.Created), uint64(t.Expires), t.Uses} {
		b = binary.AppendUvarint(b, n)
	}
	return append(b, t.Key[:]...)
}

func decodeToken(key, val []byte) (Token, error) {
	d := decoder{b: val}
	d.version("token")
	t := Token{Role: cluster.Role(d.byte()), Created: int64(d.uint()), Expires: int64(d.uint()), Uses: d.uint()}
	if copy(t.Key[:], d.take(len(t.Key))); copy(t.ID[:], key) != len(t.ID) || len(key) != len(t.ID) {
		d.fail()
	}
	if t.Role != cluster.Storage && t.Role != cluster.Gateway {
		d.fail()
	}
	return t, d.end()
}

// LoadTokens reads the tokens of a state of the meta shard.
func LoadTokens(r keyspace.Reader) (list []Token, err error) {
	err = eachRow(r, rowToken, func(key, val []byte) error {
		t, err := decodeToken(key, val)
		list = append(list, t)
		return err
	})
	return list, err
}

// Tokens lists the tokens.
func (c *Change) Tokens() ([]Token, error) { return LoadTokens(reader{c.tx}) }

// CreateToken makes a token that lives for ttl and lets uses machines in.
//
// Its text goes into the reply, which the shard keeps until the client has it.
// The authority's key lies beside it, which is worth more.
func (c *Change) CreateToken(ttl time.Duration, uses uint64, role cluster.Role) (trust.Token, error) {
	list, err := c.Tokens()
	if err != nil {
		return trust.Token{}, err
	}
	list = c.forgetTokens(list)
	if len(list) >= tokensMax {
		return trust.Token{}, fmt.Errorf("%w: there are %d tokens; revoke some", ErrNotAllowed, len(list))
	}
	a, err := c.Signing()
	if err != nil {
		return trust.Token{}, err
	}
	t, err := trust.NewToken(a.CA.Pin(), rand.Reader)
	if err != nil {
		return trust.Token{}, err
	}
	if slices.ContainsFunc(list, func(x Token) bool { return x.ID == t.ID }) {
		return trust.Token{}, fmt.Errorf("%w: its id is taken, which is one case in a thousand millions; make another", ErrNotAllowed)
	}
	c.putToken(Token{ID: t.ID, Role: role, Created: c.tx.Now, Expires: c.tx.Now + ttl.Milliseconds(), Uses: uses, Key: t.Key()})
	return t, nil
}

// forgetTokens removes those that are of no use for long enough, and returns the
// others.
func (c *Change) forgetTokens(list []Token) []Token {
	return slices.DeleteFunc(list, func(t Token) bool {
		old := t.Expires+tokenKeep.Milliseconds() < c.tx.Now
		if old {
			c.tx.Delete(tokenRow(t.ID))
		}
		return old
	})
}

func (c *Change) putToken(t Token) { c.tx.Put(tokenRow(t.ID), t.encode()) }

func (c *Change) token(id trust.TokenID) (Token, error) {
	val, ok := c.tx.Get(tokenRow(id), nil)
	if !ok {
		return Token{}, fmt.Errorf("%w: %s", ErrTokenUnknown, id)
	}
	return decodeToken(id[:], val)
}

// RevokeToken removes a token.
func (c *Change) RevokeToken(id trust.TokenID) error {
	if _, err := c.token(id); err != nil {
		return err
	}
	c.tx.Delete(tokenRow(id))
	return nil
}

// Join takes in the machine that sent r over the connection of the exporter:
// checks its token and uses it, gives it an id, makes it a member and signs its
// certificate. All of that is one entry, so a token can't be used twice, and
// nobody holds a certificate of a node that is not durably a member.
//
// A machine that asks again with the same key, because it did not hear the
// answer, gets the same id.
func (c *Change) Join(r trust.JoinRequest, exporter []byte) (trust.JoinAnswer, error) {
	t, err := c.token(r.Token)
	if err != nil {
		return trust.JoinAnswer{}, err
	}
	// Before anything is said of it: ids are no secret.
	if !t.Key.Check(exporter, r) {
		return trust.JoinAnswer{}, ErrTokenProof
	}
	hash, err := trust.KeyHash(r.Request)
	if err != nil {
		return trust.JoinAnswer{}, err
	}
	id, again, err := c.joinedWith(hash)
	if err != nil {
		return trust.JoinAnswer{}, err
	}
	if !again {
		if id, err = c.admit(t, r); err != nil {
			return trust.JoinAnswer{}, err
		}
		row := KeyRow(id, hash)
		c.tx.Put(row.Key, row.Val)
	}
	return c.certify(r, id)
}

// admit makes the machine a member.
func (c *Change) admit(t Token, r trust.JoinRequest) (cluster.NodeID, error) {
	switch {
	case t.Expires <= c.tx.Now:
		ago := time.Duration(c.tx.Now-t.Expires) * time.Millisecond
		return 0, fmt.Errorf("%w %v ago", ErrTokenExpired, ago.Round(time.Second))
	case t.Uses == 0:
		return 0, ErrTokenUsed
	case t.Role != r.Role:
		return 0, ErrTokenRole
	case len(c.Map.Members) >= cluster.MembersMax:
		return 0, fmt.Errorf("%w: the cluster has %d nodes, which is the most", ErrNotAllowed, len(c.Map.Members))
	}
	x := cluster.Member{Name: r.Name, Zone: r.Zone, Peer: r.Peer, Client: r.Client, Role: r.Role, Version: r.Version}
	if err := c.checkNew(x); err != nil {
		return 0, err
	}
	id, err := c.SetMember(x)
	if err != nil {
		return 0, err
	}
	t.Uses--
	c.putToken(t)
	return id, nil
}

// checkNew refuses a node that can't be told from another, or not be reached.
func (c *Change) checkNew(x cluster.Member) error {
	if err := cluster.CheckName(x.Name); err != nil {
		return fmt.Errorf("%w: name: %w", ErrNotAllowed, err)
	}
	if x.Zone != "" {
		if err := cluster.CheckName(x.Zone); err != nil {
			return fmt.Errorf("%w: zone: %w", ErrNotAllowed, err)
		}
	}
	for _, addr := range [...]string{x.Peer, x.Client} {
		if err := trust.CheckAddr(addr); err != nil {
			return fmt.Errorf("%w: %s", ErrNotAllowed, strings.TrimPrefix(err.Error(), "trust: "))
		}
	}
	for _, o := range c.Map.Members {
		switch {
		case o.Name == x.Name:
			return fmt.Errorf("%w: node %d (%s) at %s", ErrNameTaken, o.ID, o.Name, o.Peer)
		case o.Peer == x.Peer:
			return fmt.Errorf("%w: node %d (%s) at %s", ErrAddressTaken, o.ID, o.Name, o.Peer)
		}
	}
	return nil
}

// KeyRow returns the row that says which key a member has.
func KeyRow(id cluster.NodeID, hash [sha256.Size]byte) Row {
	return Row{keyRow(id), append([]byte{recordVersion}, hash[:]...)}
}

func keyRow(id cluster.NodeID) []byte {
	return keyspace.MetaRow(rowKey, be.AppendUint64(nil, uint64(id))...)
}

// joinedWith finds the member that joined with a key.
func (c *Change) joinedWith(hash [sha256.Size]byte) (id cluster.NodeID, found bool, err error) {
	err = eachRow(reader{c.tx}, rowKey, func(key, val []byte) error {
		if len(key) == 8 && len(val) == 1+len(hash) && val[0] == recordVersion && bytes.Equal(val[1:], hash[:]) {
			id = cluster.NodeID(be.Uint64(key))
			_, found = c.Map.Member(id)
		}
		return nil
	})
	return id, found, err
}

// certify signs the certificate of a member.
func (c *Change) certify(r trust.JoinRequest, id cluster.NodeID) (trust.JoinAnswer, error) {
	a, err := c.Signing()
	if err != nil {
		return trust.JoinAnswer{}, err
	}
	trusted, err := c.Trusted()
	if err != nil {
		return trust.JoinAnswer{}, err
	}
	now := time.UnixMilli(c.tx.Now)
	_, cert, err := a.CA.Sign(r.Request, id, now, rand.Reader)
	if err != nil {
		return trust.JoinAnswer{}, err
	}
	answer := trust.JoinAnswer{Node: id, Time: c.tx.Now, CA: trusted, Cert: cert, Map: c.Map.Encode(nil)}
	if len(r.Hosts) > 0 {
		answer.Service, err = a.CA.SignService(r.Request, id, r.Hosts, now, rand.Reader)
	}
	return answer, err
}
