package mutant

func disk() []Mutant {
	return []Mutant{
		{"skip-log-fsync", "the raft log is written without an fsync", shard("TestHostCrash"), []Edit{{
			"internal/store/log.go", `
			opt := pebble.NoSync
			if sync {`, `
			opt := pebble.NoSync
			if false {`,
		}}},
		{"skip-commit-fsync", "a configuration change is applied before its commit is durable", shard("TestConfChangeIsDurable"), []Edit{{
			"internal/store/log.go", `
			l.do(&Append{Shard: shard, Hard: hs, Sync: true})`, ``,
		}}},
		{"reclaim-before-it-is-there", "rows that are deleted late are not told to who makes room of them", store("TestRoomOfWhatIsDeletedLate"), []Edit{{
			"internal/store/writeback.go", `
			s.reclaimer.note(deletes)`, `
			s.reclaimer.note(false && deletes)`,
		}}},
		{"forget-parent-fsync", "a folder in which files were made is not fsynced", store("TestCreateIsDurable"), []Edit{{
			"internal/durable/durable.go", `
				err = errors.Join(d.Sync(), d.Close())`, `
				err = d.Close()`,
		}}},
		{"skip-ballot-vow", "a vote is answered before it is vowed for", store("TestVowKeepsVotes"), []Edit{{
			"internal/store/log.go", `
			if urgent {`, `
			if false && urgent {`,
		}}},
		{"ignore-vow", "a log that lost what it had promised is opened all the same", store("TestDamage"), []Edit{{
			"internal/store/vow.go", `
			p, ok := v.state[shard]
			return p, ok`, `
			return promise{}, false`,
		}}},
		{"keep-vow-above-cut", "a log that a new leader makes shorter still owes what was cut: every shorter log is damaged", store("TestCrashAnywhere"), []Edit{{
			"internal/store/log.go", `
			return l.vow.lower(a.Shard, keep)`, `
			return nil`,
		}}},
		{"torn-tail-is-damage", "a bad tail past the vow, a torn write, is taken for damage", store("TestDamage"), []Edit{{
			"internal/store/shardlog.go", `
			if s.log.vow.index(s.shard) > s.last {`, `
			if true {`,
		}}},
		{"ignore-entry-checksum", "an entry of the log is believed whatever its checksum says", store("TestDamage"), []Edit{{
			"internal/store/log.go", `
			if len(val) < entryHead || be.Uint32(val) != entrySum(index, val[4:]) {`, `
			if len(val) < entryHead {`,
		}}},
		{"keep-replaced-tail", "entries behind those that replace a part of the log stay on disk", store("TestStorageContract"), []Edit{{
			"internal/store/log.go", `
			if last, ok := l.last[a.Shard]; !ok || first <= last {`, `
			if false {`,
		}}},
		{"apply-without-index", "a write set is applied without its applied index", store("TestCrashAnywhere"), []Edit{{
			"internal/store/state.go", `
			return at, to.put(b.b, index, AppliedRow(shard), at.encode())`, `
			return at, nil`,
		}}},
		{"late-without-index", "an applied index reaches the store before its rows, which come late", store("TestCrashAnywhere"), []Edit{{
			"internal/store/state.go", `
			return at, to.put(b.b, index, AppliedRow(shard), at.encode())`, `
			return at, b.b.Set(AppliedRow(shard), at.encode(), nil)`,
		}}},
		{"ingest-without-marker", "a snapshot is ingested without the marker that lets a restart finish it", store("TestCrashAnywhere"), []Edit{{
			"internal/store/shardlog.go", `
			s.log.do(&Append{Shard: s.shard, mark: &position{index, term}})`, ``,
		}}},
		{"truncate-undurable", "the log drops what the state store has applied but not made durable", shard("TestTruncateKeepsUndurable"), []Edit{{
			"internal/shard/appends.go", `
			ap.r.host.cfg.State.FlushIfLarge(bytes)
			}
			durable, err := ap.r.host.cfg.State.DurablyApplied(ap.r.id)`, `
			ap.r.host.cfg.State.FlushIfLarge(bytes)
			}
			durable, err := ap.r.machine.applied, error(nil)`,
		}}},
	}
}

func sim(name string) Killer      { return Killer{"internal/proof/sim", name} }
func shard(name string) Killer    { return Killer{"internal/shard", name} }
func eval(name string) Killer     { return Killer{"internal/eval", name} }
func keyspace(name string) Killer { return Killer{"internal/keyspace", name} }
func rowcache(name string) Killer { return Killer{"internal/rowcache", name} }
func server(name string) Killer   { return Killer{"internal/server", name} }
func command(name string) Killer  { return Killer{"internal/command", name} }
func cluster(name string) Killer  { return Killer{"internal/cluster", name} }
func router(name string) Killer   { return Killer{"internal/router", name} }
func store(name string) Killer    { return Killer{"internal/store", name} }
