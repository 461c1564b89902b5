package mutant

func once() []Mutant {
	return []Mutant{
		{"drop-session-table", "a new leader does not load the recorded replies", sim("TestRepliesLostThenSentAgainApplyOnce"), []Edit{{
			"internal/eval/session.go", `
			return t.session(id).addRow(be.Uint64(key[8:]), val)`, `
			return nil`,
		}}},
		{"forget-new-replies", "where the replies are that entries record is not noted for the next leader", store("TestSessionRows"), []Edit{{
			"internal/store/state.go", `
			seen.put(row, val)`, `
			_ = row`,
		}}},
		{"prune-unacknowledged", "a raised floor removes replies above it, too", eval("TestSessionPrune"), []Edit{{
			"internal/eval/seal.go", `
			if row.maxSeq <= floor {`, `
			if true {`,
		}}},
		{"accept-other-term", "an attempt meant for another term is evaluated", shard("TestAttempts"), []Edit{{
			"internal/shard/admit.go", `
			if l := r.leader; l != nil && g.Term == r.term {`, `
			if l := r.leader; l != nil {`,
		}}},
		{"accept-unknown-session", "a group of a session that nobody knows is executed", shard("TestAttempts"), []Edit{{
			"internal/eval/session.go", `
			case s == nil:
				return group.Reply{Status: group.NoSession}, true, nil`, `
			case s == nil:
				return group.Reply{Status: group.NoSession}, false, nil`,
		}, {
			"internal/eval/core.go", `
			return !g.Open && c.sessions.byID[g.Session] == nil`, `
			return false`,
		}}},
		{"reevaluate-reads", "the reads of a retried group are evaluated again, after its own writes", shard("TestRetryKeepsItsReads"), []Edit{{
			"internal/eval/session.go", `
			import (`, `
			import (
				"tutti/internal/command"
				"tutti/internal/resp"
				`,
		}, {
			"internal/eval/session.go", `
			return reply, true, err
			}`, `
			tx := keyspace.NewReadTx(v, keyspace.Env{Now: v.Time, Applied: v.Time, Index: v.Index, Databases: v.Databases, Keys: v.Keys, Rand: c.cfg.Rand})
			for i, cmd := range g.Cmds[:len(reply.Replies)] {
				if row, _ := c.cfg.Table.Lookup(cmd.Args); row.Flags&command.ReadOnly != 0 {
					ctx := command.Ctx{Writer: resp.Writer{Proto: int(g.Proto)}, Tx: tx, DB: cmd.DB, Args: cmd.Args}
					ctx.Run(row)
					reply.Replies[i] = ctx.Out
				}
			}
			return reply, true, err
			}`,
		}}},
		{"take-older-attempt", "the entry node takes the reply of an attempt that it has given up", router("TestOlderAttemptIsIgnored"), []Edit{{
			"internal/router/stream.go", `
			if c == nil || c.g.Attempt != reply.Attempt {`, `
			if c == nil {`,
		}}},
		{"reply-to-older-attempt", "of two attempts under way the leader answers the first", shard("TestLatestAttemptIsAnswered"), []Edit{{
			"internal/shard/admit.go", `
			q.pending[id] = g
			q.l.core.Again(waiting, g)
			return`, `
			return`,
		}}},
	}
}
