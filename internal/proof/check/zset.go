package check

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// scores are the members of a sorted set. Workloads use whole numbers: how
// fractions are written is for other tests.
type scores = map[string]int64

// SortedSet is a sorted set: scores set, raised and removed, the least popped,
// ranges read.
func SortedSet() Model {
	return spec[scores]{
		name:  "sorted set",
		equal: maps.Equal[scores, scores],
		commands: map[string]command[scores]{
			"ZADD": {2, func(s scores, a []string) (scores, Reply) {
				n, err := strconv.ParseInt(a[0], 10, 64)
				if err != nil {
					return s, Reply{}
				}
				was := len(s)
				s = raise(s, a[1], func(int64) int64 { return n })
				return s, integer(int64(len(s) - was))
			}},
			"ZINCRBY": {2, func(s scores, a []string) (scores, Reply) {
				n, err := strconv.ParseInt(a[0], 10, 64)
				if err != nil {
					return s, Reply{}
				}
				s = raise(s, a[1], func(old int64) int64 { return old + n })
				return s, score(s[a[1]])
			}},
			"ZREM": {1, func(s scores, a []string) (scores, Reply) {
				_, ok := s[a[0]]
				return drop(s, a[0]), boolean(ok)
			}},
			"ZPOPMIN": {0, func(s scores, _ []string) (scores, Reply) {
				if len(s) == 0 {
					return s, array()
				}
				m := ranked(s)[0]
				return drop(s, m), Reply{Kind: KindArray, Elems: []Reply{str(m), score(s[m])}}
			}},
			"ZSCORE": {1, func(s scores, a []string) (scores, Reply) {
				n, ok := s[a[0]]
				return s, text{ok, strconv.FormatInt(n, 10)}.reply()
			}},
			"ZRANK": {1, func(s scores, a []string) (scores, Reply) {
				if _, ok := s[a[0]]; !ok {
					return s, null()
				}
				return s, integer(int64(slices.Index(ranked(s), a[0])))
			}},
			"ZCARD": {0, func(s scores, _ []string) (scores, Reply) { return s, integer(int64(len(s))) }},
			"ZRANGE": {2, func(s scores, a []string) (scores, Reply) {
				from, to, ok := places(a[0], a[1], len(s))
				if !ok {
					return s, Reply{}
				}
				return s, array(ranked(s)[from:to]...)
			}},
			"DEL": {0, func(s scores, _ []string) (scores, Reply) { return nil, boolean(len(s) > 0) }},
		},
	}.build()
}

func score(n int64) Reply { return str(strconv.FormatInt(n, 10)) }

func raise(s scores, member string, to func(old int64) int64) scores {
	next := make(scores, len(s)+1)
	maps.Copy(next, s)
	next[member] = to(s[member])
	return next
}

func drop(s scores, member string) scores {
	s = maps.Clone(s)
	delete(s, member)
	return s
}

// ranked are the members by score, those of one score by their bytes.
func ranked(s scores) []string {
	return slices.SortedFunc(maps.Keys(s), func(a, b string) int {
		return cmp.Or(cmp.Compare(s[a], s[b]), cmp.Compare(a, b))
	})
}
