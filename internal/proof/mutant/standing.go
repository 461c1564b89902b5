package mutant

// standing are safeguards of what is told of replicas, and of who may be one.
func standing() []Mutant {
	return []Mutant{
		{"count-the-silent", "a replica that answered once counts as confirmed for ever", sim("TestStatusTellsTheTruthWithinTwoSeconds"), []Edit{{
			"internal/shard/standing.go", `
			c.Confirmed = answered && c.Silent <= ConfirmedWithin && c.Match >= r.leader.answers.old`, `
			c.Confirmed = answered && c.Match >= r.leader.answers.old`,
		}}},
		{"count-the-behind", "a replica that answers counts as confirmed whatever it holds", sim("TestStatusTellsOfDisksThatHang"), []Edit{{
			"internal/shard/standing.go", `
			c.Confirmed = answered && c.Silent <= ConfirmedWithin && c.Match >= r.leader.answers.old`, `
			c.Confirmed = answered && c.Silent <= ConfirmedWithin`,
		}}},
		{"keep-an-old-copy", "a node that is told that it runs on an old copy goes on", sim("TestOldDiskImageIsRefused"), []Edit{{
			"internal/node/oldcopy.go", `
			if !ok || o.refused != start || o.known.Count < start.Count || o.known == start {`, `
			if o.known.Count > 0 || !ok {`,
		}}},
		{"outlive-the-folder", "a node whose folder is gone goes on with open files", store("TestFolderGoneEndsTheNode"), []Edit{{
			"internal/store/folder.go", `
			if _, err := s.cfg.FS.Stat(path); errors.Is(err, fs.ErrNotExist) {`, `
			if _, err := s.cfg.FS.Stat(path); errors.Is(err, fs.ErrInvalid) {`,
		}}},
		{"trust-links-at-once", "followers tell how near a majority is now, not how far it was lately", sim("TestFlappingLinksDoNotMakeLeadershipFlap"), []Edit{{
			"internal/shard/reach.go", `
			_, worst, ok := r.reach()`, `
			worst, _, ok := r.reach()`,
		}}},
	}
}
