package mutant

func answers() []Mutant {
	return []Mutant{
		{"ack-before-commit", "a write is answered when it is proposed", sim("TestFault05UncommittedRead"), []Edit{{
			"internal/shard/leadership.go", `
			l.inflight = inflight{batch: b, progress: progress{since: l.r.host.cfg.Clock.Mono()}}`, `
			l.inflight = inflight{batch: b, progress: progress{since: l.r.host.cfg.Clock.Mono()}}
			l.queue.answerBatch(b)`,
		}}},
		{"empty-without-readindex", "a batch without effects is answered without asking whether this node still leads", shard("TestUnconfirmed"), []Edit{{
			"internal/shard/leadership.go", `
			l.r.reads.confirm(b)`, `
			l.queue.answerBatch(b)`,
		}}},
		{"empty-of-another-term", "a batch without effects is answered by a ReadIndex of a later term", shard("TestEmptyBatchOfAnotherTerm"), []Edit{{
			"internal/shard/read.go", `
			if a.batch.Term == rd.r.term && rd.r.leading() {`, `
			if rd.r.leading() {`,
		}, {
			"internal/shard/read.go", `
			for _, a := range all {
				if a.read != nil {`, `
			for _, a := range all {
				if a.read != nil || a.batch != nil {`,
		}}},
		{"reuse-read-context", "all ReadIndex rounds of a replica have one context", shard("TestAnswerToOneRoundOnly"), []Edit{{
			"internal/shard/read.go", `
			rd.count++`, ``,
		}}},
		{"answer-to-an-earlier-round", "the answer to an earlier ReadIndex round passes for one to the round in flight", shard("TestAnswerToOneRoundOnly"), []Edit{{
			"internal/shard/read.go", `
			return len(rd.rounds) > 0 && id >= rd.rounds[0].first && id <= rd.count`, `
			return len(rd.rounds) > 0 && id <= rd.count`,
		}, {
			"internal/shard/read.go", `
			for len(rd.rounds) > 0 && rd.rounds[0].first <= id {`, `
			for len(rd.rounds) > 0 {`,
		}}},
		{"answer-to-the-rounds-behind", "the answer to a ReadIndex round passes for one to those that began after it", shard("TestRoundsOnTheirWay"), []Edit{{
			"internal/shard/read.go", `
			for len(rd.rounds) > 0 && rd.rounds[0].first <= id {`, `
			for len(rd.rounds) > 0 {`,
		}}},
		{"latest-attempt-only", "a ReadIndex round that takes longer than the time to its next attempt never ends", shard("TestAnswerToAnyAttempt"), []Edit{{
			"internal/shard/read.go", `
			return len(rd.rounds) > 0 && id >= rd.rounds[0].first && id <= rd.count`, `
			return len(rd.rounds) > 0 && id == rd.count`,
		}}},
		{"keep-readers-in-the-round", "who is in a ReadIndex round that nobody answers waits for ever", shard("TestReadInFlightIsGivenUp"), []Edit{{
			"internal/shard/read.go", `
			for i := range rd.rounds {
				rd.rounds[i].askers = rd.expire(rd.rounds[i].askers)`, `
			for range rd.rounds {`,
		}}},
		{"join-round-in-flight", "a read joins the ReadIndex round that began before it came", shard("TestReadJoinsNextRound"), []Edit{{
			"internal/shard/read.go", `
			rd.next = append(rd.next, a)
			rd.startRound()`, `
			if n := len(rd.rounds); n > 0 {
				rd.rounds[n-1].askers = append(rd.rounds[n-1].askers, a)
				return
			}
			rd.next = append(rd.next, a)
			rd.startRound()`,
		}}},
		{"read-before-applied", "a read is served before the state has reached its ReadIndex", shard("TestReadWaitsForItsIndex"), []Edit{{
			"internal/shard/read.go", `
			if rd.r.machine.view == nil || rd.r.machine.applied.Index < w.index || rd.r.machine.applied.Time < w.read.MinTime {`, `
			if rd.r.machine.applied.Time < w.read.MinTime {`,
		}}},
		{"read-from-two-views", "the reads of one transaction are served from several views", sim("TestTransactionReadsOneState"), []Edit{{
			"internal/server/multi.go", `
			text, refused = l.read(&shard.Read{Shard: t.shard}, t.claim, func(tx eval.Reads) { failed = t.evaluate(tx) })`, `
			if len(t.cmds) > 1 {
				first, rest := t, t
				first.cmds, first.watches, rest.cmds = t.cmds[:1], nil, t.cmds[1:]
				_, _, _ = l.transact(first)
				return l.transact(rest)
			}
			text, refused = l.read(&shard.Read{Shard: t.shard}, t.claim, func(tx eval.Reads) { failed = t.evaluate(tx) })`,
		}}},
		{"lease-read", "reads rely on etcd raft's lease (ReadOnlyLeaseBased)", sim("TestLeaderBackFromPauseAnswersNothingOld"), []Edit{{
			"internal/shard/replica.go", `
			if r.raft, err = raft.NewRawNode(cfg); err != nil {`, `
			cfg.ReadOnlyOption = raft.ReadOnlyLeaseBased
			if r.raft, err = raft.NewRawNode(cfg); err != nil {`,
		}}},
		{"evaluate-before-own-term", "a new leader evaluates before an entry of its own term is applied", shard("TestHostCrash"), []Edit{{
			"internal/shard/replica.go", `
			return r.leader != nil && r.machine.applied.Term == r.term && r.leader.core != nil`, `
			return r.leader != nil && r.leader.core != nil`,
		}, {
			"internal/shard/replica.go", `
			r.reads.termChanged()`, `
			r.reads.termChanged()
			if r.leader != nil {
				_ = r.leader.start() // a wrong leader need not say why it fails
			}`,
		}}},
		{"large-before-all", "large groups go before all others, as long as there are any", shard("TestLargeGroupsTakeTurns"), []Edit{{
			"internal/shard/large.go", `
	if len(w.groups) == 0 || len(q.groups) > 0 && (!w.next || q.groups[0].Prepared != nil || takesTurns(q.groups[0].Group)) {`, `
	if len(w.groups) == 0 || len(q.groups) > 0 && (q.groups[0].Prepared != nil || takesTurns(q.groups[0].Group)) {`,
		}}},
		{"large-forgotten", "nobody tells a large group that waits when the term is over", shard("TestLargeGroupsEndWithTheTerm"), []Edit{{
			"internal/shard/admit.go", `
	for _, g := range slices.Concat(q.groups, q.large.groups) {`, `
	for _, g := range slices.Concat(q.groups) {`,
		}}},
	}
}
