package resp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
)

// Bounds of a reply that ReadValue accepts.
const (
	valueDepthMax     = 128
	valueLineLenMax   = 64 << 10
	valueBulkLenMax   = 1 << 30
	valueElemsMax     = 1 << 24
	valueElemsAtOnce  = 64 // elements we make room for before they arrive
	verbatimFormatLen = 3
)

// Kind is the type of a Value. Its number is the byte that begins such a value
// on the wire.
type Kind byte

// The kinds of values. Those from KindNull on belong to version 3.
const (
	KindSimple    Kind = '+'
	KindError     Kind = '-'
	KindInt       Kind = ':'
	KindBulk      Kind = '$'
	KindArray     Kind = '*'
	KindNull      Kind = '_'
	KindBool      Kind = '#'
	KindDouble    Kind = ','
	KindBigNumber Kind = '('
	KindBulkError Kind = '!'
	KindVerbatim  Kind = '='
	KindMap       Kind = '%'
	KindSet       Kind = '~'
	KindPush      Kind = '>'
)

// kindAttribute begins a map that says something about the value behind it.
// ReadValue skips it, as a client must that does not know the attribute.
const kindAttribute Kind = '|'

// Value is one reply.
type Value struct {
	Kind  Kind
	Str   []byte  // text of a simple or bulk string, error, verbatim string; digits of a big number
	Int   int64   // of KindInt
	Float float64 // of KindDouble
	Bool  bool    // of KindBool
	Elems []Value // of an array, set or push; of a map, each key before its value
	Null  bool    // KindNull, or a KindBulk or KindArray of length -1
}

// IsError reports whether v is an error of either form.
func (v Value) IsError() bool { return v.Kind == KindError || v.Kind == KindBulkError }

// ReadValue reads one value of any type of versions 2 and 3, but not the
// streamed ones of unknown length, which no server sends.
//
// The error is a *ProtocolError if the bytes are no value or exceed the bounds
// of this package, io.EOF if the stream ends before the value,
// io.ErrUnexpectedEOF if it ends inside it, or the error of the stream. The
// place in the stream is lost after an error.
func ReadValue(br *bufio.Reader) (Value, error) {
	if _, err := br.Peek(1); err != nil {
		return Value{}, err
	}
	v, err := readValue(br, valueDepthMax)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}

// readValue reads one value nested at most depth levels.
func readValue(br *bufio.Reader, depth int) (Value, error) {
	for {
		if depth == 0 {
			return Value{}, &ProtocolError{Text: "value nested too deep"}
		}
		line, err := readLine(br)
		if err != nil {
			return Value{}, err
		}
		if len(line) == 0 {
			return Value{}, &ProtocolError{Text: "empty line instead of a value"}
		}
		kind, text := Kind(line[0]), line[1:]
		switch kind {
		case KindArray, KindMap, KindSet, KindPush:
			return readElems(br, kind, text, depth)
		case KindBulk, KindBulkError, KindVerbatim:
			return readBulk(br, kind, text)
		case kindAttribute:
			if _, err := readElems(br, KindMap, text, depth); err != nil {
				return Value{}, err
			}
		default:
			return parseScalar(kind, text)
		}
	}
}

// parseScalar returns the value of one line.
func parseScalar(kind Kind, text []byte) (Value, error) {
	v, ok := Value{Kind: kind}, true
	switch kind {
	case KindSimple, KindError:
		v.Str = bytes.Clone(text)
	case KindInt:
		v.Int, ok = ParseInt(bytes.TrimPrefix(text, []byte{'+'}))
	case KindNull:
		v.Null, ok = true, len(text) == 0
	case KindBool:
		v.Bool = string(text) == "t"
		ok = v.Bool || string(text) == "f"
	case KindDouble:
		var err error
		v.Float, err = strconv.ParseFloat(string(text), 64)
		ok = err == nil
	case KindBigNumber:
		v.Str, ok = bytes.Clone(text), isInteger(text)
	default:
		return Value{}, &ProtocolError{Text: "unknown type " + strconv.QuoteRune(rune(kind))}
	}
	if !ok {
		return Value{}, &ProtocolError{Text: "invalid value " + strconv.Quote(string(byte(kind))+string(text))}
	}
	return v, nil
}

// isInteger reports whether b is a decimal integer of any size.
func isInteger(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// readBulk reads the bytes behind a length line.
func readBulk(br *bufio.Reader, kind Kind, text []byte) (Value, error) {
	n, ok := ParseInt(text)
	if ok && n == -1 && kind == KindBulk {
		return Value{Kind: kind, Null: true}, nil
	}
	if !ok || n < 0 || n > valueBulkLenMax {
		return Value{}, &ProtocolError{Text: "invalid bulk length"}
	}
	b, err := readBytes(br, int(n)+2)
	if err != nil {
		return Value{}, err
	}
	if b[n] != '\r' || b[n+1] != '\n' {
		return Value{}, &ProtocolError{Text: "expected CRLF after bulk"}
	}
	b = b[:n:n]
	if kind == KindVerbatim {
		if len(b) <= verbatimFormatLen || b[verbatimFormatLen] != ':' {
			return Value{}, &ProtocolError{Text: "verbatim string without format"}
		}
		b = b[verbatimFormatLen+1:]
	}
	return Value{Kind: kind, Str: b}, nil
}

// readBytes reads n bytes into memory that grows as they arrive.
func readBytes(br *bufio.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, bulkStepMin))
	for got := 0; ; {
		m, err := io.ReadFull(br, b[got:])
		if err != nil {
			return nil, err
		}
		if got += m; got == n {
			return b, nil
		}
		grown := make([]byte, min(n, 2*got))
		copy(grown, b)
		b = grown
	}
}

// readElems reads the values behind a count line.
func readElems(br *bufio.Reader, kind Kind, text []byte, depth int) (Value, error) {
	n, ok := ParseInt(text)
	if ok && n == -1 && kind == KindArray {
		return Value{Kind: kind, Null: true}, nil
	}
	if !ok || n < 0 || n > valueElemsMax {
		return Value{}, &ProtocolError{Text: "invalid multibulk length"}
	}
	if kind == KindMap {
		n *= 2
	}
	v := Value{Kind: kind, Elems: make([]Value, 0, min(n, valueElemsAtOnce))}
	for range n {
		elem, err := readValue(br, depth-1)
		if err != nil {
			return Value{}, err
		}
		v.Elems = append(v.Elems, elem)
	}
	return v, nil
}

// readLine reads a line and returns it without its CR LF. It is valid until the
// next read.
func readLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) && len(long) <= valueLineLenMax {
			line, err = br.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	switch {
	case len(line) > valueLineLenMax:
		return nil, &ProtocolError{Text: "line too long"}
	case err != nil:
		return nil, err
	case !bytes.HasSuffix(line, []byte("\r\n")):
		return nil, &ProtocolError{Text: "expected CRLF at the end of a line"}
	}
	return line[:len(line)-2], nil
}
