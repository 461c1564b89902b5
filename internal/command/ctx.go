package command

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tutti/internal/acl"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/task"
)

// Texts of errors that several families give, as Redis words them. Those that
// begin with Text are also given by the commands that a node answers by itself.
const (
	TextSyntax = "ERR syntax error"
	TextNotInt = "ERR value is not an integer or out of range"
	// TextCrossShard answers a command that no single shard can evaluate.
	TextCrossShard = "CROSSSHARD the keys of this command live in several shards. Not applied. Use keys with one {hash tag}."

	// TextNoRoom answers a read for whose reply a node has no memory.
	TextNoRoom = "BUSY the clients of this node make it hold as much as it has memory for (CONFIG GET maxmemory-clients). " +
		"The reply was too large to be kept. Nothing was changed; read again later, or less at once."

	// TextNoReply answers a command that is evaluated where writes are, for whose reply the
	// node has no memory.
	TextNoReply = "BUSY the clients of this node make it hold as much as it has memory for (CONFIG GET maxmemory-clients). " +
		"The reply would be too large to be kept. Not applied; retry later, or ask for less at once."

	errNotFloat  = "ERR value is not a valid float"
	errWrongType = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errNoKey     = "ERR no such key"
	errRange     = "ERR value is out of range, must be positive"
	errEvents    = "ERR the command would make more than 96 MiB of messages and notifications of keys at once. Not applied. " + splitIt
	errWriteSet  = "ERR the command would write more than 16 MiB at once. Not applied. "
	// splitIt and the texts that follow are what to do about that.
	splitIt     = "Split it into smaller ones."
	severalKeys = "A string has at most 16 MiB here: spread it over several keys."
	oneSlot     = "A collection of more than 16 MiB moves only between names of one hash slot: give both the same {hash tag}, or read it in parts and write it under the new name."
	inParts     = "A collection of more than 16 MiB is not copied: read it in parts (HSCAN, SSCAN, ZSCAN, LRANGE, XRANGE) and write those under the new name."
	storeParts  = "A result of more than 16 MiB is not stored: read the sources in parts (SSCAN, ZSCAN) and write the result in parts."
	sortParts   = "A result of more than 16 MiB is not stored: sort in parts with LIMIT, without STORE, and push those."
	geoParts    = "A result of more than 16 MiB is not stored: search smaller areas, without STORE, and add what is there with GEOADD."
	restoreIn   = "A value of more than 16 MiB is not restored: where it comes from read it in parts (HSCAN, SSCAN, ZSCAN, LRANGE, XRANGE) and write those."
	fewerPlaces = "A list that elements have been removed from, or inserted at, in more than 4,096 places is written anew, here more than 16 MiB: remove fewer at a time, with a count."
)

// TextArity is the error for a wrong number of arguments of a command, whose
// name is as in the table.
func TextArity(name string) string { return "ERR wrong number of arguments for '" + name + "' command" }

// UserRules is what commands about users depend on beside the state.
type UserRules struct {
	Catalog *acl.Catalog // of the table
	// Row is that of the shard with the epoch of the users by which commands must
	// have been let in.
	Row []byte
}

// Ctx is one command under evaluation.
type Ctx struct {
	resp.Writer // takes the replies
	Tx          *keyspace.Tx
	DB          uint8
	Args        [][]byte // Args[0] is the name. Not to be changed or kept.
	Users       UserRules
	Office

	progress
}

// Office is what is known where a command is evaluated; but for Scripts only where a shard
// is led, and in its loop.
type Office struct {
	Scripts Scripting
	// Tasks is what the leader remembers of tasks; nil: they can't be changed here.
	Tasks *task.Lead
	Term  uint64        // 0: not known here
	Led   time.Duration // for how long the term has been led
	// Waiters tells how many commands wait for a topic; nil: not known here.
	Waiters func(topic []byte) int
}

// progress is how far the command has come, and whether others depend on it.
type progress struct {
	Waited   bool // it waits already: an element of another type is not what it waits for
	failed   bool
	errorAt  int    // where in the output the error begins
	trimmed  bool   // what was added to a stream has pushed others out
	tooLarge string // the error where it writes too much
	foreign  bool
	atomic   bool               // all commands of the group are applied, or none
	topics   [][]byte           // see Wait
	uploaded *keyspace.Uploaded // the value, if it has come in parts
	replyBound
}

// Atomic says whether all commands that follow are applied or none, as in MULTI.
func (c *progress) Atomic(yes bool) { c.atomic = yes }

// Run evaluates cmd with its arity already checked, and appends its reply to
// c.Out. If the command fails, what it wrote is taken back. It may be one that
// another command calls: what that wrote before stays.
func (c *Ctx) Run(cmd *Command) {
	c.failed, c.trimmed, c.foreign, c.topics = false, false, false, nil
	if c.tooLarge = errWriteSet + splitIt; cmd.Large != "" {
		c.tooLarge = errWriteSet + cmd.Large
	}
	at := len(c.Out)
	c.Tx.Forget() // what the command before was given
	c.Aside = 0
	c.Tx.TakeChanges() // of the sweep
	writable := c.Tx.Writable()
	c.Tx.CountLookups(cmd.finds)
	var mark keyspace.Mark
	if writable {
		mark = c.Tx.Mark()
		defer c.Tx.Release(mark)
	}
	cmd.Run(c)
	if c.failed && c.errorAt > at { // what it had answered before was not to be
		c.Out = append(c.Out[:at], c.Out[c.errorAt:]...)
	}
	if !c.Fits() {
		c.Tx.Crowd()
	}
	crowded := c.Tx.TakeNoRoom()
	bad := c.Tx.TakeRowError()
	c.foreign = c.Tx.TakeForeign() || c.foreign
	switch {
	case crowded && c.most == 0:
		c.Out = c.Out[:at]
		c.Error(TextNoRoom)
	case c.foreign:
		c.Out = c.Out[:at]
		c.Error(TextCrossShard)
	case writable && c.Tx.Written() > keyspace.WriteSetMax:
		c.Out = c.Out[:at]
		c.Error(c.tooLarge) // whatever the command met after it gave up
	case bad != nil:
		c.Tx.ReportRow(bad)
		c.Out = c.Out[:at]
		c.Error(RowErrorText(bad))
	case tooMuch(c, crowded, at):
		c.Out = c.Out[:at]
		c.Error(TextNoReply)
	}
	if !c.failed && c.Tx.Noted() {
		notify(c, cmd)
	}
	if writable && keyspace.EventBytes(c.Tx) > keyspace.EventsMax {
		c.Out = c.Out[:at]
		c.Error(errEvents)
	}
	if c.failed && writable {
		c.Tx.Rollback(mark)
	}
}

// RowErrorText is the error for a command that met a row which can't be read.
func RowErrorText(err *keyspace.RowError) string {
	what := err.What
	if err.Key != nil {
		what = fmt.Sprintf("key %.100q: %s", err.Key, err.What)
	}
	if err.Format != 0 {
		return fmt.Sprintf("NEEDVERSION %s was written by a later tutti, of cluster version %d; this node knows version %d. "+
			"Not applied. Upgrade the node.", what, err.Format, keyspace.Format)
	}
	return fmt.Sprintf("BADROW %s is nothing that tutti writes. Not applied; other keys are not concerned. "+
		"A node whose copy differs from the others' is rebuilt by itself; if all say this, only FLUSHDB removes the key.", what)
}

// Failed reports whether the last command answered with an error.
func (c *progress) Failed() bool { return c.failed }

// Foreign reports whether the last command came to a key of another shard.
func (c *progress) Foreign() bool { return c.foreign }

// Error answers with an error and takes back what the command wrote.
func (c *Ctx) Error(text string) {
	c.failed, c.errorAt = true, len(c.Out)
	c.Writer.Error(text)
}

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
	if n, ok = resp.ParseInt(c.Args[i]); !ok {
		c.Error(TextNotInt)
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
func (c *Ctx) is(i int, word string) bool { return resp.IsWord(c.Args[i], word) }

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
