package rdb

import "math"

// ID is the id of an entry of a stream.
type ID struct{ Ms, Seq uint64 }

func (a ID) less(b ID) bool { return a.Ms < b.Ms || a.Ms == b.Ms && a.Seq < b.Seq }

// Entry is an entry of a stream: fields and values by turns.
type Entry struct {
	ID     ID
	Fields [][]byte
}

// Pending is an entry that a group has delivered and nobody has acknowledged.
type Pending struct {
	ID        ID
	Delivered int64 // when last, in Unix milliseconds
	Count     uint64
	Consumer  int // index in Consumers
}

// Consumer is one who reads in a group.
type Consumer struct {
	Name   []byte
	Seen   int64
	Active int64 // negative: never
}

// NotCounted is how many entries a group has read, in the form of a Redis before 7.0,
// which did not count them.
const NotCounted = -2

// Group is a group of a stream. Every pending entry has its consumer.
type Group struct {
	Name      []byte
	Last      ID
	Read      int64 // -1: nobody knows; NotCounted
	Pending   []Pending
	Consumers []Consumer
}

// StreamValue is the value of a stream. The ids of its entries ascend, and none is
// higher than Last.
type StreamValue struct {
	Entries    []Entry
	Last       ID
	MaxDeleted ID
	Added      uint64
	Groups     []Group
}

// A stream is
//
//	n { id:16 as a string, listpack }*n length last
//	[from type 19: first max-deleted added]
//	n { group last [from 19: read] pending consumers }*n
//
// pending is n { id:16 delivered:8 count }*n, consumers n { name seen:8 [from type 21:
// active:8] n { id:16 }*n }*n. Numbers are lengths, ids where nothing is said two of
// them; times are little-endian, ids of 16 bytes big-endian.
//
// A listpack begins with a master entry, which its entries refer to:
//
//	count deleted n field*n 0  { flags ms seq [n] {[field] value}*n size }*
//
// ms and seq are added to the id of the listpack. With the flag for same fields there
// are only values, for the fields of the master.

// Flags of an entry in a listpack.
const (
	entryDeleted    = 1
	entrySameFields = 2
)

func (r *reader) stream(typ byte) *StreamValue {
	s := &StreamValue{}
	for n := r.count(); n > 0 && !r.bad; n-- {
		r.block(s)
	}
	length := r.number()
	s.Last = r.id()
	s.Added = length
	if typ >= typeStream2 {
		r.id() // the first entry is what it is
		s.MaxDeleted, s.Added = r.id(), r.number()
	}
	if uint64(len(s.Entries)) != length || s.Added < length || s.Added > math.MaxInt64 {
		r.fail()
	}
	for i := range s.Entries {
		if id := s.Entries[i].ID; i > 0 && !s.Entries[i-1].ID.less(id) || s.Last.less(id) || id == (ID{}) {
			r.fail()
		}
	}
	names := map[string]bool{}
	for n := r.count(); n > 0 && !r.bad; n-- {
		g := r.group(typ)
		if names[string(g.Name)] {
			r.fail()
		}
		names[string(g.Name)] = true
		s.Groups = append(s.Groups, g)
	}
	return s
}

// number reads a number that is no length of what follows.
func (r *reader) number() uint64 {
	n, encoded := r.length()
	if encoded {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) id() ID { return ID{r.number(), r.number()} }

// rawID reads an id of 16 bytes.
func (r *reader) rawID() ID {
	if b := r.take(16); b != nil {
		return ID{be.Uint64(b), be.Uint64(b[8:])}
	}
	return ID{}
}

func (r *reader) time() int64 {
	if b := r.take(8); b != nil {
		return int64(le.Uint64(b))
	}
	return 0
}

// block reads one listpack of a stream with the id it begins from.
func (r *reader) block(s *StreamValue) {
	key := reader{b: r.string()}
	first := key.rawID()
	list := r.listpack(nil)
	if key.bad || len(key.b) > 0 || r.bad {
		r.fail()
		return
	}
	p := elements{list: list}
	count, deleted, fields := p.int(), p.int(), p.strings(p.int())
	if p.int() != 0 || count < 0 || deleted < 0 {
		p.bad = true
	}
	for !p.bad && len(p.list) > 0 {
		flags := p.int()
		e := Entry{ID: ID{first.Ms + uint64(p.int()), first.Seq + uint64(p.int())}}
		e.Fields = p.fields(flags, fields)
		size := int64(len(e.Fields)) + 4
		if flags&entrySameFields != 0 {
			size = int64(len(fields)) + 3
		}
		if p.int() != size || len(e.Fields) == 0 {
			p.bad = true
		}
		if flags&entryDeleted != 0 {
			deleted--
			continue
		}
		count--
		s.Entries = append(s.Entries, e)
	}
	if p.bad || count != 0 || deleted != 0 {
		r.fail()
	}
}

// elements cuts elements off a listpack. After something impossible bad is set.
type elements struct {
	list [][]byte
	bad  bool
}

func (p *elements) next() []byte {
	if len(p.list) == 0 {
		p.bad = true
		return nil
	}
	e := p.list[0]
	p.list = p.list[1:]
	return e
}

func (p *elements) int() int64 {
	n, ok := parseInt(p.next())
	p.bad = p.bad || !ok
	return n
}

func (p *elements) strings(n int64) (list [][]byte) {
	if n < 0 || n > int64(len(p.list)) {
		p.bad = true
		return nil
	}
	list = p.list[:n:n]
	p.list = p.list[n:]
	return list
}

// fields reads the fields and values of an entry, by turns.
func (p *elements) fields(flags int64, master [][]byte) [][]byte {
	if flags&entrySameFields == 0 {
		n := p.int()
		if n > int64(len(p.list)) {
			n = -1
		}
		return p.strings(2 * n)
	}
	vals := p.strings(int64(len(master)))
	list := make([][]byte, 0, 2*len(vals))
	for i, val := range vals {
		list = append(list, master[i], val)
	}
	return list
}

func (r *reader) group(typ byte) (g Group) {
	g.Name, g.Last, g.Read = r.string(), r.id(), NotCounted
	if typ >= typeStream2 {
		g.Read = -1
		if n := r.number(); n <= math.MaxInt64 {
			g.Read = int64(n)
		} else if n != math.MaxUint64 {
			r.fail()
		}
	}
	at := map[ID]int{}
	for n := r.count(); n > 0 && !r.bad; n-- {
		p := Pending{ID: r.rawID(), Delivered: r.time(), Count: r.number(), Consumer: -1}
		if i := len(g.Pending); i > 0 && !g.Pending[i-1].ID.less(p.ID) {
			r.fail()
		}
		at[p.ID] = len(g.Pending)
		g.Pending = append(g.Pending, p)
	}
	names := map[string]bool{}
	for n := r.count(); n > 0 && !r.bad; n-- {
		c := r.consumer(typ, at, &g)
		if names[string(c.Name)] {
			r.fail()
		}
		names[string(c.Name)] = true
		g.Consumers = append(g.Consumers, c)
	}
	for _, p := range g.Pending {
		if p.Consumer < 0 {
			r.fail()
		}
	}
	return g
}

func (r *reader) consumer(typ byte, at map[ID]int, g *Group) (c Consumer) {
	c.Name, c.Seen = r.string(), r.time()
	if c.Active = -1; typ >= typeStream3 {
		c.Active = r.time()
	} else if c.Seen > 0 {
		c.Active = c.Seen
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		i, ok := at[r.rawID()]
		if !ok || g.Pending[i].Consumer >= 0 {
			r.fail()
			return c
		}
		g.Pending[i].Consumer = len(g.Consumers)
	}
	return c
}
