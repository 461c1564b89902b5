package command

import (
	"bytes"
	"math/big"

	"tutti/internal/resp"
)

// INCRBYFLOAT and HINCRBYFLOAT count in C's long double, which has 64 bits of
// mantissa on amd64. Clients see that: 0.1 + 0.2 is 0.3 there and
// 0.30000000000000004 in a float64.
const (
	longDoubleBits   = 64
	longDoubleExpMax = 16384  // every value is below 2^16384
	longDoubleExpMin = -16444 // the smallest one above zero is 0.5 * 2^-16444
	longDoubleLenMax = 5 * 1024
)

// parseLongDouble accepts what strtold does, but no blanks, no NaN and no
// number that is too big or too small to be told from zero.
func parseLongDouble(b []byte) (*big.Float, bool) {
	if len(b) == 0 || len(b) >= longDoubleLenMax || bytes.IndexByte(b, '_') >= 0 {
		return nil, false
	}
	digits := b
	if b[0] == '+' || b[0] == '-' {
		digits = b[1:]
	}
	f := new(big.Float).SetPrec(longDoubleBits)
	if resp.IsWord(digits, "INF") || resp.IsWord(digits, "INFINITY") {
		return f.SetInf(b[0] == '-'), true
	}
	base, exponent := 10, "eE"
	if len(digits) > 1 && digits[0] == '0' && digits[1]|0x20 == 'x' {
		base, exponent = 0, "pP" // by the prefix
	} else if bytes.ContainsAny(digits, "pP") {
		return nil, false
	}
	if _, _, err := f.Parse(string(b), base); err != nil || f.IsInf() {
		return nil, false
	}
	if f.Sign() == 0 {
		if i := bytes.IndexAny(digits, exponent); i >= 0 {
			digits = digits[:i]
		}
		return f, !bytes.ContainsAny(digits, "123456789abcdefABCDEF")
	}
	exp := f.MantExp(nil)
	return f, longDoubleExpMin <= exp && exp <= longDoubleExpMax
}

// addLongDouble returns a + b; ok is false if that is infinite or not a number.
func addLongDouble(a, b *big.Float) (sum *big.Float, ok bool) {
	if a.IsInf() || b.IsInf() {
		return nil, false
	}
	sum = new(big.Float).SetPrec(longDoubleBits).Add(a, b)
	return sum, sum.MantExp(nil) <= longDoubleExpMax
}

// appendLongDouble appends f without an exponent, with at most 17 digits after
// the point and no zeros at the end.
func appendLongDouble(dst []byte, f *big.Float) []byte {
	at := len(dst)
	dst = f.Append(dst, 'f', 17)
	dst = bytes.TrimRight(dst, "0")
	dst = bytes.TrimSuffix(dst, []byte("."))
	if string(dst[at:]) == "-0" {
		dst = append(dst[:at], '0')
	}
	return dst
}
