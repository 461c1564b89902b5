package eval

import (
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// ahead tells the state which keys the commands that come next will look at, some at a
// time: see rowcache, which fetches them from memory all at once.
type ahead struct {
	state  keyspace.Reader
	dbs    *keyspace.Databases
	table  *command.Table
	coming []Waiting // groups behind the one that is evaluated
	left   int       // commands that it has been told of, and that have not begun
	keys   keyspace.Expected
	at     []int
}

// begin begins a batch.
func (a *ahead) begin(c *Core, in Input) {
	a.state, a.dbs, a.table, a.left = in.State, in.Databases, c.cfg.Table, 0
}

// step is called before each command of a group is evaluated, with those that follow it
// there.
func (a *ahead) step(cmds []group.Command) {
	if a == nil {
		return
	}
	if a.left == 0 {
		a.add(cmds)
		for i := 0; i < len(a.coming) && !a.keys.Full(); i++ {
			a.add(a.coming[i].Cmds)
		}
		a.keys.Tell(a.state)
	}
	a.left = max(0, a.left-1)
}

// add adds the keys of commands until there are enough.
func (a *ahead) add(cmds []group.Command) {
	for i := 0; i < len(cmds) && !a.keys.Full(); i++ {
		a.left++
		if row, _ := a.table.Lookup(cmds[i].Args); row != nil && !row.Blind() {
			a.at = addKeys(&a.keys, a.at, a.dbs, row, cmds[i].DB, cmds[i].Args)
		}
	}
}

// addKeys adds the keys of a command. It returns the memory that it was given, to be used
// again.
func addKeys(to *keyspace.Expected, at []int, dbs *keyspace.Databases, cmd *command.Command, db uint8, args [][]byte) []int {
	at = cmd.KeyArgs(at[:0], args)
	for _, i := range at {
		to.Add(dbs, db, args[i])
	}
	return at
}

// Expect takes note of the keys of a read that is to be evaluated soon; full says that
// there are enough for now.
func (r Reads) Expect(cmd *command.Command, db uint8, args [][]byte) (full bool) {
	r.at = addKeys(&r.keys, r.at, r.Databases, cmd, db, args)
	return r.keys.Full()
}

// Ready tells the view of the keys that are expected.
func (r Reads) Ready() { r.keys.Tell(r.view) }
