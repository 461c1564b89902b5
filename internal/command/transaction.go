package command

import (
	"bytes"
	"strconv"
	"strings"
)

var transactionCommands = []Command{
	{Name: "multi", Arity: 1, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale | Fast, Group: "transactions", Since: "1.2.0",
		Doc: "Starts a transaction: what follows is queued until EXEC."},
	{Name: "exec", Arity: 1, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale, Group: "transactions", Since: "1.2.0",
		Doc: "Executes the queued commands as one atomic step."},
	{Name: "discard", Arity: 1, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale | Fast, Group: "transactions", Since: "2.0.0",
		Doc: "Forgets the queued commands."},
	{Name: "watch", Arity: -2, Where: OnConnection, Flags: AtOnce | NoScript | Loading | Stale | Fast, Keys: allKeys, Group: "transactions", Since: "2.2.0",
		Syntax: "key [key ...]", Doc: "Makes the next EXEC fail if one of the keys changes before it."},
	{Name: "unwatch", Arity: 1, Where: OnConnection, Flags: NoScript | Loading | Stale | Fast, Group: "transactions", Since: "2.2.0",
		Doc: "Forgets the watched keys."},
	{Name: "tutti.keyversion", Arity: 2, Flags: ReadOnly | Fast | NoScript | Internal, Keys: oneKey, Group: "server", Since: "7.2.0", Syntax: "key",
		Doc: "Returns what WATCH remembers of a key: whether it exists, and a number that is another one after a change. Nodes send it.", Run: keyVersion},
}

func keyVersion(c *Ctx) {
	version, exists := c.Tx.KeyVersion(c.DB, c.Args[1])
	c.BulkString(strconv.FormatBool(exists) + " " + strconv.FormatUint(version, 10))
}

// ParseKeyVersion reads the reply of TUTTI.KEYVERSION.
func ParseKeyVersion(reply []byte) (version uint64, exists, ok bool) {
	_, text, found := bytes.Cut(reply, []byte("\r\n"))
	word, number, cut := strings.Cut(strings.TrimSuffix(string(text), "\r\n"), " ")
	version, err := strconv.ParseUint(number, 10, 64)
	return version, word == "true", found && cut && err == nil && reply[0] == '$'
}
