package check

import (
	"slices"
	"strconv"
	"strings"

	"tutti/internal/resp"
)

// Kind is what a Reply is. Simple and bulk strings are one kind: no checker
// here cares which way a string travelled.
type Kind uint8

// The kinds of replies.
const (
	KindNone Kind = iota // no reply is known
	KindNil
	KindInt
	KindString
	KindArray
	KindError
)

// Reply is what a client was told.
type Reply struct {
	Kind  Kind
	Int   int64   // of KindInt
	Str   string  // of KindString and KindError: any bytes
	Elems []Reply // of KindArray
}

// FromRESP takes over a reply as it came from the wire. Maps and sets become
// arrays; doubles and booleans what RESP2 says instead.
func FromRESP(v resp.Value) Reply {
	switch {
	case v.Null:
		return null()
	case v.IsError():
		return Reply{Kind: KindError, Str: string(v.Str)}
	case v.Kind == resp.KindInt:
		return integer(v.Int)
	case v.Kind == resp.KindDouble:
		return str(strconv.FormatFloat(v.Float, 'g', -1, 64))
	case v.Kind == resp.KindBool && v.Bool:
		return integer(1)
	case v.Kind == resp.KindBool:
		return integer(0)
	case v.Kind == resp.KindArray, v.Kind == resp.KindMap, v.Kind == resp.KindSet, v.Kind == resp.KindPush:
		r := Reply{Kind: KindArray, Elems: make([]Reply, len(v.Elems))}
		for i, e := range v.Elems {
			r.Elems[i] = FromRESP(e)
		}
		return r
	}
	return str(string(v.Str))
}

func null() Reply           { return Reply{Kind: KindNil} }
func integer(n int64) Reply { return Reply{Kind: KindInt, Int: n} }
func str(s string) Reply    { return Reply{Kind: KindString, Str: s} }
func failure(s string) Reply {
	return Reply{Kind: KindError, Str: s}
}

// array is a reply of strings.
func array(elems ...string) Reply {
	r := Reply{Kind: KindArray, Elems: make([]Reply, len(elems))}
	for i, e := range elems {
		r.Elems[i] = str(e)
	}
	return r
}

// Equal reports whether two replies say the same.
func (r Reply) Equal(o Reply) bool {
	return r.Kind == o.Kind && r.Int == o.Int && r.Str == o.Str && slices.EqualFunc(r.Elems, o.Elems, Reply.Equal)
}

// collect adds all strings of a reply to a set.
func (r Reply) collect(to map[string]bool) {
	to[r.Str] = true
	for _, e := range r.Elems {
		e.collect(to)
	}
}

// strings returns the elements of an array of strings.
func (r Reply) strings() (elems []string, ok bool) {
	if r.Kind != KindArray {
		return nil, false
	}
	for _, e := range r.Elems {
		if e.Kind != KindString {
			return nil, false
		}
		elems = append(elems, e.Str)
	}
	return elems, true
}

// String is for people: strings stand in quotes only if they need them.
func (r Reply) String() string {
	switch r.Kind {
	case KindNone:
		return "?"
	case KindNil:
		return "nil"
	case KindInt:
		return "(" + strconv.FormatInt(r.Int, 10) + ")"
	case KindError:
		return "-" + quote(r.Str)
	case KindString:
		return quote(r.Str)
	case KindArray:
		parts := make([]string, len(r.Elems))
		for i, e := range r.Elems {
			parts[i] = e.String()
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	panic("kind of reply " + strconv.Itoa(int(r.Kind)))
}

// quote puts a string into quotes if it could be mistaken without.
func quote(s string) string {
	plain := s != "" && s != "nil" && s != "?"
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] > ' ' && s[i] < 0x7f && !strings.ContainsRune(`"[]()\`, rune(s[i]))
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}
