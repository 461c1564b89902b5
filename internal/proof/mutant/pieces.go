package mutant

// pieces are safeguards of large effects, which go into the log in pieces: without them a
// part of some is applied, or what was given up stays, or others wait for nothing.
func pieces() []Mutant {
	return []Mutant{
		{"pieces-stay", "pieces of effects that were given up stay for ever", eval("TestPiecesGivenUp"), []Edit{{
			"internal/eval/pieces.go", `
			func (s *Pieces) giveUp() { s.p, s.n, s.sent, s.left = nil, 0, 0, max(s.n, s.left) }`, `
			func (s *Pieces) giveUp() { s.p, s.n, s.sent, s.left = nil, 0, 0, 0 }`,
		}}},
		{"pieces-of-an-earlier-leader", "pieces of effects whose leader has ended stay for ever", eval("TestPiecesGivenUp"), []Edit{{
			"internal/eval/core.go", `
			c.Pieces.left, err = v.Pieces() // of an earlier leader`, `
			_, err = v.Pieces()`,
		}}},
		{"pieces-before-all-know", "effects go in pieces though a member can't join them", eval("TestWhatGoesInPieces"), []Edit{{
			"internal/eval/pieces.go", `
			func (c *Config) inPieces() bool { return c.Shard != cluster.Meta && c.format() >= byte(cluster.V7) }`, `
			func (c *Config) inPieces() bool { return c.Shard != cluster.Meta }`,
		}}},
		{"piece-that-was-not-proposed", "a piece counts as sent though its batch was dropped", eval("TestPieceNotProposed"), []Edit{{
			"internal/eval/seal.go", `
			c.Pieces.dropped()`, `
			c.Pieces.kept()`,
		}}},
		{"keys-change-between-pieces", "what would change the keys of effects goes between their pieces", shard("TestPiecesGoBetween"), []Edit{{
			"internal/shard/heavy.go", `
			for _, g := range []*eval.Waiting{h.staged, h.done} {`, `
			for _, g := range []*eval.Waiting{h.done} {`,
		}}},
		{"pieces-of-another", "a write set goes on behind any pieces of the same number", store("TestPiecesDiffer"), []Edit{{
			"internal/store/pieces.go", `
			if p.n != n || p.sum.Sum64() != sum {`, `
			if p.n != n {`,
		}}},
		{"pieces-forgotten-at-start", "a replica that starts again does not know the pieces it has", store("TestWriteSetInPieces"), []Edit{{
			"internal/store/replies.go", `
			x.pieces.put(slices.Clone(row), slices.Clone(val))`, ``,
		}}},
		{"older-row-of-a-wide-batch", "of a row that entries of a wide batch write twice the older value stays", store("TestRowsInMemory"), []Edit{{
			"internal/store/wide.go", `
			if i+1 == len(list) || !bytes.Equal(list[i].row, list[i+1].row) {`, `
			if n == 0 || !bytes.Equal(list[n-1].row, list[i].row) {`,
		}}},
		{"row-between-pieces-cut", "of a row that lies in several pieces the rest is taken for the next", store("TestRowsInMemory"), []Edit{{
			"internal/store/pieces.go", `
			b = p.goOn(b)`, `
			p.begun = nil`,
		}}},
		{"older-pieces-on-top", "what an entry of the same batch has written before comes on top of pieces", store("TestRowsInMemory"), []Edit{{
			"internal/store/wide.go", `
			w.runs = slices.Concat(list, w.runs)`, `
			w.runs = slices.Concat(w.runs, list)`,
		}}},
		{"changes-of-many-rows", "what an entry has written that is large counts as unchanged", eval("TestChanges"), []Edit{{
			"internal/eval/changes.go", `
			c.many, c.total = append(c.many, changedMany{index, keys.hashes}), c.total+len(keys.hashes)`, ``,
		}}},
		{"known-behind-many-rows", "a leader goes on with what it knew of keys behind a transaction that it does not learn from", keyspace("TestOpenToReplace"), []Edit{{
			"internal/keyspace/known.go", `
			if len(tx.ops) > k.most {
				k.Forget()
				return
			}`, `
			if len(tx.ops) > k.most {
				return
			}`,
		}}},
		{"tasks-not-learned", "a leader does not learn of rows of tasks that a batch has written", eval("TestSweepOfTasks"), []Edit{{
			"internal/eval/seal.go", `
			r.tasks = true`, ``,
		}}},
		{"carried-before-all-know", "a large group is carried though the leader may not know how to take it", shard("TestGroupsAreCarried"), []Edit{{
			"internal/shard/carry.go", `
			return size > cmp.Or(c.cfg.Large.CarryFrom, carryFrom) && c.cfg.Map.Map().Version >= cluster.V8`, `
			return size > cmp.Or(c.cfg.Large.CarryFrom, carryFrom)`,
		}}},
		{"carried-and-not-confirmed", "a large group that has come, and was not confirmed, counts as one that was never sent", shard("TestGroupsAreCarried"), []Edit{{
			"internal/shard/carry.go", `
			if all { // it may have come
				g.Refuse(group.Lost, 0, 0)`, `
			if all {
				g.Refuse(group.NotLeader, 0, 0)`,
		}}},
		{"refused-and-set-aside", "what was found beside the loop to be refused is set aside again, for ever", eval("TestHeavyRefused"), []Edit{{
			"internal/eval/pieces.go", `
			if g.last() || g.refused {`, `
			if g.last() {`,
		}}},
	}
}
