package sim

import (
	"fmt"
	"strings"

	"tutti/internal/proof/check"
	"tutti/internal/resp"
)

// streamGroup is the group of each stream.
const streamGroup = "g"

// stream adds entries, or works in the group as a program does: takes new entries, those
// that it has, or those of others, and acknowledges what it was given, or does not.
func (w worker) stream(keys []string, value int) (int, bool) {
	key, consumer := keys[0], fmt.Sprint("c", w.r.IntN(3))
	count := fmt.Sprint(1 + w.r.IntN(3))
	switch n := w.r.IntN(100); {
	case n < 40:
		return w.some(func(value int) []string {
			return []string{"XADD", key, check.StreamTime, "v", fmt.Sprint(value)}
		}, value)
	case n < 70:
		return w.consume(key, "XREADGROUP", "GROUP", streamGroup, consumer, "COUNT", count, "STREAMS", key, ">")
	case n < 77:
		return w.consume(key, "XREADGROUP", "GROUP", streamGroup, consumer, "COUNT", count, "STREAMS", key, "0")
	case n < 87:
		return w.consume(key, "XAUTOCLAIM", key, streamGroup, consumer, "0", "0", "COUNT", count)
	case n < 90:
		return w.one(xpending(key)...)
	case n < 93:
		return w.one(xrange(key)...)
	default: // two who acknowledge the same
		return w.one("XACK", key, streamGroup, fmt.Sprintf("%s%d", strings.TrimSuffix(check.StreamTime, "*"), w.r.IntN(30)))
	}
}

// consume takes entries by a command, and acknowledges all or some of what it gets. The
// group is made by whoever finds that it is missing.
func (w worker) consume(key string, args ...string) (n int, ok bool) {
	v, ok := w.Do(w.id, w.k, args...)
	if !ok {
		return 1, false
	}
	if v.IsError() {
		n, ok := w.one("XGROUP", "CREATE", key, streamGroup, "0", "MKSTREAM")
		return n + 1, ok
	}
	ids := given(v)
	for i, id := range ids {
		if w.r.IntN(3) == 0 { // it dies, as far as the group can tell
			return 1 + i, true
		}
		if _, ok := w.one("XACK", key, streamGroup, id); !ok {
			return 2 + i, false
		}
	}
	return 1 + len(ids), true
}

// given are the ids of the entries in a reply of XREADGROUP or XAUTOCLAIM.
func given(v resp.Value) (ids []string) {
	switch {
	case len(v.Elems) == 1: // of one stream
		v = v.Elems[0].Elems[1]
	case len(v.Elems) == 3:
		v = v.Elems[1]
	}
	for _, e := range v.Elems {
		ids = append(ids, string(e.Elems[0].Str))
	}
	return ids
}
