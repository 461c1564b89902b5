package mutant

import "slices"

func repair() []Mutant {
	return slices.Concat(replicas(), slots())
}

// slots are the safeguards of who owns which slots, and of who reads what.
func slots() []Mutant {
	return []Mutant{
		{"no-range-check", "a command on keys of another shard is evaluated", eval("TestForeignKeys"), []Edit{{
			"internal/eval/core.go", `
			if g.strayed || !in.Owned.Slots.Covers(g.Claim.Slots) {`, `
			if g.strayed {`,
		}, {
			"internal/keyspace/tx.go", `
			if t.Owns != nil && t.err == nil && !t.Owns(slot) {`, `
			if false {`,
		}}},
		{"accept-old-generation", "commands on a whole shard that were sent by an old descriptor are evaluated on what is left of it", eval("TestOldGeneration"), []Edit{{
			"internal/eval/core.go", `
			if g.strayed || !in.Owned.Slots.Covers(g.Claim.Slots) {`, `
			if g.strayed {`,
		}}},
		{"answer-half-a-group", "a group that comes to a key which has moved keeps what it did before", eval("TestComputedKeys"), []Edit{{
			"internal/eval/core.go", `
			return c.Evaluate(in, groups) // without what the group has done`, `
			b.Replies[n].Status, b.Replies[n].Owned = group.Moved, &in.Owned`,
		}}},
		{"read-moved-slots", "a view answers for slots that the shard does not own in it", eval("TestForeignKeys"), []Edit{{
			"internal/eval/read.go", `
			if !v.Owned.Slots.Covers(claim.Slots) {`, `
			if false {`,
		}}},
		{"remember-moved-keys", "a leader that gets slots back believes what it knew of their keys", shard("TestSlotsChange"), []Edit{{
			"internal/shard/slots.go", `
			l.core.SlotsChanged()`, ``,
		}}},
		{"write-before-confirmed", "formats of a later version are written as soon as one member reads them", sim("TestTwoVersionsInOneCluster"), []Edit{{
			"internal/cluster/version.go", `
			if i == 0 || x.Version < v {`, `
			if i == 0 || x.Version > v {`,
		}}},
		{"watch-another-log", "the version that a key had in one shard is compared with that in another", server("TestPlanTransaction"), []Edit{{
			"internal/server/multi.go", `
			t.strayed = t.strayed || w.shard != t.shard`, ``,
		}}},
	}
}

func replicas() []Mutant {
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
		{"reuse-replica-id", "a replica that was dropped is made again under its id", store("TestReplicasComeAndGo"), []Edit{{
			"internal/store/replicas.go", `
			if replica <= gone {`, `
			if replica == 0 && replica <= gone {`,
		}}},
		{"count-ids-anywhere", "a change of the configuration gives out ids that are not the log's next ones", shard("TestAddedContext"), []Edit{{
			"internal/shard/members.go", `
			if x.ID != d.Next+cluster.ReplicaID(i) {`, `
			if x.ID < cluster.ReplicaID(i) {`,
		}}},
		{"accept-old-invitation", "a node that lost its data makes a replica that was handed out for what it lost", shard("TestInvitationIsForTheDataThatIsHere"), []Edit{{
			"internal/shard/invite.go", `
			case data < o.h.cfg.Generation:
				o.ask(shard, from)
				return`, ``,
		}}},
		{"go-when-removed", "a replica goes as soon as it knows that it is removed", sim("TestLeaverAloneKnowsOfItsRemoval"), []Edit{{
			"internal/shard/members.go", `
			m.noteRemovals(before)`, `
			m.noteRemovals(before)
			if m.removed() {
				m.r.host.mu.Lock()
				defer m.r.host.mu.Unlock()
				m.r.host.remove(m.r)
			}`,
		}}},
		{"removal-waits-for-writes", "a removal stays unknown, or a joint configuration, while nobody writes, if the entry that was to follow is lost", shard("TestRemovalIsSettledWithoutWrites"), []Edit{{
			"internal/shard/change.go", `
			ch.settle()
			ch.report()`, `
			ch.report()`,
		}}},
		{"values-end-badly", "a table refers to values that were not synced, or the process ends in Pebble", store("TestFaultsOfBlobFiles"), []Edit{{
			"internal/store/blobfile.go", `
			f.space.broken.add(f.name, err)`, ``,
		}}},
		{"garbage-of-values-stays", "a blob file is kept whole for one value of it", store("TestBlobFilesAreWrittenAgain"), []Edit{{
			"internal/store/blobs.go", `
			RewriteMinimumAge: age, TargetGarbageRatio: blobGarbage}`, `
			RewriteMinimumAge: age, TargetGarbageRatio: 1}`,
		}}},
		{"rot-ends-pebble", "a blob file that has rotted at its end is opened, and Pebble panics", store("TestReaderErrors"), []Edit{{
			"internal/store/blobs.go", `
			err = blobEnds(f)`, `
			err = nil`,
		}}},
		{"rot-of-values-is-passed-over", "who reads a value that has rotted gets an error, and the node goes on", store("TestReaderErrors"), []Edit{{
			"internal/store/reading.go", `
			noticed(r.cfg, err)
			return err`, `
			return err`,
		}, {
			"internal/store/reading.go", `
			noticed(r.cfg, r.Error())`, ``,
		}, {
			"internal/store/state.go", `
			noticed(&s.cfg, err)`, ``,
		}}},
		{"values-are-not-verified", "values that rot beside the tables are not found before they are read", store("TestVerifyFindsRot"), []Edit{{
			"internal/store/verify.go", `
			for _, name := range append(slices.Compact(names), blobs...) {`, `
			for _, name := range slices.Compact(names) {`,
		}}},
		{"forget-dropping", "a removal that a crash interrupted is not finished", store("TestDropCrash"), []Edit{{
			"internal/store/replicas.go", `
			case ok2:
				dropping[shard] = gone`, `
			case ok2:
				here[shard] = gone`,
		}}},
		{"take-older-map", "a map of an older epoch replaces a newer one", cluster("TestHolder"), []Edit{{
			"internal/cluster/holder.go", `
			if m.Epoch <= h.now.Load().Epoch {`, `
			if false {`,
		}}},
		{"know-removed-nodes", "a node that was removed is taken for a member", sim("TestDeadNodeIsReplaced"), []Edit{{
			"internal/node/node.go", `
			if !n.isMember(h.Node) {`, `
			if false {`,
		}}},
		{"read-later-version", "a record of a later version is read as if it were of this one", cluster("TestLaterVersion"), []Edit{{
			"internal/cluster/codec.go", `
			if v := d.byte(); d.err == nil && v != formatVersion {`, `
			if v := d.byte(); d.err == nil && v == 0 {`,
		}}},
	}
}
