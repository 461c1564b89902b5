package mutant

func answers() []Mutant {
	return []Mutant{
		{"ack-before-commit", "a write is answered when it is proposed", sim("TestFault05UncommittedRead"), []Edit{{
			"internal/shard/replica.go", `
			r.inflight = b`, `
			r.inflight = b
			r.answerBatch(b)`,
		}}},
		{"empty-without-readindex", "a batch without effects is answered without asking whether this node still leads", shard("TestUnconfirmed"), []Edit{{
			"internal/shard/replica.go", `
			r.confirm(b)`, `
			r.answerBatch(b)`,
		}}},
		{"empty-of-another-term", "a batch without effects is answered by a ReadIndex of a later term", shard("TestEmptyBatchOfAnotherTerm"), []Edit{{
			"internal/shard/read.go", `
			if a.batch.term == r.term && r.leading() {`, `
			if true {`,
		}, {
			"internal/shard/read.go", `
			for _, a := range all {
				if a.read != nil {`, `
			for _, a := range all {
				if a.read != nil || a.batch != nil {`,
		}}},
		{"reuse-read-context", "all ReadIndex rounds of a replica have one context", shard("TestAnswerToOneRoundOnly"), []Edit{{
			"internal/shard/read.go", `
			q.count++`, ``,
		}}},
		{"join-round-in-flight", "a read joins the ReadIndex round that began before it came", shard("TestReadJoinsNextRound"), []Edit{{
			"internal/shard/read.go", `
			r.reads.next = append(r.reads.next, a)
			r.startRound()`, `
			if r.reads.id != 0 {
				r.reads.round = append(r.reads.round, a)
				return
			}
			r.reads.next = append(r.reads.next, a)
			r.startRound()`,
		}}},
		{"read-before-applied", "a read is served before the state has reached its ReadIndex", shard("TestReadWaitsForItsIndex"), []Edit{{
			"internal/shard/read.go", `
			if r.applied.Index < w.index || r.applied.Time < w.read.MinTime {`, `
			if r.applied.Time < w.read.MinTime {`,
		}}},
		{"read-from-two-views", "the reads of one transaction are served from several views", sim("TestTransactionReadsOneState"), []Edit{{
			"internal/server/multi.go", `
			text = l.read(t.shard, 0, 0, func(tx *keyspace.Tx) { failed = t.evaluate(tx, &l.eval) })`, `
			if len(t.cmds) > 1 {
				first, rest := t, t
				first.cmds, first.watches, rest.cmds = t.cmds[:1], nil, t.cmds[1:]
				_, _ = l.transact(first)
				t.cmds[0].reply = append([]byte{}, t.cmds[0].reply...)
				return l.transact(rest)
			}
			text = l.read(t.shard, 0, 0, func(tx *keyspace.Tx) { failed = t.evaluate(tx, &l.eval) })`,
		}}},
		{"lease-read", "reads rely on etcd raft's lease (ReadOnlyLeaseBased)", sim("TestLeaderBackFromPauseAnswersNothingOld"), []Edit{{
			"internal/shard/replica.go", `
			if r.raft, err = raft.NewRawNode(cfg); err != nil {`, `
			cfg.ReadOnlyOption = raft.ReadOnlyLeaseBased
			if r.raft, err = raft.NewRawNode(cfg); err != nil {`,
		}}},
		{"evaluate-before-own-term", "a new leader evaluates before an entry of its own term is applied", shard("TestHostCrash"), []Edit{{
			"internal/shard/replica.go", `
			return r.state == raft.StateLeader && r.applied.Term == r.term && r.core.sessions != nil`, `
			return r.state == raft.StateLeader && r.core.sessions != nil`,
		}, {
			"internal/shard/replica.go", `
			r.readsTermChanged()`, `
			r.readsTermChanged()
			if r.state == raft.StateLeader {
				_ = r.startLeading() // a wrong leader need not say why it fails
			}`,
		}}},
	}
}
