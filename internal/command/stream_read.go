package command

import (
	"bytes"
	"math"
	"slices"
	"time"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// XREAD and XREADGROUP.

const (
	errUnbalanced = "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
	errNoGroupOpt = "ERR Missing GROUP option for XREADGROUP"
	errDollar     = "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying " +
		"a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."
	errGreater = "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
	errBlock   = "ERR timeout is not an integer or out of range"
)

// reading is the arguments of XREAD and XREADGROUP.
type reading struct {
	grouped         bool // XREADGROUP
	group, consumer []byte
	noAck           bool
	count           uint64 // 0: all
	block           bool
	patience        time.Duration // 0: for ever
	at, n           int           // the first key, and how many
}

// parseReading parses the arguments, or returns the text of the error.
func parseReading(args [][]byte) (r reading, fault string) {
	r.grouped = resp.IsWord(args[0], "XREADGROUP")
	named := false
	for i := 1; i < len(args) && r.at == 0; i++ {
		switch more := len(args) - i - 1; {
		case more > 0 && resp.IsWord(args[i], "BLOCK"):
			i++
			if fault = r.setBlock(args[i]); fault != "" {
				return r, fault
			}
		case more > 0 && resp.IsWord(args[i], "COUNT"):
			i++
			n, ok := resp.ParseInt(args[i])
			if !ok {
				return r, TextNotInt
			}
			r.count = uint64(max(n, 0))
		case more > 0 && resp.IsWord(args[i], "STREAMS"):
			r.at, r.n = i+1, more/2
			if more%2 != 0 {
				return r, errUnbalanced
			}
		case more > 1 && resp.IsWord(args[i], "GROUP"):
			if !r.grouped {
				return r, onlyGroup("GROUP")
			}
			r.group, r.consumer, named = args[i+1], args[i+2], true
			i += 2
		case resp.IsWord(args[i], "NOACK"):
			if !r.grouped {
				return r, onlyGroup("NOACK")
			}
			r.noAck = true
		default:
			return r, TextSyntax
		}
	}
	switch {
	case r.at == 0:
		return r, TextSyntax
	case r.grouped && !named:
		return r, errNoGroupOpt
	}
	return r, ""
}

func onlyGroup(option string) string {
	return "ERR The " + option + " option is only supported by XREADGROUP. You called XREAD instead."
}

func (r *reading) setBlock(arg []byte) (fault string) {
	ms, ok := resp.ParseInt(arg)
	switch {
	case !ok || ms > math.MaxInt64/2:
		return errBlock
	case ms < 0:
		return textTimeoutNegative
	}
	r.block, r.patience = true, patienceMax
	if ms < patienceMax.Milliseconds() {
		r.patience = time.Duration(ms) * time.Millisecond
	}
	return ""
}

// streamKeys finds the keys behind STREAMS.
func streamKeys(args [][]byte) (keys []int) {
	r, fault := parseReading(args)
	if r.at == 0 || fault == errUnbalanced {
		return nil
	}
	for i := range r.n {
		keys = append(keys, r.at+i)
	}
	return keys
}

// streamSource is one of the streams that are read.
type streamSource struct {
	key   []byte
	s     *keyspace.Stream // nil: there is none
	g     *keyspace.Group  // of XREADGROUP
	after keyspace.StreamID
	fresh bool // ">": what the group has not had
	again bool // the key was named before
}

func xread(c *Ctx) {
	r, fault := parseReading(c.Args)
	if fault != "" {
		c.Error(fault)
		return
	}
	sources := make([]streamSource, r.n)
	for i := range sources {
		if !r.open(c, i, &sources[i]) {
			return
		}
	}
	found := readings{proto: c.Proto}
	for i := range sources {
		x := &sources[i]
		switch {
		case r.grouped:
			readGroup(c, &r, x, &found)
		case x.s != nil:
			if from, ok := x.after.Next(); ok {
				n, entries := entriesOf(x.s, from, keyspace.StreamIDMax(), r.count, forward)
				found.add(x.key, n, entries, false)
			}
		}
	}
	if found.n > 0 {
		found.answer(c)
		return
	}
	c.NullArray()
	if r.block {
		waitForKeys(c, c.Args[r.at:r.at+r.n]...)
	}
}

// open looks for a stream and from where on it is to be read, or answers the error.
func (r *reading) open(c *Ctx, i int, x *streamSource) (ok bool) {
	x.key = c.Args[r.at+i]
	id := c.Args[r.at+r.n+i]
	o := c.Tx.Open(c.DB, x.key)
	if o != nil && o.Type != keyspace.TypeStream {
		if c.Waited && !r.grouped { // it waits for a stream, not for this
			return true
		}
		c.Error(errWrongType)
		return false
	}
	if o != nil {
		x.s = keyspace.StreamOf(o)
	}
	if r.grouped {
		x.again = slices.ContainsFunc(c.Args[r.at:r.at+i], func(k []byte) bool { return bytes.Equal(k, x.key) })
		if x.s != nil {
			x.g = x.s.Group(r.group)
		}
		if x.g == nil {
			c.Error("NOGROUP No such key '" + string(x.key) + "' or consumer group '" + string(r.group) + "' in XREADGROUP with GROUP option")
			return false
		}
	}
	switch string(id) {
	case "$":
		if r.grouped {
			c.Error(errDollar)
			return false
		}
		if x.s != nil {
			x.after = x.s.Last
		}
	case ">":
		if !r.grouped {
			c.Error(errGreater)
			return false
		}
		x.fresh = true
	default:
		x.after, ok = streamID(c, r.at+r.n+i)
		return ok
	}
	return true
}

// readings is the reply: entries by stream.
type readings struct {
	proto int
	n     int
	out   []byte
}

// add adds what a stream has; nothing only if empty is set.
func (r *readings) add(key []byte, n int, entries []byte, empty bool) {
	if n == 0 && !empty {
		return
	}
	r.n++
	if r.proto < 3 {
		r.out = resp.AppendArray(r.out, 2)
	}
	r.out = append(resp.AppendArray(resp.AppendBulk(r.out, key), n), entries...)
}

func (r *readings) answer(c *Ctx) {
	if r.proto < 3 {
		c.Array(r.n)
	} else {
		c.Map(r.n)
	}
	c.Out = append(c.Out, r.out...)
}
