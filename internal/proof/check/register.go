package check

import (
	"math"
	"strconv"
)

// text is a string value, or none.
type text struct {
	set bool
	v   string
}

func (t text) reply() Reply {
	if !t.set {
		return null()
	}
	return str(t.v)
}

// Register is a string: read, written, swapped under conditions, counted.
// Compare and set is a GET under WATCH and a SET in MULTI.
func Register() Model {
	return spec[text]{
		name:  "register",
		equal: func(a, b text) bool { return a == b },
		commands: map[string]command[text]{
			"GET":    {0, func(s text, _ []string) (text, Reply) { return s, s.reply() }},
			"EXISTS": {0, func(s text, _ []string) (text, Reply) { return s, boolean(s.set) }},
			"STRLEN": {0, func(s text, _ []string) (text, Reply) { return s, integer(int64(len(s.v))) }},
			"GETSET": {1, func(s text, a []string) (text, Reply) { return text{true, a[0]}, s.reply() }},
			"GETDEL": {0, func(s text, _ []string) (text, Reply) { return text{}, s.reply() }},
			"DEL":    {0, func(s text, _ []string) (text, Reply) { return text{}, boolean(s.set) }},
			"APPEND": {1, func(s text, a []string) (text, Reply) {
				s = text{true, s.v + a[0]}
				return s, integer(int64(len(s.v)))
			}},
			"SETNX": {1, func(s text, a []string) (text, Reply) {
				if s.set {
					return s, boolean(false)
				}
				return text{true, a[0]}, boolean(true)
			}},
			"SET": {-1, func(s text, a []string) (text, Reply) {
				s, reply, _ := setText(s, a)
				return s, reply
			}},
			"INCR":   {0, func(s text, _ []string) (text, Reply) { return plus(s, "1", 1) }},
			"DECR":   {0, func(s text, _ []string) (text, Reply) { return plus(s, "1", -1) }},
			"INCRBY": {1, func(s text, a []string) (text, Reply) { return plus(s, a[0], 1) }},
			"DECRBY": {1, func(s text, a []string) (text, Reply) { return plus(s, a[0], -1) }},
		},
	}.build()
}

// setText is SET key value [NX | XX] [GET]; written says that it had an effect.
func setText(s text, a []string) (after text, reply Reply, written bool) {
	refuse, reply, skipped := false, str("OK"), null()
	for _, option := range a[1:] {
		switch option {
		case "NX":
			refuse = s.set
		case "XX":
			refuse = !s.set
		case "GET":
			reply, skipped = s.reply(), s.reply()
		default:
			return s, Reply{}, false
		}
	}
	if refuse {
		return s, skipped, false
	}
	return text{true, a[0]}, reply, true
}

func plus(s text, amount string, sign int64) (text, Reply) {
	n, err := int64(0), error(nil)
	if s.set {
		n, err = strconv.ParseInt(s.v, 10, 64)
	}
	d, err2 := strconv.ParseInt(amount, 10, 64)
	d *= sign
	switch {
	case err != nil || err2 != nil:
		return s, failure(errNotInteger)
	case d > 0 && n > math.MaxInt64-d, d < 0 && n < math.MinInt64-d:
		return s, failure(errOverflow)
	}
	return text{true, strconv.FormatInt(n+d, 10)}, integer(n + d)
}

func boolean(yes bool) Reply {
	if yes {
		return integer(1)
	}
	return integer(0)
}
