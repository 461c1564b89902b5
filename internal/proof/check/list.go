package check

import (
	"slices"
	"strconv"
)

// List is a list: pushed and popped at both ends, and read.
func List() Model {
	return spec[[]string]{
		name:  "list",
		equal: slices.Equal[[]string],
		commands: map[string]command[[]string]{
			"RPUSH": {-1, func(s, a []string) ([]string, Reply) {
				s = slices.Concat(s, a)
				return s, integer(int64(len(s)))
			}},
			"LPUSH": {-1, func(s, a []string) ([]string, Reply) {
				a = slices.Clone(a)
				slices.Reverse(a)
				s = slices.Concat(a, s)
				return s, integer(int64(len(s)))
			}},
			"LPOP": {0, func(s, _ []string) ([]string, Reply) {
				if len(s) == 0 {
					return s, null()
				}
				return s[1:], str(s[0])
			}},
			"RPOP": {0, func(s, _ []string) ([]string, Reply) {
				if len(s) == 0 {
					return s, null()
				}
				return s[:len(s)-1], str(s[len(s)-1])
			}},
			"LLEN": {0, func(s, _ []string) ([]string, Reply) { return s, integer(int64(len(s))) }},
			"DEL":  {0, func(s, _ []string) ([]string, Reply) { return nil, boolean(len(s) > 0) }},
			"LRANGE": {2, func(s, a []string) ([]string, Reply) {
				from, to, ok := places(a[0], a[1], len(s))
				if !ok {
					return s, Reply{}
				}
				return s, array(s[from:to]...)
			}},
		},
	}.build()
}

// places turns first and last place, negative from the end, into a range of a
// slice of n.
func places(first, last string, n int) (from, to int, ok bool) {
	from, err := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err != nil || err2 != nil {
		return 0, 0, false
	}
	if from < 0 {
		from += n
	}
	if to < 0 {
		to += n
	}
	from, to = max(from, 0), min(to+1, n)
	if from >= to {
		return 0, 0, true
	}
	return from, to, true
}
