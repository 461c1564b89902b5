package command

import (
	"strconv"

	"tutti/internal/keyspace"
)

// uploadMillis is how long the parts of a value are kept for the one behind them, in
// milliseconds of shard time: many times what a group may take.
const uploadMillis = 60_000

// errUpload is the error for a value whose parts are not there, as their sender had stopped
// for too long.
const errUpload = "TRYAGAIN the parts of this value are not all there any more. Not applied, safe to retry."

const partFlags = Write | DenyOOM | NoMulti | NoScript | Internal

var uploadCommands = []Command{
	{Name: "tutti.part", Arity: 5, Flags: partFlags, Keys: oneKey, Group: "server", Since: "7.2.0", Syntax: "key upload number part",
		Doc: "Takes a part of a value that is too large for one entry. Nodes send it.", Run: part},
	{Name: "tutti.with", Arity: -2, Group: "server", Since: "7.2.0", Syntax: "subcommand", Doc: "A container for commands whose value has come in parts.",
		Subs: []*Command{
			withUpload("set", set), withUpload("setnx", setnx), withUpload("setex", setex), withUpload("psetex", psetex), withUpload("getset", getset),
		}},
}

// withUpload is the row of a command that is called with an empty value, in place of one
// that has come in parts.
func withUpload(name string, run func(c *Ctx)) *Command {
	return &Command{Name: "tutti.with|" + name, Arity: -7, Flags: partFlags, Keys: Keys{First: 5, Last: 5, Step: 1}, Group: "server", Since: "7.2.0",
		Syntax: "upload size command key [arg ...]", Doc: "Executes a command whose value has come in parts. Nodes send it.",
		Run: func(c *Ctx) { c.with(run) }}
}

// part is TUTTI.PART key upload number part.
func part(c *Ctx) {
	n, ok := c.int(3)
	if !ok {
		return
	}
	if keyspace.Upload(c.Tx, c.Args[1], c.Args[2], uint64(n), c.Args[4], c.Tx.Now+uploadMillis) != nil {
		c.Error(errUpload)
		return
	}
	c.OK()
}

// with runs TUTTI.WITH name upload size and a whole command, as that command.
func (c *Ctx) with(run func(c *Ctx)) {
	size, ok := c.int(3)
	if !ok {
		return
	}
	u, err := keyspace.OpenUploaded(c.Tx, c.Args[5], c.Args[2], uint64(size))
	if err != nil {
		c.Error(errUpload)
		return
	}
	c.Args, c.uploaded = c.Args[4:], u
	run(c)
	c.uploaded = nil
	u.Drop()
}

// Uploads returns which argument of a call of c may come in parts, 0: none.
func (c *Command) Uploads(args [][]byte) (value int) {
	switch c.Name {
	case "set", "setnx", "getset":
		value = 2
	case "setex", "psetex":
		value = 3
	}
	if value >= len(args) {
		return 0
	}
	return value
}

const partName = "TUTTI.PART"

// IsPart reports whether args are a call that PartArgs has made.
func IsPart(args [][]byte) bool { return string(args[0]) == partName }

// PartArgs returns the call that sends a part of a value for key.
func PartArgs(key, upload []byte, n int, part []byte) [][]byte {
	return [][]byte{[]byte(partName), key, upload, strconv.AppendInt(nil, int64(n), 10), part}
}

// WithArgs returns the call that stands for args, whose argument value has come in parts.
func WithArgs(args [][]byte, value int, upload []byte) [][]byte {
	with := make([][]byte, 0, 4+len(args))
	with = append(with, []byte("TUTTI.WITH"), args[0], upload, strconv.AppendInt(nil, int64(len(args[value])), 10))
	with = append(with, args...)
	with[4+value] = nil
	return with
}
