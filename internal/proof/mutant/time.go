package mutant

func times() []Mutant {
	return []Mutant{
		{"expire-by-local-clock", "the leader's own wall clock decides what has expired", sim("TestClockAnHourOffFiresNothing"), []Edit{{
			"internal/shard/leadership.go", `
			return l.r.host.cfg.Links.MedianWall(l.r.members.voters)`, `
			return l.r.host.cfg.Clock.Wall(), true`,
		}}},
		{"time-goes-back", "a new leader's shard time starts at its own clock, even if that is earlier", shard("TestClockAcrossLeaders"), []Edit{{
			"internal/shard/leadership.go", `
			l.clock.start(l.r.machine.applied.Time)`, `
			l.clock.start(l.r.host.cfg.Clock.Wall())`,
		}, {
			"internal/shard/leadership.go", `
			now = max(now, l.r.machine.applied.Time)`, ``,
		}, {
			"internal/store/state.go", `
			if t := b.Effects.Time; t < at.Time {`, `
			if t := b.Effects.Time; false {`,
		}}},
		{"begin-behind", "a new leader does not make up for the time since the last entry before it evaluates", sim("TestTimeToLiveNeverEndsEarly"), []Edit{{
			"internal/shard/clock.go", `
			case ahead > jumpMin, ahead > 0 && !p.begun:`, `
			case ahead > jumpMin:`,
		}}},
		{"jump-in-term", "within a term time jumps to the median however little it lags", shard("TestPacerCatchesUp"), []Edit{{
			"internal/shard/clock.go", `
			case ahead > jumpMin, ahead > 0 && !p.begun:`, `
			case ahead > 0:`,
		}}},
		{"leave-out-time", "a batch that found a key expired and wrote nothing leaves no record of the time", eval("TestExpiredWithoutEffect"), []Edit{{
			"internal/eval/core.go", `
			if tx.Empty() && !tx.Eventful() && !tx.UsedNow() && !in.Tick && !in.Scrub && in.Give == nil && len(b.opened) == 0 && !pieces {`, `
			if tx.Empty() && !tx.Eventful() && !in.Tick && !in.Scrub && in.Give == nil && len(b.opened) == 0 && !pieces {`,
		}}},
		{"read-unrecorded-expiry", "a read that found a key expired is answered before the time is recorded", sim("TestReadOfExpiryWaitsForItsRecord"), []Edit{{
			"internal/eval/read.go", `
			return tx.UsedNow(), tx.Err()`, `
			return false, tx.Err()`,
		}}},
		{"absent-version-zero", "an absent key always has version 0 for WATCH", sim("TestShards"), []Edit{{
			"internal/keyspace/object.go", `
			if !ok {
				return 0, false
			}
			return be.Uint64(gone), false`, `
			_, _ = gone, ok
			return 0, false`,
		}}},
		{"heavy-past-deadline", "what was evaluated beside the loop is applied though a key that it found has expired since", eval("TestHeavyDeadline"), []Edit{{
			"internal/eval/heavy.go", `
			case !in.Owned.Slots.Covers(g.Claim.Slots) || in.Now >= p.until || c.Changes.touched(p.keys, p.index):`, `
			case !in.Owned.Slots.Covers(g.Claim.Slots) || c.Changes.touched(p.keys, p.index):`,
		}}},
		{"heavy-slots-forgotten", "what was evaluated beside the loop is applied though slots have gone to another shard and come back", eval("TestHeavySlotsChanged"), []Edit{{
			"internal/eval/seal.go", `
			c.Changes.forget()`, ``,
		}}},
		{"heavy-walk-forgotten", "what was evaluated beside the loop has seen which keys there are, and is applied though another has come since", eval("TestHeavyWalks"), []Edit{{
			"internal/eval/heavy.go", `
			case p.walked && c.Changes.any(p.index), c.Changes.own > p.index:`, `
			case c.Changes.own > p.index:`,
		}}},
		{"heavy-library-forgotten", "what was evaluated beside the loop is applied though libraries of functions have changed since", eval("TestHeavyLibraries"), []Edit{{
			"internal/eval/heavy.go", `
			case p.walked && c.Changes.any(p.index), c.Changes.own > p.index:`, `
			case p.walked && c.Changes.any(p.index):`,
		}}},
		{"believe-heavy-result", "what was evaluated beside the loop is applied whatever has changed since", eval("TestHeavyCore"), []Edit{{
			"internal/eval/heavy.go", `
			case !in.Owned.Slots.Covers(g.Claim.Slots) || in.Now >= p.until || c.Changes.touched(p.keys, p.index):`, `
			case !in.Owned.Slots.Covers(g.Claim.Slots) || in.Now >= p.until:`,
		}}},
	}
}
