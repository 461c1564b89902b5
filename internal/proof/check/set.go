package check

import (
	"maps"
	"slices"
)

// Set is a set: members added, removed and listed. They are fields without
// values.
func Set() Model {
	return spec[fields]{
		name:  "set",
		equal: maps.Equal[fields, fields],
		commands: map[string]command[fields]{
			"SADD": {-1, func(s fields, a []string) (fields, Reply) {
				was := len(s)
				s = with(s)
				for _, m := range a {
					s[m] = ""
				}
				return s, integer(int64(len(s) - was))
			}},
			"SREM": {-1, func(s fields, a []string) (fields, Reply) {
				was := len(s)
				s = with(s)
				for _, m := range a {
					delete(s, m)
				}
				return s, integer(int64(was - len(s)))
			}},
			"SISMEMBER": {1, func(s fields, a []string) (fields, Reply) {
				_, ok := s[a[0]]
				return s, boolean(ok)
			}},
			"SCARD": {0, func(s fields, _ []string) (fields, Reply) { return s, integer(int64(len(s))) }},
			"SMEMBERS": {0, func(s fields, _ []string) (fields, Reply) {
				return s, array(slices.Sorted(maps.Keys(s))...)
			}},
			"DEL": {0, func(s fields, _ []string) (fields, Reply) { return nil, boolean(len(s) > 0) }},
		},
	}.build()
}
