package mutant

func once() []Mutant {
	return []Mutant{
		{"drop-session-table", "a new leader does not load the recorded replies", sim("TestRepliesLostThenSentAgainApplyOnce"), []Edit{{
			"internal/shard/session.go", `
			return t.session(id).addRow(be.Uint64(key[8:]), val)`, `
			return nil`,
		}}},
		{"prune-unacknowledged", "a raised floor removes replies above it, too", shard("TestSessionPrune"), []Edit{{
			"internal/shard/core.go", `
			if row.maxSeq <= floor {`, `
			if true {`,
		}}},
		{"accept-other-term", "an attempt meant for another term is evaluated", shard("TestAttempts"), []Edit{{
			"internal/shard/admit.go", `
			if !r.leading() || g.Term != r.term {`, `
			if !r.leading() {`,
		}}},
		{"accept-unknown-session", "a group of a session that nobody knows is executed", shard("TestAttempts"), []Edit{{
			"internal/shard/admit.go", `
			case s == nil:
				return Reply{Status: NoSession}, true`, `
			case s == nil:
				return Reply{Status: NoSession}, false`,
		}, {
			"internal/shard/core.go", `
			return !g.Open && c.sessions.byID[g.Session] == nil`, `
			return false`,
		}}},
		{"reevaluate-reads", "the reads of a retried group are evaluated again, after its own writes", shard("TestRetryKeepsItsReads"), []Edit{{
			"internal/shard/admit.go", `
			import (`, `
			import (
				"tutti/internal/command"
				"tutti/internal/keyspace"
				`,
		}, {
			"internal/shard/admit.go", `
			return reply, true
			}`, `
			tx := keyspace.NewReadTx(r.view, keyspace.Env{Now: r.applied.Time, Applied: r.applied.Time, Index: r.applied.Index,
				Databases: r.view.Databases, Keys: r.view.Keys, Rand: r.host.cfg.Rand})
			for i, cmd := range g.Cmds[:len(reply.Replies)] {
				if row, _ := r.core.table.Lookup(cmd.Args); row.Flags&command.ReadOnly != 0 {
					ctx := command.Ctx{Tx: tx, DB: cmd.DB, Args: cmd.Args}
					ctx.Proto = int(g.Proto)
					ctx.Run(row)
					reply.Replies[i] = ctx.Out
				}
			}
			return reply, true
			}`,
		}}},
		{"take-older-attempt", "the entry node takes the reply of an attempt that it has given up", router("TestOlderAttemptIsIgnored"), []Edit{{
			"internal/router/stream.go", `
			if c == nil || c.g.Attempt != reply.Attempt {`, `
			if c == nil {`,
		}}},
		{"reply-to-older-attempt", "of two attempts under way the leader answers the first", shard("TestLatestAttemptIsAnswered"), []Edit{{
			"internal/shard/admit.go", `
			r.pending[id] = g
			return`, `
			return`,
		}}},
	}
}
