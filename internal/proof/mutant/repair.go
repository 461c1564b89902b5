package mutant

func repair() []Mutant {
	return []Mutant{
		{"evaluate-among-ready", "a batch is evaluated for an index that a change of the configuration takes", shard("TestConfChangesAmongBatches"), []Edit{{
			"internal/shard/loop.go", `
			switch {
			case r.raft.HasReady():`, `
			if r.leading() {
				if err := r.leader.propose(); err != nil {
					return err
				}
			}
			switch {
			case r.raft.HasReady():`,
		}}},
		{"destroy-damaged", "damaged data is removed before the others have taken the node in again", sim("TestDamagedMajorityDestroysNothing"), []Edit{{
			"internal/store/damage.go", `
			if _, err := fs.Stat(to); err == nil {`, `
			if true {`,
		}}},
	}
}
