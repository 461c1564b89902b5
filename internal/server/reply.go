package server

import (
	"strconv"
	"strings"

	"tutti/internal/resp"
)

// Texts of errors that several handlers give, as Redis words them.
const (
	errSyntax = "ERR syntax error"
	errNotInt = "ERR value is not an integer or out of range"
)

func (c *conn) error(text string)    { c.out = resp.AppendError(c.out, text) }
func (c *conn) ok()                  { c.out = append(c.out, "+OK\r\n"...) }
func (c *conn) int(n int64)          { c.out = resp.AppendInt(c.out, n) }
func (c *conn) simple(s string)      { c.out = resp.AppendSimple(c.out, s) }
func (c *conn) bulk(s string)        { c.out = resp.AppendBulkString(c.out, s) }
func (c *conn) null()                { c.out = resp.AppendNull(c.out, c.proto) }
func (c *conn) array(n int)          { c.out = resp.AppendArray(c.out, n) }
func (c *conn) pairs(n int)          { c.out = resp.AppendMap(c.out, c.proto, n) }
func (c *conn) set(n int)            { c.out = resp.AppendSet(c.out, c.proto, n) }
func (c *conn) verbatim(text string) { c.out = resp.AppendVerbatim(c.out, c.proto, "txt", text) }

// bulks answers with an array of strings.
func (c *conn) bulks(list []string) {
	c.array(len(list))
	for _, s := range list {
		c.bulk(s)
	}
}

// is reports whether arg is the word, in any case.
func is(arg []byte, word string) bool {
	return len(arg) == len(word) && strings.EqualFold(string(arg), word)
}

// parseInt accepts what Redis accepts: no plus sign, no leading zeros or blanks.
func parseInt(arg []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(arg), 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == string(arg)
}

// wrongArity answers the error for a number of arguments that the table's arity
// lets pass.
func (c *conn) wrongArity(name string) {
	c.error("ERR wrong number of arguments for '" + name + "' command")
}

// help answers the HELP subcommand of a container, from the table.
func help(c *conn, args [][]byte) {
	container := c.s.cfg.Table.Find(args[0])
	name := strings.ToUpper(container.Name)
	var lines []string
	for _, sub := range container.Subs {
		_, short, _ := strings.Cut(sub.Name, "|")
		if short != "help" {
			lines = append(lines, strings.TrimSpace(strings.ToUpper(short)+" "+sub.Syntax), "    "+sub.Doc)
		}
	}
	c.helpText(name, lines)
}

func (c *conn) helpText(name string, lines []string) {
	c.array(len(lines) + 3)
	c.simple(name + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
	for _, l := range lines {
		c.simple(l)
	}
	c.simple("HELP")
	c.simple("    Prints this help.")
}
