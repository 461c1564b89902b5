package mutant

func times() []Mutant {
	return []Mutant{
		{"expire-by-local-clock", "the leader's own wall clock decides what has expired", sim("TestClockAnHourOffFiresNothing"), []Edit{{
			"internal/shard/replica.go", `
			wall, ok = r.host.cfg.Links.MedianWall(r.voters)`, `
			wall, ok = r.host.cfg.Clock.Wall(), true`,
		}}},
		{"time-goes-back", "a new leader's shard time starts at its own clock, even if that is earlier", shard("TestClockAcrossLeaders"), []Edit{{
			"internal/shard/replica.go", `
			r.clock.start(r.applied.Time)`, `
			r.clock.start(r.host.cfg.Clock.Wall())`,
		}, {
			"internal/shard/replica.go", `
			now = max(now, r.applied.Time)`, ``,
		}, {
			"internal/store/state.go", `
			if t := w.Time(); t < at.Time {`, `
			if t := w.Time(); false {`,
		}}},
		{"leave-out-time", "a batch that found a key expired and wrote nothing leaves no record of the time", shard("TestExpiredWithoutEffect"), []Edit{{
			"internal/shard/core.go", `
			if tx.Empty() && !tx.UsedNow() && !in.tick && !in.scrub && len(b.opened) == 0 {`, `
			if tx.Empty() && !in.tick && !in.scrub && len(b.opened) == 0 {`,
		}}},
		{"read-unrecorded-expiry", "a read that found a key expired is answered before the time is recorded", sim("TestReadOfExpiryWaitsForItsRecord"), []Edit{{
			"internal/server/eval.go", `
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
		{"believe-heavy-result", "what was evaluated beside the loop is applied whatever has changed since", shard("TestHeavyCore"), []Edit{{
			"internal/shard/heavy.go", `
			if in.full || in.tight || p.dbs != in.databases || c.ended(b, g) || !unchanged(now, p.reads) || now.Err() != nil {`, `
			if in.full || in.tight || p.dbs != in.databases || c.ended(b, g) || now.Err() != nil {`,
		}}},
	}
}
