package command

import (
	"strings"

	"tutti/internal/resp"
)

// BulkString answers with a string.
func (c *Ctx) BulkString(s string) { c.Out = resp.AppendBulkString(c.Out, s) }

// help answers the HELP subcommand of a container command: lines pairs a
// synopsis with indented text below it, as Redis prints them.
func (c *Ctx) help(lines ...string) {
	c.Array(len(lines) + 3)
	c.Simple(strings.ToUpper(string(c.Args[0])) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
	for _, l := range lines {
		c.Simple(l)
	}
	c.Simple("HELP")
	c.Simple("    Prints this help.")
}
