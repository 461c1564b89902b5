package resp

import (
	"math"
	"strconv"
	"strings"
)

// AppendSimple appends a simple string. A CR or LF in s becomes a blank, since
// it would end the reply.
func AppendSimple(dst []byte, s string) []byte {
	return appendLine(append(dst, '+'), s)
}

// AppendError appends an error. The text begins with its code, as in "ERR
// syntax error"; the dash is added. A CR or LF in it becomes a blank.
func AppendError(dst []byte, text string) []byte {
	return appendLine(append(dst, '-'), text)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	return appendHeader(dst, ':', n)
}

// AppendBulk appends a bulk string. A nil slice is an empty string, not null.
func AppendBulk(dst, b []byte) []byte {
	dst = appendHeader(dst, '$', int64(len(b)))
	dst = append(dst, b...)
	return append(dst, '\r', '\n')
}

// AppendBulkString appends s as a bulk string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = appendHeader(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendArray appends the header of an array; its n values follow.
func AppendArray(dst []byte, n int) []byte {
	return appendHeader(dst, '*', int64(n))
}

// AppendNull appends the null that stands for a missing string.
func AppendNull(dst []byte, proto int) []byte {
	if proto < 3 {
		return append(dst, "$-1\r\n"...)
	}
	return append(dst, "_\r\n"...)
}

// AppendNullArray appends the null that stands for a missing array.
func AppendNullArray(dst []byte, proto int) []byte {
	if proto < 3 {
		return append(dst, "*-1\r\n"...)
	}
	return append(dst, "_\r\n"...)
}

// AppendMap appends the header of a map of n pairs; 2*n values follow, each key
// before its value.
func AppendMap(dst []byte, proto, n int) []byte {
	if proto < 3 {
		return AppendArray(dst, 2*n)
	}
	return appendHeader(dst, '%', int64(n))
}

// AppendSet appends the header of a set; its n values follow.
func AppendSet(dst []byte, proto, n int) []byte {
	if proto < 3 {
		return AppendArray(dst, n)
	}
	return appendHeader(dst, '~', int64(n))
}

// AppendPush appends the header of a message the client did not ask for; its n
// values follow.
func AppendPush(dst []byte, proto, n int) []byte {
	if proto < 3 {
		return AppendArray(dst, n)
	}
	return appendHeader(dst, '>', int64(n))
}

// AppendDouble appends f in the form of FormatDouble.
func AppendDouble(dst []byte, proto int, f float64) []byte {
	var room [32]byte
	text := appendFloat(room[:0], f)
	if proto < 3 {
		return AppendBulk(dst, text)
	}
	dst = append(dst, ',')
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// AppendBool appends a boolean, which is the integer 1 or 0 in version 2.
func AppendBool(dst []byte, proto int, b bool) []byte {
	text := ":0\r\n"
	switch {
	case proto < 3 && b:
		text = ":1\r\n"
	case proto >= 3 && b:
		text = "#t\r\n"
	case proto >= 3:
		text = "#f\r\n"
	}
	return append(dst, text...)
}

// AppendVerbatim appends a text to be shown as it is. The format is three bytes
// long, "txt" or "mkd"; any other length is a bug and panics.
func AppendVerbatim(dst []byte, proto int, format, text string) []byte {
	if len(format) != verbatimFormatLen {
		panic("resp: format of verbatim string is " + strconv.Quote(format))
	}
	if proto < 3 {
		return AppendBulkString(dst, text)
	}
	dst = appendHeader(dst, '=', int64(len(format)+1+len(text)))
	dst = append(dst, format...)
	dst = append(dst, ':')
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// AppendBigNumber appends an integer of any size, given by its digits.
func AppendBigNumber(dst []byte, proto int, digits string) []byte {
	if proto < 3 {
		return AppendBulkString(dst, digits)
	}
	return appendLine(append(dst, '('), digits)
}

// AppendCommand appends a command as a client sends it.
func AppendCommand(dst []byte, args ...[]byte) []byte {
	dst = AppendArray(dst, len(args))
	for _, arg := range args {
		dst = AppendBulk(dst, arg)
	}
	return dst
}

// AppendCommandStrings appends a command as a client sends it.
func AppendCommandStrings(dst []byte, args ...string) []byte {
	dst = AppendArray(dst, len(args))
	for _, arg := range args {
		dst = AppendBulkString(dst, arg)
	}
	return dst
}

// FormatDouble returns the shortest decimal number that reads back as f, laid
// out as Redis 7.2 does: whole numbers up to 2^62 are written as integers, larger
// ones with an exponent, and the others are "inf", "-inf" and "nan".
func FormatDouble(f float64) string {
	var room [32]byte
	return string(appendFloat(room[:0], f))
}

// appendFloat appends f as FormatDouble describes. strconv has the digits right
// but changes to an exponent elsewhere, so the layout is made here.
func appendFloat(dst []byte, f float64) []byte {
	const wholeMax = 1 << 62
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f == 0 && math.Signbit(f):
		return append(dst, "-0"...)
	case f == math.Trunc(f) && -wholeMax <= f && f <= wholeMax:
		return strconv.AppendInt(dst, int64(f), 10)
	case f < 0:
		dst = append(dst, '-')
		f = -f
	}
	var room [32]byte
	digits, point := decimal(room[:0], f)
	return appendDecimal(dst, digits, point)
}

// decimal returns the shortest digits of f > 0, in room, and the place of the
// decimal point: f = 0.digits * 10^point.
func decimal(room []byte, f float64) (digits []byte, point int) {
	text := strconv.AppendFloat(room, f, 'e', -1, 64) // d[.ddd]e±dd
	e := len(text) - 1
	for text[e] != 'e' {
		e--
	}
	exponent, err := strconv.Atoi(string(text[e+1:]))
	if err != nil {
		panic("resp: no exponent in " + string(text))
	}
	mantissa := text[:e]
	if len(mantissa) > 1 {
		copy(mantissa[1:], mantissa[2:]) // drop the point
		mantissa = mantissa[:len(mantissa)-1]
	}
	return mantissa, exponent + 1
}

// appendDecimal appends 0.digits * 10^point. Where it turns to an exponent is
// what clients compare replies with, so the three limits are those of Redis.
func appendDecimal(dst, digits []byte, point int) []byte {
	exponent := point - 1
	distance := max(exponent, -exponent)
	scale := point - len(digits) // the value is digits * 10^scale
	whole := scale >= 0 && distance < len(digits)+7
	fraction := scale < 0 && (scale > -7 || distance < 4)
	switch {
	case whole:
		dst = append(dst, digits...)
		return appendZeros(dst, scale)
	case fraction && point <= 0:
		dst = append(dst, "0."...)
		dst = appendZeros(dst, -point)
		return append(dst, digits...)
	case fraction:
		dst = append(dst, digits[:point]...)
		dst = append(dst, '.')
		return append(dst, digits[point:]...)
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(dst, '.')
		dst = append(dst, digits[1:]...)
	}
	dst = append(dst, 'e')
	if exponent >= 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(exponent), 10)
}

// appendZeros appends n times the digit zero.
func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}

// appendHeader appends a type byte, a number and the end of the line.
func appendHeader(dst []byte, kind byte, n int64) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

// appendLine appends s and the end of the line, with no line end inside.
func appendLine(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	if strings.ContainsAny(s, "\r\n") {
		for i, c := range dst[start:] {
			if c == '\r' || c == '\n' {
				dst[start+i] = ' '
			}
		}
	}
	return append(dst, '\r', '\n')
}
