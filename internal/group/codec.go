package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// version is that of both encodings. Version 1 had no claim and no descriptor,
// version 2 no epoch of users, version 3 no waiters; no node outside of this
// repository ever spoke them.
const version = 4

// argsMax bounds the numbers of things in an encoding.
const argsMax = 1 << 20

var be = binary.BigEndian

// ErrMalformed says that bytes are no encoding of this version.
var ErrMalformed = errors.New("malformed encoding of a group or a reply")

// ErrVersion says that bytes are of a version that this program does not know.
var ErrVersion = errors.New("unknown version of the encoding")

// check looks at the version of an encoding with at least so many bytes.
func check(b []byte, what string, fixed int) error {
	if len(b) > 0 && b[0] != version {
		return fmt.Errorf("a %s of version %d came, and this node speaks version %d: %w", what, b[0], version, ErrVersion)
	}
	if len(b) < fixed {
		return ErrMalformed
	}
	return nil
}

// Append appends the encoding of a group to b.
func (g *Group) Append(b []byte) []byte {
	b = append(b, version)
	b = be.AppendUint64(b, uint64(g.Shard))
	b = be.AppendUint64(b, g.Session)
	b = be.AppendUint64(b, g.Seq)
	b = be.AppendUint32(b, g.Attempt)
	b = be.AppendUint64(b, g.Term)
	b = be.AppendUint64(b, g.Floor)
	flags := byte(0)
	if g.Open {
		flags |= 1
	}
	if g.Atomic {
		flags |= 2
	}
	if g.Wait != nil {
		flags |= 4
		if g.Wait.Cancel {
			flags |= 8
		}
	}
	if g.User != nil {
		flags |= 16
	}
	if g.Room > 0 {
		flags |= 32
	}
	if g.Own {
		flags |= 64
	}
	b = append(b, flags, g.Proto)
	b = be.AppendUint16(be.AppendUint16(b, uint16(g.Claim.Slots.First)), uint16(g.Claim.Slots.End))
	b = be.AppendUint64(be.AppendUint64(b, g.Claim.Generation), g.Claim.Users)
	b = binary.AppendUvarint(b, uint64(len(g.Watches)))
	for _, w := range g.Watches {
		b = append(b, w.DB, boolByte(w.Exists))
		b = be.AppendUint64(b, w.Version)
		b = appendString(b, w.Key)
	}
	b = binary.AppendUvarint(b, uint64(len(g.Cmds)))
	for _, c := range g.Cmds {
		b = append(b, c.DB)
		b = binary.AppendUvarint(b, uint64(len(c.Args)))
		for _, a := range c.Args {
			b = appendString(b, a)
		}
	}
	if w := g.Wait; w != nil {
		b = be.AppendUint64(be.AppendUint64(be.AppendUint64(b, w.Seq), w.Order), w.Round)
	}
	if u := g.User; u != nil {
		b = binary.AppendUvarint(appendString(b, u.Name), uint64(len(u.Rules)))
		for _, r := range u.Rules {
			b = appendString(b, r)
		}
	}
	if g.Room > 0 {
		b = be.AppendUint32(b, uint32(min(g.Room, math.MaxUint32)))
	}
	b = binary.AppendUvarint(b, uint64(len(g.Got)))
	for _, seq := range g.Got {
		b = be.AppendUint64(b, seq)
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

const groupFixed = 67

// Decode decodes a group; it keeps slices of b.
func Decode(b []byte) (*Group, error) {
	if err := check(b, "group", groupFixed); err != nil {
		return nil, err
	}
	size := len(b)
	d := decoder{b: b[groupFixed:]}
	b = b[1:]
	g := &Group{Shard: cluster.ShardID(be.Uint64(b)), Session: be.Uint64(b[8:]), Seq: be.Uint64(b[16:]), Attempt: be.Uint32(b[24:]),
		Term: be.Uint64(b[28:]), Floor: be.Uint64(b[36:]), Open: b[44]&1 != 0, Atomic: b[44]&2 != 0, Own: b[44]&64 != 0, Proto: b[45],
		Claim: Claim{cluster.SlotRange{First: int(be.Uint16(b[46:])), End: int(be.Uint16(b[48:]))}, be.Uint64(b[50:]), be.Uint64(b[58:])}, size: size}
	if s := g.Claim.Slots; s.First > s.End || s.End > cluster.Slots {
		return nil, ErrMalformed
	}
	for range d.count(argsMax) {
		w := Watch{DB: d.byte(), Exists: d.byte() == 1, Version: d.uint64()}
		w.Key = d.string()
		if d.bad || w.DB >= keyspace.LogicalDatabases {
			return nil, ErrMalformed
		}
		g.Watches = append(g.Watches, w)
	}
	n := d.count(argsMax)
	if n > 0 {
		g.Cmds = make([]Command, 0, min(n, len(d.b)))
	}
	for range n {
		c := Command{DB: d.byte()}
		argc := d.count(argsMax)
		c.Args = make([][]byte, 0, min(argc, len(d.b)))
		for range argc {
			c.Args = append(c.Args, d.string())
		}
		if argc == 0 || d.bad || c.DB >= keyspace.LogicalDatabases {
			return nil, ErrMalformed
		}
		g.Cmds = append(g.Cmds, c)
	}
	flags := b[44]
	if flags&4 != 0 {
		g.Wait = &Wait{Seq: d.uint64(), Order: d.uint64(), Round: d.uint64(), Cancel: flags&8 != 0}
	}
	if flags&16 != 0 {
		g.User = &User{Name: string(d.string())}
		for range d.count(argsMax) {
			g.User.Rules = append(g.User.Rules, string(d.string()))
		}
	}
	if flags&32 != 0 {
		g.Room = int(d.uint32())
	}
	for range d.count(argsMax) {
		g.Got = append(g.Got, d.uint64())
	}
	if flags&8 != 0 && (flags&4 == 0 || g.Wait.Seq == 0) || g.Wait != nil && !g.Wait.Cancel && len(g.Cmds) != 1 {
		return nil, ErrMalformed
	}
	if d.bad || len(d.b) > 0 {
		return nil, ErrMalformed
	}
	return g, nil
}

// Append appends the encoding of a reply to b.
func (r *Reply) Append(b []byte) []byte {
	b = append(b, version)
	b = be.AppendUint64(b, uint64(r.Shard))
	b = be.AppendUint64(b, r.Session)
	b = be.AppendUint64(b, r.Seq)
	b = be.AppendUint32(b, r.Attempt)
	b = append(b, byte(r.Status))
	b = be.AppendUint64(b, uint64(r.Leader))
	b = be.AppendUint64(b, r.Term)
	b = be.AppendUint64(b, r.Index)
	b = be.AppendUint64(b, uint64(r.Time))
	b = be.AppendUint64(b, r.Users)
	flags := boolByte(r.Late)
	if r.Unfit.Need > 0 {
		flags |= 2
	}
	if len(r.Alone()) > 0 {
		flags |= 4
	}
	b = be.AppendUint64(append(b, flags), r.Order)
	if r.Unfit.Need > 0 {
		b = be.AppendUint32(be.AppendUint32(b, uint32(r.Unfit.From)), uint32(min(r.Unfit.Need, math.MaxUint32)))
	}
	if keys := r.Alone(); len(keys) > 0 {
		b = AppendReplies(b, keys)
	}
	var owned []byte
	if r.Owned != nil {
		owned = r.Owned.Encode(nil)
	}
	return AppendReplies(appendString(b, owned), r.Replies)
}

// Size is at least the length of the encoding.
func (r *Reply) Size() int {
	n := replyFixed + 19
	if r.Owned != nil {
		n += ownedMax
	}
	for _, list := range [2][][]byte{r.Alone(), r.Replies} {
		for _, p := range list {
			n += len(p) + 5
		}
	}
	return n
}

const replyFixed = 79

// ownedMax is the length of the longest descriptor.
const ownedMax = binary.MaxVarintLen64 * (8 + 4*cluster.ReplicasMax)

// DecodeReply decodes a reply; it keeps slices of b.
func DecodeReply(b []byte) (Reply, error) {
	if err := check(b, "reply", replyFixed); err != nil {
		return Reply{}, err
	}
	d := decoder{b: b[replyFixed:]}
	var unfit Unfit
	isUnfit := b[replyFixed-9]&2 != 0
	if isUnfit {
		unfit = Unfit{int(d.uint32()), int(d.uint32())}
	}
	var own *Own
	if b[replyFixed-9]&4 != 0 {
		own = &Own{}
		for range d.count(argsMax) {
			own.Keys = append(own.Keys, d.string())
		}
		if len(own.Keys) == 0 {
			return Reply{}, ErrMalformed
		}
	}
	owned := d.string()
	if d.bad || isUnfit && unfit.Need == 0 { // nobody writes that
		return Reply{}, ErrMalformed
	}
	b = b[1:]
	r := Reply{Shard: cluster.ShardID(be.Uint64(b)), Session: be.Uint64(b[8:]), Seq: be.Uint64(b[16:]), Attempt: be.Uint32(b[24:]), Status: Status(b[28]),
		Leader: cluster.NodeID(be.Uint64(b[29:])), Term: be.Uint64(b[37:]), Index: be.Uint64(b[45:]), Time: int64(be.Uint64(b[53:])), Users: be.Uint64(b[61:]), Late: b[69]&1 != 0, Order: be.Uint64(b[70:]), Unfit: unfit, Own: own}
	if len(owned) > 0 {
		s, err := cluster.DecodeDescriptor(owned)
		if err != nil {
			return Reply{}, fmt.Errorf("what a shard owns: %w", err)
		}
		r.Owned = &s
	}
	var err error
	r.Replies, err = DecodeReplies(d.b)
	return r, err
}

// AppendReplies appends the encoding of the replies of one group to b.
func AppendReplies(b []byte, replies [][]byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(replies)))
	for _, p := range replies {
		b = appendString(b, p)
	}
	return b
}

// DecodeReplies decodes what AppendReplies appended; the replies are slices of b.
func DecodeReplies(b []byte) ([][]byte, error) {
	d := decoder{b: b}
	n := d.count(argsMax)
	out := make([][]byte, 0, min(n, len(d.b)))
	for range n {
		out = append(out, d.string())
	}
	if d.bad || len(d.b) > 0 {
		return nil, ErrMalformed
	}
	return out, nil
}

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder cuts fields from a frame; after a malformed one all are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) < 1 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.bad = true
		return 0
	}
	n := be.Uint32(d.b)
	d.b = d.b[4:]
	return n
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.bad = true
		return 0
	}
	n := be.Uint64(d.b)
	d.b = d.b[8:]
	return n
}

// count reads a number of things that follow, each at least a byte long.
func (d *decoder) count(limit uint64) int {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > limit || n > uint64(len(d.b)-w) {
		d.bad = true
		d.b = nil
		return 0
	}
	d.b = d.b[w:]
	return int(n)
}

func (d *decoder) string() []byte {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > uint64(len(d.b)-w) {
		d.bad = true
		d.b = nil
		return nil
	}
	s := d.b[w : w+int(n) : w+int(n)]
	d.b = d.b[w+int(n):]
	return s
}
