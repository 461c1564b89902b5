package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// streamTime is what ids begin with: workloads give it to XADD, so that what the rest of
// an id must be depends on no clock.
const streamTime = "7-"

// StreamTime is the id by which workloads add entries to a stream.
const StreamTime = streamTime + "*"

// stream is a stream with at most one group.
type stream struct {
	values  []string // of the entries, in order; the id of the i-th ends in i
	group   bool
	read    int         // entries that the group has delivered
	pending []delivered // by entry
}

// delivered is an entry that a consumer has and nobody has acknowledged.
type delivered struct {
	entry    int
	consumer string
}

const errBusyGroup = "BUSYGROUP Consumer Group name already exists"

// noGroup is what is left of an error that names a key and a group.
func noGroup() Reply { return failure("NOGROUP") }

// Stream is a stream and a group of consumers: entries are added, delivered to one
// consumer each, taken over by others, acknowledged once, and read.
func Stream() Model {
	return spec[stream]{
		name: "stream",
		equal: func(a, b stream) bool {
			return a.group == b.group && a.read == b.read && slices.Equal(a.values, b.values) && slices.Equal(a.pending, b.pending)
		},
		commands: map[string]command[stream]{
			"XADD": {3, func(s stream, a []string) (stream, Reply) {
				if a[0] != StreamTime {
					return s, Reply{}
				}
				s.values = slices.Concat(s.values, a[2:3])
				return s, str(entryID(len(s.values) - 1))
			}},
			"XLEN":   {0, func(s stream, _ []string) (stream, Reply) { return s, integer(int64(len(s.values))) }},
			"XRANGE": {2, func(s stream, _ []string) (stream, Reply) { return s, s.entries(0, len(s.values)) }},
			"XGROUP": {-4, func(s stream, _ []string) (stream, Reply) {
				if s.group {
					return s, failure(errBusyGroup)
				}
				s.group = true
				return s, str("OK")
			}},
			"XREADGROUP": {7, stream.readGroup},
			"XACK":       {2, stream.acknowledge},
			"XAUTOCLAIM": {-6, stream.takeOver},
			"XPENDING":   {1, stream.summary},
		},
	}.build()
}

func entryID(i int) string { return streamTime + strconv.Itoa(i) }

// one is an entry as commands answer it.
func (s stream) one(i int) Reply {
	return Reply{Kind: KindArray, Elems: []Reply{str(entryID(i)), array("v", s.values[i])}}
}

func (s stream) entries(from, to int) Reply {
	r := Reply{Kind: KindArray, Elems: make([]Reply, 0, to-from)}
	for i := from; i < to; i++ {
		r.Elems = append(r.Elems, s.one(i))
	}
	return r
}

// readGroup is XREADGROUP GROUP group consumer COUNT n STREAMS key id.
func (s stream) readGroup(a []string) (stream, Reply) {
	consumer, key, id := a[1], a[5], a[6]
	n, err := strconv.Atoi(a[3])
	if err != nil {
		return s, Reply{}
	}
	if !s.group {
		return s, noGroup()
	}
	list := Reply{Kind: KindArray}
	if id == ">" {
		to := min(s.read+n, len(s.values))
		if to == s.read {
			return s, null()
		}
		list = s.entries(s.read, to)
		s.pending = slices.Clone(s.pending)
		for ; s.read < to; s.read++ {
			s.pending = append(s.pending, delivered{s.read, consumer})
		}
	} else {
		for _, d := range s.pending {
			if d.consumer == consumer && len(list.Elems) < n {
				list.Elems = append(list.Elems, s.one(d.entry))
			}
		}
	}
	return s, Reply{Kind: KindArray, Elems: []Reply{{Kind: KindArray, Elems: []Reply{str(key), list}}}}
}

// acknowledge is XACK key group id.
func (s stream) acknowledge(a []string) (stream, Reply) {
	i := slices.IndexFunc(s.pending, func(d delivered) bool { return entryID(d.entry) == a[1] })
	if i < 0 {
		return s, integer(0)
	}
	s.pending = slices.Delete(slices.Clone(s.pending), i, i+1)
	return s, integer(1)
}

// takeOver is XAUTOCLAIM key group consumer 0 0 COUNT n.
func (s stream) takeOver(a []string) (stream, Reply) {
	if !s.group {
		return s, noGroup()
	}
	n, err := strconv.Atoi(a[len(a)-1])
	if err != nil || a[2] != "0" || a[3] != "0" {
		return s, Reply{}
	}
	list, next := Reply{Kind: KindArray}, "0-0"
	s.pending = slices.Clone(s.pending)
	for i := range s.pending {
		if i == n {
			next = entryID(s.pending[i].entry)
			break
		}
		s.pending[i].consumer = a[1]
		list.Elems = append(list.Elems, s.one(s.pending[i].entry))
	}
	return s, Reply{Kind: KindArray, Elems: []Reply{str(next), list, {Kind: KindArray}}}
}

// summary is XPENDING key group.
func (s stream) summary([]string) (stream, Reply) {
	if !s.group {
		return s, noGroup()
	}
	if len(s.pending) == 0 {
		return s, Reply{Kind: KindArray, Elems: []Reply{integer(0), null(), null(), null()}}
	}
	count := make(map[string]int)
	var names []string
	for _, d := range s.pending {
		if count[d.consumer]++; count[d.consumer] == 1 {
			names = append(names, d.consumer)
		}
	}
	slices.Sort(names)
	consumers := Reply{Kind: KindArray}
	for _, name := range names {
		consumers.Elems = append(consumers.Elems, array(name, fmt.Sprint(count[name])))
	}
	return s, Reply{Kind: KindArray, Elems: []Reply{integer(int64(len(s.pending))),
		str(entryID(s.pending[0].entry)), str(entryID(s.pending[len(s.pending)-1].entry)), consumers}}
}

// streamKey is the key of a command that does not name it first, if it is one.
func streamKey(args []string) (key string, ok bool) {
	switch {
	case args[0] == "XREADGROUP" && len(args) > 1:
		return args[len(args)-2], true
	case args[0] == "XGROUP" && len(args) > 2:
		return args[2], true
	}
	return "", false
}

// nameless cuts off what an error says of a key and a group.
func nameless(r Reply) Reply {
	if r.Kind == KindError && strings.HasPrefix(r.Str, "NOGROUP ") {
		return noGroup()
	}
	return r
}
