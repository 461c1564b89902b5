package resp

import (
	"fmt"
	"strconv"
	"strings"
)

// String returns v on one line, for tests and logs: strings quoted, simple
// strings bare, errors in parentheses, arrays in brackets, sets and maps in
// braces, null as nil.
func (v Value) String() string {
	var b strings.Builder
	v.write(&b)
	return b.String()
}

// write writes what String returns.
func (v Value) write(b *strings.Builder) {
	if v.Null {
		b.WriteString("nil")
		return
	}
	switch v.Kind {
	case KindError, KindBulkError:
		b.WriteString("(error) ")
		b.Write(v.Str)
	case KindBulk, KindVerbatim:
		b.WriteString(quoteCLI(v.Str))
	case KindArray:
		v.writeElems(b, "[", "]")
	case KindPush:
		v.writeElems(b, ">[", "]")
	case KindSet, KindMap:
		v.writeElems(b, "{", "}")
	default:
		b.WriteString(v.scalar())
	}
}

// writeElems writes the elements, those of a map as "key: value".
func (v Value) writeElems(b *strings.Builder, open, end string) {
	b.WriteString(open)
	for i, elem := range v.Elems {
		switch {
		case i > 0 && v.Kind == KindMap && i%2 == 1:
			b.WriteString(": ")
		case i > 0:
			b.WriteByte(' ')
		}
		elem.write(b)
	}
	b.WriteString(end)
}

// scalar returns the text of a value that is neither a bulk nor an aggregate.
func (v Value) scalar() string {
	switch v.Kind {
	case KindSimple, KindBigNumber:
		return string(v.Str)
	case KindInt:
		return strconv.FormatInt(v.Int, 10)
	case KindBool:
		return strconv.FormatBool(v.Bool)
	case KindDouble:
		return FormatDouble(v.Float)
	case 0:
		return "(no value)" // the zero Value, which a test may print
	}
	panic(fmt.Sprintf("resp: unknown kind %q", byte(v.Kind)))
}

// FormatCLI returns v as redis-cli shows it on a terminal, without the last
// line end.
func (v Value) FormatCLI() string {
	var b strings.Builder
	v.writeCLI(&b, "")
	return b.String()
}

// writeCLI writes what FormatCLI returns; lines after the first begin with
// prefix.
func (v Value) writeCLI(b *strings.Builder, prefix string) {
	if v.Null {
		b.WriteString("(nil)")
		return
	}
	switch v.Kind {
	case KindError, KindBulkError:
		b.WriteString("(error) " + string(v.Str))
	case KindInt:
		b.WriteString("(integer) " + v.scalar())
	case KindDouble:
		b.WriteString("(double) " + v.scalar())
	case KindBool:
		b.WriteString("(" + v.scalar() + ")")
	case KindBulk:
		b.WriteString(quoteCLI(v.Str))
	case KindVerbatim:
		b.Write(v.Str)
	case KindArray, KindMap, KindSet, KindPush:
		v.writeElemsCLI(b, prefix)
	default:
		b.WriteString(v.scalar())
	}
}

// cliAggregates says how redis-cli numbers and names each kind of aggregate.
var cliAggregates = map[Kind]struct{ mark, empty string }{
	KindArray: {")", "(empty array)"},
	KindMap:   {"#", "(empty hash)"},
	KindSet:   {"~", "(empty set)"},
	KindPush:  {")", "(empty push)"},
}

// writeElemsCLI writes the elements as a numbered list.
func (v Value) writeElemsCLI(b *strings.Builder, prefix string) {
	look := cliAggregates[v.Kind]
	if len(v.Elems) == 0 {
		b.WriteString(look.empty)
		return
	}
	step := 1
	if v.Kind == KindMap {
		step = 2
	}
	width := len(strconv.Itoa(len(v.Elems) / step))
	inner := prefix + strings.Repeat(" ", width+2)
	for i := 0; i < len(v.Elems); i += step {
		if i > 0 {
			b.WriteString("\n" + prefix)
		}
		fmt.Fprintf(b, "%*d%s ", width, i/step+1, look.mark)
		v.Elems[i].writeCLI(b, inner)
		if step == 2 && i+1 < len(v.Elems) {
			b.WriteString(" => ")
			v.Elems[i+1].writeCLI(b, inner)
		}
	}
}

// cliEscapes are the bytes redis-cli has a short name for.
var cliEscapes = map[byte]string{
	'\\': `\\`, '"': `\"`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\a': `\a`, '\b': `\b`,
}

// quoteCLI quotes b as redis-cli does: bytes beyond ASCII are escaped one by
// one.
func quoteCLI(b []byte) string {
	const hex = "0123456789abcdef"
	out := append(make([]byte, 0, len(b)+2), '"')
	for _, c := range b {
		name, named := cliEscapes[c]
		switch {
		case named:
			out = append(out, name...)
		case c < ' ' || c > '~':
			out = append(out, '\\', 'x', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '"'))
}
