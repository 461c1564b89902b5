package mutant

// copies are the safeguards of how replicas change and get their state.
func copies() []Mutant {
	return []Mutant{
		{"two-changes-at-once", "a second change of the replicas is proposed before the first is through", sim("TestGrowAndShrink"), []Edit{{
			"internal/shard/change.go", `
			if !look || ch.confIndex > r.machine.applied.Index {`, `
			if !look {`,
		}, {
			"internal/cluster/change.go", `
			if g.Joint || !slices.ContainsFunc(goals, func(x Goal) bool { return !x.Learner }) {`, `
			if !slices.ContainsFunc(goals, func(x Goal) bool { return !x.Learner }) {`,
		}, { // raft would refuse it, too
			"internal/shard/replica.go", `
			StepDownOnRemoval:         true,`, `
			StepDownOnRemoval:         true,
			DisableConfChangeValidation: true,`,
		}}},
		{"invite-nobody", "a node that is to have a replica is never told so", sim("TestGrowAndShrink"), []Edit{{
			"internal/shard/change.go", `
			ch.invite()`, ``,
		}}},
		{"copy-at-full-speed", "a copy takes all that network and disk can", sim("TestSnapshotsAreThrottled"), []Edit{{
			"internal/shard/snapshot.go", `
			for left := len(chunk); left > 0; left -= copyBurst {`, `
			for left := len(chunk); false; left -= copyBurst {`,
		}}},
		{"ballast-at-once", "a node that begins takes the disk for as long as its ballast takes", store("TestBallastIsMadeSlowly"), []Edit{{
			"internal/store/ballast.go", `
			return time.After(ballastEverySoon)`, `
			return time.After(0)`,
		}}},
		{"count-half-a-ballast", "half a ballast of an earlier run is taken for a whole one", store("TestBallastIsMadeSlowly"), []Edit{{
			"internal/store/ballast.go", `
			if err == nil && (b.size() == 0 || info.Size() < b.size()) {`, `
			if err == nil && (b.size() == 0 || info.Size() < 0) {`,
		}}},
		{"rest-while-somebody-writes", "the log is opened anew, and memory given back at once, while clients write", Killer{"internal/node", "TestRestlessNeverWaits"}, []Edit{{
			"internal/node/quiet.go", `
			case wrote <= stillBytes:
				g.cut, g.all = true, true`, `
			case g.restless == restlessMax:
				g.cut, g.all = true, true`,
		}}},
		{"cut-what-copies-need", "the log behind a copy is cut while it is on its way", sim("TestOneSnapshotIsEnoughUnderWrites"), []Edit{{
			"internal/shard/appends.go", `
			needed = l.copying.behind() // also where nothing is to be truncated: who has caught up is forgotten`, `
			l.copying.behind()`,
		}}},
		{"copy-in-vain", "who does not lead any more goes on with a copy that nobody takes", sim("TestLeadershipMovesWhileASnapshotIsSent"), []Edit{{
			"internal/shard/snapshot.go", `
	return lead.Node == sn.r.host.cfg.Node && lead.Term == m.GetTerm()`, `
	return lead != nil`,
		}, {
			"internal/shard/leadership.go", `
	l.r.snapshots.sending.end()`, ``,
		}}},
		{"connect-for-nobody", "who does not lead any more goes on connecting to whom it would send a copy, and holds what it would send", shard("TestDeposedLeaderHoldsNoView"), []Edit{{
			"internal/shard/snapshot.go", `
	s, err := sn.r.host.cfg.Links.OpenStream(ctx, to)`, `
	s, err := sn.r.host.cfg.Links.OpenStream(sn.r.loop.ctx, to)`,
		}}},
		{"wait-for-a-stuck-copy", "who receives a copy of a leader that was waits for its time-out while the next leader has one", sim("TestSnapshotOfADeposedLeaderIsInNobodysWay"), []Edit{{
			"internal/shard/snapshot.go", `
		if x := r.snapshots.from.Load(); x != nil && x.term < m.GetTerm() {`, `
		if x := r.snapshots.from.Load(); x != nil && x.term == 0 {`,
		}}},
		{"press-copies", "a copy that was refused is sent again at once", sim("TestLeadershipMovesWhileASnapshotIsSent"), []Edit{{
			"internal/shard/snapshot.go", `
			case <-time.After(snapRetry):`, `
			case <-time.After(0 * snapRetry):`,
		}}},
		{"keep-entries-of-any-size", "the log keeps so many entries for those behind, however large they are", shard("TestLogIsBoundedInBytes"), []Edit{{
			"internal/shard/appends.go", `
			beyond := ap.log.Beyond(min(keepBytes, ap.r.host.cfg.Log.Keeps()))`, `
			beyond := ap.log.Beyond(1 << 62)`,
		}}},
		{"refuse-without-a-word", "who is refused because he runs on an old copy is not told so", sim("TestOldCopyElsewhereIsToldWhy"), []Edit{{
			"internal/peer/inbound.go", `
			refused.tell(conn)`, `
			_ = refused`,
		}}},
		{"let-a-clone-wait", "a process on a copy of a node's folder, to which nobody speaks, waits until the node is started again", sim("TestCloneIsRefused"), []Edit{{
			"internal/node/clone.go", `
			if least < cloneSilence {`, `
			if least >= 0 {`,
		}}},
		{"do-not-look-back", "nobody reads why he is refused", sim("TestOldCopyElsewhereIsToldWhy"), []Edit{{
			"internal/peer/refused.go", `
			l.mux.frames[kind](k.node, payload)`, ``,
		}}},
		{"read-longer-than-a-write", "a read that nobody confirms is answered after its client has given up", sim("TestClientsThatReachOneNode"), []Edit{{
			"internal/shard/read.go", `
			readMaxTicks = 165`, `
			readMaxTicks = 300`,
		}}},
		{"starve-learners", "a learner hears no heartbeat while rounds of reads are under way", shard("TestLearnersAreSpared"), []Edit{{
			"internal/shard/outbox.go", `
			if last, ok := o.beats[to]; ok && last == o.r.ticks {`, `
			if last, ok := o.beats[to]; ok || last == 0 {`,
		}}},
		{"wait-for-the-quickest", "nobody else is asked when those don't answer who were quickest in rounds of reads", sim("TestReadsGoOnWithoutTheQuickest"), []Edit{{
			"internal/shard/read.go", `
			return min(max(4*rd.slow, patienceMin), most)`, `
			_ = most
			return time.Hour`,
		}}},
		{"learners-are-quick", "a learner's answer makes it one of those who are asked", shard("TestMajorityIsAsked"), []Edit{{
			"internal/shard/quickest.go", `
			if string(round) != q.all || len(round) == 0 || q.conf == nil || joint(q.conf) || !slices.Contains(q.conf.GetVoters(), from) || slices.Contains(q.got, from) {`, `
			if string(round) != q.all || len(round) == 0 || q.conf == nil || joint(q.conf) || slices.Contains(q.got, from) {`,
		}}},
		{"vouch-of-any-term", "who was in another term vouches for a round of reads", shard("TestWhoVouches"), []Edit{{
			"internal/shard/vouch.go", `
			if n == 0 || q.term != m.r.term || joint(m.conf) || m.lacks(q) > 0 || !slices.Contains(voters, uint64(m.r.self)) || m.nodeOf(uint64(q.vouchers[n-1])) != from {`, `
			if n == 0 || joint(m.conf) || m.lacks(q) > 0 || !slices.Contains(voters, uint64(m.r.self)) || m.nodeOf(uint64(q.vouchers[n-1])) != from {`,
		}}},
		{"vouch-of-a-learner", "a learner vouches for a round of reads", shard("TestWhoVouches"), []Edit{{
			"internal/shard/vouch.go", `
			if v == m.r.self || !slices.Contains(voters, uint64(v)) || slices.Contains(q.vouchers[:i], v) {`, `
			if v == m.r.self || slices.Contains(q.vouchers[:i], v) {`,
		}}},
		{"vouch-between-configurations", "one voter vouches for a round of reads though two configurations have a say", shard("TestWhoVouches"), []Edit{{
			"internal/shard/vouch.go", `
			if n == 0 || q.term != m.r.term || joint(m.conf) || m.lacks(q) > 0 || !slices.Contains(voters, uint64(m.r.self)) || m.nodeOf(uint64(q.vouchers[n-1])) != from {`, `
			if n == 0 || q.term != m.r.term || m.lacks(q) > 0 || !slices.Contains(voters, uint64(m.r.self)) || m.nodeOf(uint64(q.vouchers[n-1])) != from {`,
		}}},
		{"wait-for-who-passes", "the leader is never asked when a voter does not pass a learner's question on", sim("TestLearnersReadWithoutAnyVoter"), []Edit{{
			"internal/shard/read.go", `
			case rd.r.leader == nil && rd.passing.used:`, `
			case rd.r.leader == nil && rd.passing.used && false:`,
		}}},
		{"admit-before-durable", "a machine is let in before the entry is durable that makes it a member", sim("TestNobodyIsInBeforeAMajorityKnows"), []Edit{{
			"internal/shard/leadership.go", `
			l.inflight = inflight{batch: b, progress: progress{since: l.r.host.cfg.Clock.Mono()}}`, `
			l.inflight = inflight{batch: b, progress: progress{since: l.r.host.cfg.Clock.Mono()}}
			if l.r.id == cluster.Meta {
				l.queue.answerBatch(b)
			}`,
		}}},
	}
}
