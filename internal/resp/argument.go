package resp

import (
	"math"
	"strings"
)

// IsWord reports whether an argument is the word, in any case.
func IsWord(arg []byte, word string) bool {
	return len(arg) == len(word) && strings.EqualFold(string(arg), word)
}

// ParseInt reads a decimal number in the only form that Redis accepts, in
// arguments as in the protocol: no plus, no leading zero, no blank.
func ParseInt(b []byte) (int64, bool) {
	digits, negative := b, false
	if len(b) > 0 && b[0] == '-' {
		digits, negative = b[1:], true
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64 // 19 digits fit
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	switch {
	case negative && n <= -math.MinInt64:
		return -int64(n), true
	case negative || n > math.MaxInt64:
		return 0, false
	}
	return int64(n), true
}
