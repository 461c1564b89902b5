package command

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// Texts of errors that several families give, as Redis words them.
const (
	errSyntax    = "ERR syntax error"
	errNotInt    = "ERR value is not an integer or out of range"
	errNotFloat  = "ERR value is not a valid float"
	errWrongType = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errNoKey     = "ERR no such key"
	errRange     = "ERR value is out of range, must be positive"
	errWriteSet  = "ERR the command would write more than 16 MiB at once. Not applied. Split it into smaller ones."
)

// Ctx is one command under evaluation.
type Ctx struct {
	Tx    *keyspace.Tx
	DB    uint8
	Proto int      // 2 or 3: the RESP version of the reply
	Args  [][]byte // Args[0] is the name. Not to be changed or kept.
	Out   []byte   // replies are appended here

	failed bool
}

// Run evaluates cmd with its arity already checked, and appends its reply to
// c.Out. If the command fails, what it wrote is taken back.
func (c *Ctx) Run(cmd *Command) {
	c.failed = false
	at := len(c.Out)
	if c.Tx.Writable() {
		c.Tx.Mark()
	}
	cmd.Run(c)
	if c.Tx.Writable() && c.Tx.Written() > keyspace.WriteSetMax {
		c.Out = c.Out[:at]
		c.Error(errWriteSet)
	}
	if c.failed && c.Tx.Writable() {
		c.Tx.Rollback()
	}
}

// Failed reports whether the last command answered with an error.
func (c *Ctx) Failed() bool { return c.failed }

// Error answers with an error and takes back what the command wrote.
func (c *Ctx) Error(text string) {
	c.failed = true
	c.Out = resp.AppendError(c.Out, text)
}

// OK answers +OK.
func (c *Ctx) OK() { c.Out = append(c.Out, "+OK\r\n"...) }

// Simple answers with a simple string.
func (c *Ctx) Simple(s string) { c.Out = resp.AppendSimple(c.Out, s) }

// Int answers with an integer.
func (c *Ctx) Int(n int64) { c.Out = resp.AppendInt(c.Out, n) }

// Bool answers 1 or 0.
func (c *Ctx) Bool(b bool) {
	if b {
		c.Int(1)
	} else {
		c.Int(0)
	}
}

// Bulk answers with a string.
func (c *Ctx) Bulk(b []byte) { c.Out = resp.AppendBulk(c.Out, b) }

// Null answers with the null of the protocol version.
func (c *Ctx) Null() { c.Out = resp.AppendNull(c.Out, c.Proto) }

// NullArray answers with the null array of RESP2 or the null of RESP3.
func (c *Ctx) NullArray() { c.Out = resp.AppendNullArray(c.Out, c.Proto) }

// Array starts an array of n replies.
func (c *Ctx) Array(n int) { c.Out = resp.AppendArray(c.Out, n) }

// Map starts a map of n pairs, in RESP2 an array of 2n replies.
func (c *Ctx) Map(n int) { c.Out = resp.AppendMap(c.Out, c.Proto, n) }

// Set starts a set of n replies, in RESP2 an array.
func (c *Ctx) Set(n int) { c.Out = resp.AppendSet(c.Out, c.Proto, n) }

// Double answers with a float, in RESP2 as a string.
func (c *Ctx) Double(f float64) { c.Out = resp.AppendDouble(c.Out, c.Proto, f) }

// open returns the object at key if it is absent (nil) or of type typ;
// otherwise it answers WRONGTYPE and ok is false.
func (c *Ctx) open(key []byte, typ keyspace.Type) (o *keyspace.Object, ok bool) {
	o = c.Tx.Open(c.DB, key)
	if o != nil && o.Type != typ {
		c.Error(errWrongType)
		return nil, false
	}
	return o, true
}

// create is open, but gives a new object for an absent key.
func (c *Ctx) create(key []byte, typ keyspace.Type) (o *keyspace.Object, ok bool) {
	if o, ok = c.open(key, typ); ok && o == nil {
		o = c.Tx.New(c.DB, key, typ)
	}
	return o, ok
}

// int parses argument i as a 64-bit integer or answers the error.
func (c *Ctx) int(i int) (n int64, ok bool) {
	if n, ok = parseInt(c.Args[i]); !ok {
		c.Error(errNotInt)
	}
	return n, ok
}

// float parses argument i as a number (infinite allowed) or answers the error.
func (c *Ctx) float(i int) (f float64, ok bool) {
	if f, ok = parseFloat(c.Args[i]); !ok {
		c.Error(errNotFloat)
	}
	return f, ok
}

// is reports whether argument i is the word, in any case; word is upper case.
func (c *Ctx) is(i int, word string) bool { return isWord(c.Args[i], word) }

func isWord(arg []byte, word string) bool {
	return len(arg) == len(word) && strings.EqualFold(string(arg), word)
}

// parseInt accepts what Redis accepts: no plus sign, no leading zeros or blanks.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

// parseFloat accepts what strtod does, without blanks ahead, but for NaN and
// numbers that no float64 comes near to: too big for one, or only 0 in one.
func parseFloat(b []byte) (float64, bool) {
	f, ok := strtod(b)
	switch {
	case math.IsInf(f, 0):
		ok = bytes.ContainsAny(b, "iI") // spelled out
	case f == 0:
		mantissa, _, _ := bytes.Cut(bytes.ToLower(b), []byte("e"))
		ok = ok && !bytes.ContainsAny(mantissa, "123456789")
	}
	return f, ok
}

// floatLenMax is the length of the longest number; the longest double without
// an exponent has 327 characters.
const floatLenMax = 5 << 10

// strtod parses all of b as C's strtod, without blanks ahead: decimal and
// hexadecimal numbers and infinities. NaN is refused; what is out of range
// becomes infinite or 0.
func strtod(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > floatLenMax || bytes.IndexByte(b, '_') >= 0 {
		return 0, false
	}
	s := string(b)
	if len(s) > 2 && strings.ContainsAny(s[:3], "xX") && !strings.ContainsAny(s, "pP") {
		s += "p0" // Go wants an exponent
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, (err == nil || errors.Is(err, strconv.ErrRange)) && !math.IsNaN(f)
}
