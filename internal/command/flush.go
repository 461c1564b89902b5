package command

import (
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

var flushCommands = []Command{
	{Name: "flushdb", Arity: -1, Flags: Write | WholeShard, Group: "server", Categories: []string{"keyspace", "dangerous"}, Since: "1.0.0",
		Syntax: "[ASYNC | SYNC]", Doc: "Removes all keys from the database; rows are always removed in the background.", Run: flushdb},
	{Name: "flushall", Arity: -1, Flags: Write | WholeShard, Group: "server", Categories: []string{"keyspace", "dangerous"}, Since: "1.0.0",
		Syntax: "[ASYNC | SYNC]", Doc: "Removes all keys from all databases; rows are always removed in the background.", Run: flushall},
	{Name: "swapdb", Arity: 3, Flags: Write | Fast | WholeShard, Group: "server", Categories: []string{"keyspace", "dangerous"}, Since: "4.0.0",
		Syntax: "index1 index2", Doc: "Exchanges two databases.", Run: swapdb},
}

// flushOptions checks the option of FLUSHDB and FLUSHALL. Both values mean the
// same: the database is empty at once, at no cost that depends on its size.
func (c *Ctx) flushOptions() bool {
	if len(c.Args) > 2 || len(c.Args) == 2 && !c.is(1, "ASYNC") && !c.is(1, "SYNC") {
		c.Error(TextSyntax)
		return false
	}
	return true
}

func flushdb(c *Ctx) {
	if c.flushOptions() {
		c.Tx.FlushDatabase(c.DB)
		c.OK()
	}
}

func flushall(c *Ctx) {
	if c.flushOptions() {
		for db := range uint8(keyspace.LogicalDatabases) {
			c.Tx.FlushDatabase(db)
		}
		c.OK()
	}
}

func swapdb(c *Ctx) {
	first, ok := c.databaseIndex(1, "ERR invalid first DB index")
	if !ok {
		return
	}
	second, ok := c.databaseIndex(2, "ERR invalid second DB index")
	if !ok {
		return
	}
	if max(first, second) >= keyspace.LogicalDatabases || min(first, second) < 0 {
		c.Error(errDBRange)
		return
	}
	if first != second {
		c.Tx.SetDatabases(c.Tx.Databases.Swap(uint8(first), uint8(second)))
	}
	c.OK()
}

// databaseIndex parses argument i, in any range that C's int has.
func (c *Ctx) databaseIndex(i int, text string) (n int64, ok bool) {
	if n, ok = resp.ParseInt(c.Args[i]); !ok || n != int64(int32(n)) {
		c.Error(text)
		return 0, false
	}
	return n, true
}
