package meta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
	"tutti/internal/trust"
)

// The authorities of the cluster, which sign certificates, are rows of meta and
// nowhere else: who holds a replica of meta can sign, nobody else can. A row is
//
//	'a' id:8   version:1 state:1 certificate key   the last two PEM, with uvarint lengths
//
// Usually there is one. While one replaces another there are two, both trusted.

const rowAuthority = 'a'

// AuthorityState is what an authority is used for. All are trusted.
type AuthorityState uint8

// The states, in the order of an authority's life.
const (
	// Prepared authorities are trusted and do not sign yet.
	Prepared AuthorityState = iota
	// Signing is the state of the one that signs.
	Signing
	// Retiring authorities have signed certificates that may still be in use.
	Retiring
	authorityStates
)

// String returns the state as people read it.
func (s AuthorityState) String() string {
	return [...]string{"prepared", "signing", "retiring"}[s]
}

// Authority is one of the cluster's.
type Authority struct {
	ID    uint64
	State AuthorityState
	CA    *trust.CA
}

// ErrNoAuthority says that nobody can sign: the cluster was formed by a version
// that kept its authority elsewhere.
var ErrNoAuthority = errors.New("the cluster has no authority in its meta shard")

const recordVersion = 1

// AuthorityRow returns the row that holds a.
func AuthorityRow(a Authority) (Row, error) {
	cert, key, err := a.CA.PEM()
	if err != nil {
		return Row{}, err
	}
	val := []byte{recordVersion, byte(a.State)}
	for _, text := range [...][]byte{cert, key} {
		val = append(binary.AppendUvarint(val, uint64(len(text))), text...)
	}
	return Row{authorityRow(a.ID), val}, nil
}

func authorityRow(id uint64) []byte {
	return keyspace.MetaRow(rowAuthority, be.AppendUint64(nil, id)...)
}

func decodeAuthority(key, val []byte) (Authority, error) {
	d := decoder{b: val}
	d.version("authority")
	if len(key) != 8 {
		d.fail()
		key = make([]byte, 8)
	}
	a := Authority{ID: be.Uint64(key), State: AuthorityState(d.byte())}
	cert, private := d.bytes(), d.bytes()
	if a.State >= authorityStates {
		d.fail()
	}
	if err := d.end(); err != nil {
		return Authority{}, err
	}
	var err error
	a.CA, err = trust.ParseCA(cert, private)
	return a, err
}

// LoadAuthorities reads the authorities of a state of the meta shard, by id.
func LoadAuthorities(r keyspace.Reader) (list []Authority, err error) {
	err = eachRow(r, rowAuthority, func(key, val []byte) error {
		a, err := decodeAuthority(key, val)
		if err != nil {
			return fmt.Errorf("authority %x: %w", key, err)
		}
		list = append(list, a)
		return nil
	})
	return list, err
}

// eachRow calls f with every row of a kind; key is what follows the kind.
func eachRow(r keyspace.Reader, kind byte, f func(key, val []byte) error) error {
	it, err := r.Iter(keyspace.MetaRow(kind), keyspace.MetaRow(kind+1))
	if err != nil {
		return err
	}
	prefix := len(keyspace.MetaRow(kind))
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key()[prefix:], it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// Signing returns the authority that signs.
func (c *Change) Signing() (Authority, error) {
	list, err := LoadAuthorities(reader{c.tx})
	if err != nil {
		return Authority{}, err
	}
	for _, a := range list {
		if a.State == Signing {
			return a, nil
		}
	}
	return Authority{}, ErrNoAuthority
}

// SetAuthority puts an authority in or in the place of the one of its id.
func (c *Change) SetAuthority(a Authority) error {
	row, err := AuthorityRow(a)
	if err != nil {
		return err
	}
	c.tx.Put(row.Key, row.Val)
	return nil
}

// Trusted returns the certificates of all authorities, as a text of PEM.
func (c *Change) Trusted() ([]byte, error) {
	list, err := LoadAuthorities(reader{c.tx})
	var text []byte
	for _, a := range list {
		cert, _, perr := a.CA.PEM()
		text, err = append(text, cert...), errors.Join(err, perr)
	}
	return text, err
}

// decoder cuts fields from the value of a row; after an error all are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("a row of meta: %w", cluster.ErrMap)
	}
}

func (d *decoder) version(what string) {
	if v := d.byte(); d.err == nil && v != recordVersion {
		d.err = fmt.Errorf("%s of version %d: %w", what, v, cluster.ErrVersion)
	}
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) uint() uint64 {
	n, used := binary.Uvarint(d.b)
	if used <= 0 {
		d.fail()
	}
	d.take(max(used, 0))
	if d.err != nil {
		return 0
	}
	return n
}

func (d *decoder) bytes() []byte { return d.take(int(min(d.uint(), 1<<31-1))) }

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail()
	}
	return d.err
}
