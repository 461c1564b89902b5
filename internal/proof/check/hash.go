package check

import (
	"maps"
	"slices"
)

// fields are the fields of a hash and their values.
type fields = map[string]string

// Hash is a hash: fields set, removed, counted and read.
func Hash() Model {
	return spec[fields]{
		name:  "hash",
		equal: maps.Equal[fields, fields],
		commands: map[string]command[fields]{
			"HSET": {-2, func(s fields, a []string) (fields, Reply) {
				if len(a)%2 != 0 {
					return s, Reply{}
				}
				was := len(s)
				s = with(s)
				for pair := range slices.Chunk(a, 2) {
					s[pair[0]] = pair[1]
				}
				return s, integer(int64(len(s) - was))
			}},
			"HSETNX": {2, func(s fields, a []string) (fields, Reply) {
				if _, ok := s[a[0]]; ok {
					return s, boolean(false)
				}
				s = with(s)
				s[a[0]] = a[1]
				return s, boolean(true)
			}},
			"HDEL": {-1, func(s fields, a []string) (fields, Reply) {
				was := len(s)
				s = with(s)
				for _, f := range a {
					delete(s, f)
				}
				return s, integer(int64(was - len(s)))
			}},
			"HINCRBY": {2, func(s fields, a []string) (fields, Reply) {
				old, ok := s[a[0]]
				sum, reply := plus(text{ok, old}, a[1], 1)
				if reply.Kind == KindError {
					if reply.Str == errNotInteger {
						reply.Str = errHashNotInteger
					}
					return s, reply
				}
				s = with(s)
				s[a[0]] = sum.v
				return s, reply
			}},
			"HGET": {1, func(s fields, a []string) (fields, Reply) {
				v, ok := s[a[0]]
				return s, text{ok, v}.reply()
			}},
			"HEXISTS": {1, func(s fields, a []string) (fields, Reply) {
				_, ok := s[a[0]]
				return s, boolean(ok)
			}},
			"HLEN": {0, func(s fields, _ []string) (fields, Reply) { return s, integer(int64(len(s))) }},
			"HGETALL": {0, func(s fields, _ []string) (fields, Reply) {
				var all []string
				for f, v := range s {
					all = append(all, f, v)
				}
				return s, array(all...)
			}},
			"DEL": {0, func(s fields, _ []string) (fields, Reply) { return nil, boolean(len(s) > 0) }},
		},
	}.build()
}

// with is a copy to write to.
func with(s fields) fields {
	if s == nil {
		return fields{}
	}
	return maps.Clone(s)
}
