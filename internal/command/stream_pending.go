package command

import (
	"bytes"
	"math"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Groups of streams: what was delivered and nobody has acknowledged.

func xack(c *Ctx) {
	s, g, ok := groupAt(c)
	if !ok {
		return
	}
	if g == nil {
		c.Int(0)
		return
	}
	ids, ok := streamIDs(c, 3)
	if !ok {
		return
	}
	n := 0
	for _, id := range ids {
		if g.Acknowledge(id) {
			n++
		}
	}
	if n > 0 {
		s.Save()
	}
	c.Int(int64(n))
}

// groupAt opens the stream and the group that arguments 1 and 2 name; g is nil if there
// is none.
func groupAt(c *Ctx) (s *keyspace.Stream, g *keyspace.Group, ok bool) {
	if s, ok = stream(c, c.Args[1]); s != nil {
		g = s.Group(c.Args[2])
	}
	return s, g, ok
}

// noKeyOrGroup answers that there is no such stream or no such group.
func noKeyOrGroup(c *Ctx) {
	c.Error("NOGROUP No such key '" + string(c.Args[1]) + "' or consumer group '" + string(c.Args[2]) + "'")
}

// pendingRange is what XPENDING is asked for in detail.
type pendingRange struct {
	from, to keyspace.StreamID
	count    int64
	idle     int64
	consumer []byte // nil: any
}

func xpending(c *Ctx) {
	var r pendingRange
	n := len(c.Args)
	if n != 3 && (n < 6 || n > 9) {
		c.Error(TextSyntax)
		return
	}
	if n >= 6 && !r.parse(c) {
		return
	}
	_, g, ok := groupAt(c)
	switch {
	case !ok:
	case g == nil:
		noKeyOrGroup(c)
	case n == 3:
		pendingSummary(c, g)
	default:
		r.answer(c, g)
	}
}

func (r *pendingRange) parse(c *Ctx) (ok bool) {
	at := 3
	if c.is(3, "IDLE") {
		if r.idle, ok = c.int(4); !ok {
			return false
		}
		if len(c.Args) < 8 {
			c.Error(TextSyntax)
			return false
		}
		at = 5
	}
	if r.count, ok = c.int(at + 2); !ok {
		return false
	}
	if r.from, ok = startID(c, at); !ok {
		return false
	}
	if r.to, ok = endID(c, at+1); !ok {
		return false
	}
	if len(c.Args) > at+3 {
		r.consumer = c.Args[at+3]
	}
	return true
}

// pendingSummary answers how many entries are pending, which are the first and the
// last of them, and how many each consumer has.
func pendingSummary(c *Ctx, g *keyspace.Group) {
	c.Array(4)
	c.Int(int64(g.Pending()))
	if g.Pending() == 0 {
		c.Null()
		c.Null()
		c.NullArray()
		return
	}
	for _, reverse := range []bool{false, true} {
		var id keyspace.StreamID
		g.EachPending(keyspace.StreamID{}, keyspace.StreamIDMax(), reverse, func(p keyspace.PendingEntry) bool {
			id = p.ID
			return false
		})
		writeID(c, id)
	}
	n, list := 0, []byte(nil)
	g.EachConsumer(func(x *keyspace.Consumer) bool {
		if x.Pending() > 0 {
			list = resp.AppendBulk(resp.AppendArray(list, 2), x.Name)
			list = resp.AppendBulkString(list, decimal(x.Pending()))
			n++
		}
		return true
	})
	c.Array(n)
	c.Out = append(c.Out, list...)
}

func (r *pendingRange) answer(c *Ctx, g *keyspace.Group) {
	n, list := 0, []byte(nil)
	add := func(p keyspace.PendingEntry) bool {
		idle := max(c.Tx.Now-p.Delivered, 0)
		if r.idle > 0 && idle < r.idle {
			return true
		}
		list = resp.AppendBulk(resp.AppendArray(list, 4), p.ID.Append(nil))
		list = resp.AppendBulk(list, p.Consumer)
		list = resp.AppendInt(resp.AppendInt(list, idle), int64(p.Count))
		n++
		return int64(n) < r.count
	}
	switch {
	case r.count <= 0:
	case r.consumer == nil:
		g.EachPending(r.from, r.to, false, add)
	default:
		if x := g.Consumer(r.consumer); x != nil {
			g.EachPendingOf(x, r.from, r.to, func(id keyspace.StreamID) bool {
				p, ok := g.Find(id)
				return ok && add(p)
			})
		}
	}
	c.Array(n)
	c.Out = append(c.Out, list...)
}

// claim is what XCLAIM and XAUTOCLAIM are asked for.
type claim struct {
	idle   int64 // at least so long nobody has cared
	at     int64 // when it counts as delivered
	count  int64 // of deliveries; negative: one more
	force  bool
	justID bool
}

// minIdle parses argument 4 of XCLAIM and XAUTOCLAIM.
func (x *claim) minIdle(c *Ctx, command string) (ok bool) {
	x.idle, ok = c.intFrom(4, math.MinInt64, "ERR Invalid min-idle-time argument for "+command)
	x.idle, x.at, x.count = max(x.idle, 0), c.Tx.Now, -1
	return ok
}

// claimant returns the consumer that argument 3 names, who exists from then on.
func claimant(c *Ctx, g *keyspace.Group) *keyspace.Consumer {
	x := g.Consumer(c.Args[3])
	if x == nil {
		x = newConsumer(c, g, c.Args[1], c.Args[3])
	}
	x.Saw(c.Tx.Now, false)
	return x
}

func xclaim(c *Ctx) {
	s, g, ok := groupAt(c)
	if !ok {
		return
	}
	if g == nil {
		noKeyOrGroup(c)
		return
	}
	var x claim
	if !x.minIdle(c, "XCLAIM") {
		return
	}
	var ids []keyspace.StreamID
	at := 5
	for ; at < len(c.Args); at++ {
		id, auto, ok := parseStreamID(c.Args[at], 0)
		if !ok || auto {
			break
		}
		ids = append(ids, id)
	}
	last, ok := x.options(c, at)
	if !ok {
		return
	}
	if last.Compare(g.Last) > 0 {
		g.Delivered(last, g.Read)
	}
	consumer := claimant(c, g)
	n, list := 0, []byte(nil)
	for _, id := range ids {
		if entry, got, _ := x.take(s, g, consumer, id, c.Tx.Now); got {
			list = append(list, entry...)
			n++
		}
	}
	s.Save()
	c.Array(n)
	c.Out = append(c.Out, list...)
}

// options parses the options of XCLAIM from argument i on.
func (x *claim) options(c *Ctx, i int) (last keyspace.StreamID, ok bool) {
	for ; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch {
		case c.is(i, "FORCE"):
			x.force = true
			continue
		case c.is(i, "JUSTID"):
			x.justID = true
			continue
		case more && (c.is(i, "IDLE") || c.is(i, "TIME")):
			x.at, ok = c.intFrom(i+1, math.MinInt64, "ERR Invalid "+string(bytes.ToUpper(c.Args[i]))+" option argument for XCLAIM")
			if c.is(i, "IDLE") {
				x.at = c.Tx.Now - x.at
			}
		case more && c.is(i, "RETRYCOUNT"):
			x.count, ok = c.intFrom(i+1, math.MinInt64, "ERR Invalid RETRYCOUNT option argument for XCLAIM")
		case more && c.is(i, "LASTID"):
			last, ok = streamID(c, i+1)
		default:
			c.Error("ERR Unrecognized XCLAIM option '" + string(c.Args[i]) + "'")
			return last, false
		}
		if !ok {
			return last, false
		}
		i++
	}
	if x.at < 0 || x.at > c.Tx.Now { // clients compute it from a clock that may be wrong
		x.at = c.Tx.Now
	}
	return last, true
}

// take gives an entry to a consumer, if nobody has cared for it for long enough, and
// returns it as a reply. gone says that it is pending and is not there any more, and
// so is not pending any more either.
func (x *claim) take(s *keyspace.Stream, g *keyspace.Group, to *keyspace.Consumer, id keyspace.StreamID, now int64) (entry []byte, got, gone bool) {
	p, pending := g.Find(id)
	if !pending && !x.force {
		return nil, false, false
	}
	fields, exists := s.Entry(id)
	switch {
	case !exists:
		return nil, false, pending && g.Acknowledge(id)
	case pending && now-p.Delivered < x.idle:
		return nil, false, false
	}
	count := p.Count
	if !pending {
		count = 1
	}
	switch {
	case x.count >= 0:
		count = uint64(x.count)
	case !x.justID:
		count++
	}
	g.Deliver(id, to, x.at, count)
	to.Saw(now, true)
	if x.justID {
		return resp.AppendBulk(nil, id.Append(nil)), true, false
	}
	return appendEntry(nil, id, fields), true, false
}

const (
	claimCountDefault = 100
	// claimTries is how many entries XAUTOCLAIM looks at for each that it is to find.
	claimTries    = 10
	claimCountMax = math.MaxInt64 / 16
)

func xautoclaim(c *Ctx) {
	var x claim
	if !x.minIdle(c, "XAUTOCLAIM") {
		return
	}
	from, ok := startID(c, 5)
	if !ok {
		return
	}
	count := int64(claimCountDefault)
	for i := 6; i < len(c.Args); i++ {
		switch {
		case c.is(i, "COUNT") && i+1 < len(c.Args):
			i++
			n, ok := resp.ParseInt(c.Args[i])
			if !ok || n < 1 || n > claimCountMax {
				c.Error("ERR COUNT must be > 0")
				return
			}
			count = n
		case c.is(i, "JUSTID"):
			x.justID = true
		default:
			c.Error(TextSyntax)
			return
		}
	}
	s, g, ok := groupAt(c)
	switch {
	case !ok:
	case g == nil:
		noKeyOrGroup(c)
	default:
		autoclaim(c, &x, s, g, from, count)
	}
}

// autoclaim claims up to count entries from an id on, and answers where to go on, what
// was claimed, and what of it is not there any more.
func autoclaim(c *Ctx, x *claim, s *keyspace.Stream, g *keyspace.Group, from keyspace.StreamID, count int64) {
	consumer := claimant(c, g)
	tries := min(count*claimTries, claimTriesMax)
	var list, goneList []byte
	n, gone := 0, 0
	enough := func() bool {
		return int64(n+gone) >= count || tries == 0 || len(list) >= deliveredMax || c.Tx.Err() != nil || c.Tx.Written() > keyspace.WriteSetMax/2
	}
	ids, more := pendingFrom(g, from), true
	for more && !enough() {
		for len(ids) > 0 && !enough() {
			entry, got, deleted := x.take(s, g, consumer, ids[0], c.Tx.Now)
			switch {
			case got:
				list = append(list, entry...)
				n++
			case deleted:
				goneList = resp.AppendBulk(goneList, ids[0].Append(nil))
				gone++
			}
			from, more = ids[0].Next()
			ids = ids[1:]
			tries--
		}
		if len(ids) == 0 && more {
			ids = pendingFrom(g, from)
			more = len(ids) > 0
		}
	}
	var next keyspace.StreamID
	if len(ids) > 0 {
		next = ids[0]
	}
	s.Save()
	c.Array(3)
	writeID(c, next)
	c.Array(n)
	c.Out = append(c.Out, list...)
	c.Array(gone)
	c.Out = append(c.Out, goneList...)
}

// claimTriesMax bounds what one XAUTOCLAIM looks at; the next goes on from there.
const claimTriesMax = 100_000

// pendingFrom returns some ids of entries that are pending, from an id on.
func pendingFrom(g *keyspace.Group, from keyspace.StreamID) (ids []keyspace.StreamID) {
	g.EachPending(from, keyspace.StreamIDMax(), false, func(p keyspace.PendingEntry) bool {
		ids = append(ids, p.ID)
		return len(ids) < claimCountDefault
	})
	return ids
}
