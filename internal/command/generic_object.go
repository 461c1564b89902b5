package command

import (
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// subKey is the place of the key behind a subcommand.
var subKey = Keys{First: 2, Last: 2, Step: 1}

var objectCommands = []Command{
	{Name: "object", Arity: -2, Group: "generic", Since: "2.2.3", Syntax: "subcommand", Doc: "A container for commands about the values of keys.",
		Subs: []*Command{
			{Name: "object|encoding", Arity: 3, Flags: ReadOnly, Keys: subKey, Group: "generic", Since: "2.2.3",
				Syntax: "key", Doc: "Returns the encoding that Redis would use for the value of a key.", Run: objectEncoding},
			{Name: "object|freq", Arity: 3, Flags: ReadOnly, Keys: subKey, Group: "generic", Since: "4.0.0",
				Syntax: "key", Doc: "Answers that access frequencies are not kept.", Run: objectFreq},
			{Name: "object|idletime", Arity: 3, Flags: ReadOnly, Keys: subKey, Group: "generic", Since: "2.2.3",
				Syntax: "key", Doc: "Returns 0: access times are not kept.", Run: objectIdletime},
			{Name: "object|refcount", Arity: 3, Flags: ReadOnly, Keys: subKey, Group: "generic", Since: "2.2.3",
				Syntax: "key", Doc: "Returns 1: values are not shared.", Run: objectRefcount},
			{Name: "object|help", Arity: 2, Flags: ReadOnly | Loading | Stale, Group: "generic", Since: "6.2.0",
				Doc: "Lists the subcommands.", Run: objectHelp},
		}},
	{Name: "memory", Arity: -2, Group: "server", Since: "4.0.0", Syntax: "subcommand", Doc: "A container for commands about memory.",
		Subs: []*Command{
			{Name: "memory|usage", Arity: -3, Flags: ReadOnly, Keys: subKey, Group: "server", Since: "4.0.0",
				Syntax: "key [SAMPLES count]", Doc: "Estimates the bytes that a key takes.", Run: memoryUsage},
			{Name: "memory|stats", Arity: 2, Where: OnNode, Group: "server", Since: "4.0.0",
				Doc: "Tells how the memory of this node is used."},
			{Name: "memory|purge", Arity: 2, Where: OnNode, Group: "server", Since: "4.0.0",
				Doc: "Gives memory and disk that this node does not need back to the system. It does so by itself when it is quiet."},
			{Name: "memory|malloc-stats", Arity: 2, Where: OnNode, Group: "server", Since: "4.0.0",
				Doc: "Tells in which classes this node has memory of the system."},
			{Name: "memory|doctor", Arity: 2, Flags: ReadOnly, Group: "server", Since: "4.0.0",
				Doc: "Reports problems with memory.", Run: memoryDoctor},
			{Name: "memory|help", Arity: 2, Flags: ReadOnly | Loading | Stale, Group: "server", Since: "4.0.0",
				Doc: "Lists the subcommands.", Run: memoryHelp},
		}},
}

// object returns the object that OBJECT asks about, or answers null.
func (c *Ctx) object() *keyspace.Object {
	o := c.Tx.Open(c.DB, c.Args[2])
	if o == nil {
		c.Null()
	}
	return o
}

func objectEncoding(c *Ctx) {
	if o := c.object(); o != nil {
		c.BulkString(encodingOf(o))
	}
}

func objectFreq(c *Ctx) {
	if c.object() != nil {
		c.Error("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
	}
}

func objectIdletime(c *Ctx) {
	if c.object() != nil {
		c.Int(0)
	}
}

func objectRefcount(c *Ctx) {
	if c.object() != nil {
		c.Int(1)
	}
}

func objectHelp(c *Ctx) {
	c.Help("OBJECT", []string{"ENCODING <key>",
		"    Return the kind of internal representation used in order to store the value",
		"    associated with a <key>.",
		"FREQ <key>",
		"    Return the access frequency index of the <key>. The returned integer is",
		"    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>",
		"    Return the idle time of the <key>, that is the approximated number of",
		"    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>",
		"    Return the number of references of the value associated with the specified",
		"    <key>."})
}

// The thresholds up to which Redis 7.2 uses its compact encodings by default.
const (
	embstrLenMax        = 44
	listpackElementMax  = 64 // bytes
	hashListpackLenMax  = 512
	setListpackLenMax   = 128
	zsetListpackLenMax  = 128
	setIntsetLenMax     = 512
	listListpackSizeMax = 8 << 10
)

// encodingOf names the encoding that Redis would use. It looks at no more
// elements than the compact encodings hold.
func encodingOf(o *keyspace.Object) string {
	switch o.Type {
	case keyspace.TypeString:
		if o.Len() > embstrLenMax {
			return "raw"
		}
		return stringEncoding(o.Bytes())
	case keyspace.TypeList:
		return listEncoding(o)
	case keyspace.TypeSet:
		return setEncoding(o)
	case keyspace.TypeHash:
		switch {
		case o.Len() > hashListpackLenMax || !shortFields(o):
		case keyspace.Timed(o):
			return "listpackex"
		default:
			return "listpack"
		}
		return "hashtable"
	case keyspace.TypeZSet:
		short := o.Len() <= zsetListpackLenMax
		if short {
			o.EachMember(keyspace.WholeZRange(), false, func(member []byte, _ float64) bool {
				short = len(member) <= listpackElementMax
				return short
			})
		}
		if short {
			return "listpack"
		}
		return "skiplist"
	case keyspace.TypeStream:
		return "stream"
	}
	panic("command: encoding of unknown type " + o.Type.String())
}

func stringEncoding(val []byte) string {
	if _, ok := resp.ParseInt(val); ok {
		return "int"
	}
	if len(val) <= embstrLenMax {
		return "embstr"
	}
	return "raw"
}

func listEncoding(o *keyspace.Object) string {
	size := 0
	o.ListEach(0, false, func(val []byte) bool {
		size += len(val) + 2 // at least, with its header and its length
		return size <= listListpackSizeMax
	})
	if size <= listListpackSizeMax {
		return "listpack"
	}
	return "quicklist"
}

func setEncoding(o *keyspace.Object) string {
	n := o.Len()
	ints := n <= setIntsetLenMax
	if ints {
		o.EachField(func(member, _ []byte) bool {
			_, ints = resp.ParseInt(member)
			return ints
		})
	}
	switch {
	case ints:
		return "intset"
	case n <= setListpackLenMax && shortFields(o):
		return "listpack"
	}
	return "hashtable"
}

// shortFields reports whether a listpack would take all fields and values.
func shortFields(o *keyspace.Object) bool {
	short := true
	o.EachField(func(sub, val []byte) bool {
		short = len(sub) <= listpackElementMax && len(val) <= listpackElementMax
		return short
	})
	return short
}

// Rough costs in bytes beside the bytes of keys and elements themselves.
const (
	keyOverhead     = 48
	elementOverhead = 24
	samplesDefault  = 5
)

func memoryUsage(c *Ctx) {
	samples := int64(samplesDefault)
	for i := 3; i < len(c.Args); i += 2 {
		if !c.is(i, "SAMPLES") || i+1 == len(c.Args) {
			c.Error(TextSyntax)
			return
		}
		var ok bool
		if samples, ok = c.int(i + 1); !ok {
			return
		}
		if samples < 0 {
			c.Error(TextSyntax)
			return
		}
	}
	o := c.object()
	if o == nil {
		return
	}
	c.Int(keyOverhead + int64(len(o.Key)) + valueSize(o, samples))
}

// valueSize estimates the bytes of a value from some of its elements, or all
// if samples is 0.
func valueSize(o *keyspace.Object, samples int64) int64 {
	if o.Type == keyspace.TypeString {
		return int64(o.Len())
	}
	var n, size int64
	add := func(element int) bool {
		n, size = n+1, size+elementOverhead+int64(element)
		return n != samples
	}
	switch o.Type {
	case keyspace.TypeList:
		o.ListEach(0, false, func(val []byte) bool { return add(len(val)) })
	case keyspace.TypeZSet:
		o.EachMember(keyspace.WholeZRange(), false, func(member []byte, _ float64) bool { return add(2*len(member) + 16) })
	case keyspace.TypeStream:
		s := keyspace.StreamOf(o)
		s.Each(s.First, s.Last, false, func(_ keyspace.StreamID, fields [][]byte) bool {
			element := 16
			for _, f := range fields {
				element += len(f)
			}
			return add(element)
		})
	default:
		o.EachField(func(sub, val []byte) bool { return add(len(sub) + len(val)) })
	}
	if n == 0 { // a stream without entries
		return 0
	}
	return size * int64(o.Len()) / n
}

func memoryDoctor(c *Ctx) {
	c.Verbatim("Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n")
}

func memoryHelp(c *Ctx) {
	c.Help("MEMORY", []string{"DOCTOR",
		"    Return memory problems reports.",
		"MALLOC-STATS",
		"    Return in which classes the node has memory of the system.",
		"PURGE",
		"    Give memory that the node does not use back to the system.",
		"STATS",
		"    Return how the memory of the node is used.",
		"USAGE <key> [SAMPLES <count>]",
		"    Return memory in bytes used by <key> and its value. Nested values are",
		"    sampled up to <count> times (default: 5, 0 means sample all)."})
}
