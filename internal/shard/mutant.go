package shard

import (
	"tutti/internal/command"
	"tutti/internal/keyspace"
)

// reevaluateReads is what the mutant ReevaluateReads does to the recorded reply
// of a repeated group; no other code calls it, and the linker drops it.
func (r *Replica) reevaluateReads(g *Group, reply *Reply) {
	tx := keyspace.NewReadTx(r.view, keyspace.Env{Now: r.applied.Time, Applied: r.applied.Time, Index: r.applied.Index,
		Databases: r.view.Databases, Keys: r.view.Keys, Rand: r.host.cfg.Rand})
	for i, cmd := range g.Cmds[:len(reply.Replies)] {
		if row, _ := r.core.table.Lookup(cmd.Args); row.Flags&command.ReadOnly != 0 {
			ctx := command.Ctx{Tx: tx, DB: cmd.DB, Proto: int(g.Proto), Args: cmd.Args}
			ctx.Run(row)
			reply.Replies[i] = ctx.Out
		}
	}
}
