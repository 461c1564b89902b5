package command

import (
	"bytes"
	"math"
	"strconv"

	"tutti/internal/keyspace"
)

const (
	errStreamID    = "ERR Invalid stream ID specified as stream command argument"
	errStreamStart = "ERR invalid start ID for the interval"
	errStreamEnd   = "ERR invalid end ID for the interval"
)

// streamIDLenMax is how long an id may be.
const streamIDLenMax = 127

// parseStreamID parses "ms-seq", or "ms" with the given sequence. auto says that the
// sequence is "*": to be found.
func parseStreamID(b []byte, seq uint64) (id keyspace.StreamID, auto, ok bool) {
	if len(b) > streamIDLenMax {
		return id, false, false
	}
	ms, rest, found := bytes.Cut(b, []byte{'-'})
	if id.Ms, ok = parseUint(ms); !ok {
		return id, false, false
	}
	switch {
	case !found:
		id.Seq = seq
	case len(rest) == 1 && rest[0] == '*':
		auto = true
	default:
		id.Seq, ok = parseUint(rest)
	}
	return id, auto, ok
}

// parseUint takes what C's strtoull does, but for minus signs.
func parseUint(b []byte) (uint64, bool) {
	b = bytes.TrimPrefix(bytes.TrimLeft(b, " \t\n\v\f\r"), []byte{'+'})
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

// streamID parses argument i as an id, with 0 as the sequence that it lacks, or
// answers the error.
func streamID(c *Ctx, i int) (id keyspace.StreamID, ok bool) {
	id, auto, ok := parseStreamID(c.Args[i], 0)
	if !ok || auto {
		c.Error(errStreamID)
		return id, false
	}
	return id, true
}

// streamIDs parses the arguments from i on as ids.
func streamIDs(c *Ctx, i int) (ids []keyspace.StreamID, ok bool) {
	ids = make([]keyspace.StreamID, len(c.Args)-i)
	for k := range ids {
		if ids[k], ok = streamID(c, i+k); !ok {
			return nil, false
		}
	}
	return ids, true
}

// bound is one end of a range of ids: "-", "+", an id, or one behind "(", which is not
// in the range.
func bound(c *Ctx, i int, seq uint64) (id keyspace.StreamID, open, ok bool) {
	b := c.Args[i]
	if open = len(b) > 1 && b[0] == '('; open {
		b = b[1:]
	}
	switch {
	case !open && string(b) == "-":
		return id, false, true
	case !open && string(b) == "+":
		return keyspace.StreamIDMax(), false, true
	}
	id, auto, ok := parseStreamID(b, seq)
	if !ok || auto {
		c.Error(errStreamID)
		return id, false, false
	}
	return id, open, true
}

// startID parses argument i as the start of a range of ids, or answers the error.
func startID(c *Ctx, i int) (id keyspace.StreamID, ok bool) {
	id, open, ok := bound(c, i, 0)
	if !ok || !open {
		return id, ok
	}
	if id, ok = id.Next(); !ok {
		c.Error(errStreamStart)
	}
	return id, ok
}

// endID parses argument i as the end of a range of ids, or answers the error.
func endID(c *Ctx, i int) (id keyspace.StreamID, ok bool) {
	id, open, ok := bound(c, i, math.MaxUint64)
	if !ok || !open {
		return id, ok
	}
	if id, ok = id.Prev(); !ok {
		c.Error(errStreamEnd)
	}
	return id, ok
}

// writeID answers with an id.
func writeID(c *Ctx, id keyspace.StreamID) {
	var room [48]byte
	c.Bulk(id.Append(room[:0]))
}
