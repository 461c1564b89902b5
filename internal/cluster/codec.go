package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Errors of maps and their parts.
var (
	// ErrMap says that a map, or a part of one, can't be right.
	ErrMap = errors.New("impossible map")
	// ErrVersion says that a record was written by a later version of tutti.
	ErrVersion = errors.New("needs a later version of tutti")
)

// formatVersion is the first byte of every record of this package.
const formatVersion = 1

// Encode appends the record of a member.
func (x Member) Encode(b []byte) []byte {
	b = append(b, formatVersion)
	b = binary.AppendUvarint(b, uint64(x.ID))
	for _, s := range [...]string{x.Name, x.Zone, x.Peer, x.Client} {
		b = appendString(b, s)
	}
	return binary.AppendUvarint(append(b, byte(x.Role), byte(x.State)), uint64(x.Version))
}

// DecodeMember reads what Encode wrote.
func DecodeMember(b []byte) (Member, error) {
	d := decoder{b: b}
	d.version("member")
	x := Member{ID: NodeID(d.uint()), Name: d.string(), Zone: d.string(), Peer: d.string(), Client: d.string(),
		Role: Role(d.byte()), State: State(d.byte()), Version: Version(d.uint())}
	return x, d.end(x.check)
}

// Encode appends the record of a descriptor.
func (d Descriptor) Encode(b []byte) []byte {
	b = append(b, formatVersion)
	for _, n := range [...]uint64{uint64(d.ID), uint64(d.Slots.First), uint64(d.Slots.End), d.Generation, uint64(d.Next), uint64(len(d.Replicas))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, r := range d.Replicas {
		for _, n := range [...]uint64{uint64(r.ID), uint64(r.Node), r.Data} {
			b = binary.AppendUvarint(b, n)
		}
		b = append(b, byte(r.Part))
	}
	return b
}

// DecodeDescriptor reads what Encode wrote.
func DecodeDescriptor(b []byte) (Descriptor, error) {
	d := decoder{b: b}
	d.version("descriptor")
	s := Descriptor{ID: ShardID(d.uint()), Slots: SlotRange{d.int(), d.int()}, Generation: d.uint(), Next: ReplicaID(d.uint())}
	for range d.count(ReplicasMax) {
		s.Replicas = append(s.Replicas, Replica{ID: ReplicaID(d.uint()), Node: NodeID(d.uint()), Data: d.uint(), Part: Part(d.byte())})
	}
	return s, d.end(s.check)
}

// EncodePlacement appends the record of where a shard's replicas should be.
func EncodePlacement(b []byte, want []Placement) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), uint64(len(want)))
	for _, p := range want {
		b = append(binary.AppendUvarint(b, uint64(p.Node)), flag(p.Learner))
	}
	return b
}

// DecodePlacement reads what EncodePlacement wrote.
func DecodePlacement(b []byte) (want []Placement, err error) {
	d := decoder{b: b}
	d.version("placement")
	for range d.count(ReplicasMax) {
		want = append(want, Placement{Node: NodeID(d.uint()), Learner: d.byte() == 1})
	}
	return want, d.end(func() error { return nil })
}

// Encode appends the record of a policy.
func (p Policy) Encode(b []byte) []byte {
	b = append(b, formatVersion, flag(p.Manual))
	return binary.AppendUvarint(b, uint64(p.DeadAfter/time.Millisecond))
}

// DecodePolicy reads what Encode wrote.
func DecodePolicy(b []byte) (Policy, error) {
	d := decoder{b: b}
	d.version("policy")
	p := Policy{Manual: d.byte() == 1, DeadAfter: time.Duration(d.int()) * time.Millisecond}
	return p, d.end(func() error { return nil })
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Encode appends the record of the map.
func (m *Map) Encode(b []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), m.Epoch)
	b = binary.AppendUvarint(appendString(b, m.Name), uint64(m.Version))
	b = binary.AppendUvarint(appendString(b, m.Policy.Encode(nil)), m.Trust)
	b = binary.AppendUvarint(b, uint64(len(m.Members)))
	for _, x := range m.Members {
		b = appendString(b, x.Encode(nil))
	}
	b = binary.AppendUvarint(b, uint64(len(m.Shards)))
	for _, s := range m.Shards {
		b = appendString(b, s.Descriptor.Encode(nil))
		b = appendString(b, EncodePlacement(nil, s.Want))
	}
	return b
}

// DecodeMap reads what Encode wrote.
func DecodeMap(b []byte) (*Map, error) {
	d := decoder{b: b}
	d.version("map")
	m := Map{Epoch: d.uint(), Name: d.string(), Version: Version(d.uint())}
	var err error
	m.Policy, err = DecodePolicy(d.bytes())
	d.fail(err)
	m.Trust = d.uint()
	for range d.count(MembersMax) {
		x, err := DecodeMember(d.bytes())
		d.fail(err)
		m.Members = append(m.Members, x)
	}
	for range d.count(ShardsMax) {
		s, err := DecodeDescriptor(d.bytes())
		d.fail(err)
		want, err := DecodePlacement(d.bytes())
		d.fail(err)
		m.Shards = append(m.Shards, Shard{Descriptor: s, Want: want})
	}
	if err := d.end(func() error { return nil }); err != nil {
		return nil, err
	}
	return NewMap(m)
}

func appendString[S string | []byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder cuts fields from a record; after an error all are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil && err != nil {
		d.err, d.b = err, nil
	}
}

func (d *decoder) version(what string) {
	if v := d.byte(); d.err == nil && v != formatVersion {
		if v == 0 {
			d.fail(fmt.Errorf("%s of version 0: %w", what, ErrMap))
			return
		}
		d.fail(fmt.Errorf("%s of version %d, this node reads %d: %w", what, v, formatVersion, ErrVersion))
	}
}

var errShort = fmt.Errorf("record too short: %w", ErrMap)

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint() uint64 {
	n, w := binary.Uvarint(d.b)
	if w <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *decoder) int() int {
	n := d.uint()
	if n > math.MaxInt32 {
		d.fail(fmt.Errorf("%d is too large: %w", n, ErrMap))
		return 0
	}
	return int(n)
}

// count reads a number of things that follow, each at least a byte long.
func (d *decoder) count(limit int) int {
	n := d.int()
	if n > limit || n > len(d.b) {
		d.fail(fmt.Errorf("%d of something in a record: %w", n, ErrMap))
		return 0
	}
	return n
}

func (d *decoder) bytes() []byte {
	n := d.int()
	if n > len(d.b) {
		d.fail(errShort)
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) string() string { return string(d.bytes()) }

// end returns the first error, of check if there was none before.
func (d *decoder) end(check func() error) error {
	if d.err == nil && len(d.b) > 0 {
		d.fail(fmt.Errorf("%d bytes behind a record: %w", len(d.b), ErrMap))
	}
	if d.err != nil {
		return d.err
	}
	return check()
}
