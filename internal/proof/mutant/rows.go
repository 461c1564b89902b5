package mutant

func rows() []Mutant {
	return []Mutant{
		{"keep-overwritten-row", "what a reader found is kept in memory though an entry has written the row since", sim("TestRowsInMemoryAreOfTheView"), []Edit{{
			"internal/rowcache/rowcache.go", `
			if *p.shared > at {
				return
			}`, ``,
		}}},
		{"publish-before-rows", "the rows in memory learn of an entry only after its view was published", sim("TestLoadWithoutFaultsIsLinearizable"), []Edit{{
			"internal/store/state.go", `
			hot       hotRows`, `
			hot       hotRows
			held      *Batch`,
		}, {
			"internal/store/state.go", `
			err := errors.Join(b.remember(), b.ready())`, `
			held := b.s.held
			if b.s.held = b; held == nil {
				held = &Batch{s: b.s}
			}
			err := errors.Join(held.remember(), b.ready())`,
		}}},
		{"popped-element-stays", "an element that was taken out of a list stays in memory", rowcache("TestHitIsWhatTheSnapshotSays"), []Edit{{
			"internal/rowcache/rowcache.go", `
			case rec == nil:`, `
			case rec == nil, c.Once && c.Gone:`,
		}}},
		{"parts-taken-for-plain", "a leader takes a string in parts for one that can be replaced without a look", eval("TestStringsInPartsAreStrings"), []Edit{{
			"internal/keyspace/known.go", `
			case o.Type == TypeString && o.Expire == 0 && !o.rowed:`, `
			case o.Type == TypeString && o.Expire == 0:`,
		}}},
		{"value-before-its-parts", "a value is taken for whole though parts are missing", eval("TestCommandsWithParts"), []Edit{{
			"internal/keyspace/parts.go", `
			if o == nil || o.size != size {`, `
			if o == nil {`,
		}}},
		{"part-in-another-place", "a part is taken that does not follow those before it", keyspace("TestUploadsThatFail"), []Edit{{
			"internal/keyspace/parts.go", `
			if o == nil || o.size != n*o.each || size == 0 || size > o.each || o.size+size > WriteSetMax {`, `
			if o == nil || size == 0 || size > o.each || o.size+size > WriteSetMax {`,
		}}},
		{"parts-of-nobody", "what was uploaded half way stays for ever", sim("TestUploadsUnderFaults"), []Edit{{
			"internal/keyspace/sweep.go", `
			(&Uploaded{o}).Drop()`, `
			forgetUpload(o)`,
		}}},
		{"parts-before-all-know", "values go in parts though a member can't read them", keyspace("TestUploadsThatFail"), []Edit{{
			"internal/keyspace/parts.go", `
			func mayUpload(t *Tx) bool { return t.Format == 0 || t.Format >= formatParts }`, `
			func mayUpload(t *Tx) bool { return true }`,
		}}},
		{"late-of-later-entries", "a view has what came late from entries after it", store("TestRowsInMemory"), []Edit{{
			"internal/store/late.go", `
			if v := &l.list[n]; v.index <= at {`, `
			if v := &l.list[n]; v != nil {`,
		}}},
		{"walk-below-what-is-late", "a walk does not meet the rows that come late", store("TestRowsInMemory"), []Edit{{
			"internal/store/late.go", `
			if l == nil {
				return base
			}`, `
			if l != nil {
				return base
			}`,
		}}},
		{"late-in-no-census", "keys that come late when a census begins are taken for absent", store("TestRowsInMemory"), []Edit{{
			"internal/store/census.go", `
			for _, r := range v.top.runs {`, `
			for _, r := range v.top.runs[:0] {`,
		}}},
		{"runs-not-looked-at", "a row that has left its layer and is not in Pebble yet is not found", store("TestRowsInMemory"), []Edit{{
			"internal/store/rows.go", `
			if !known {`, `
			if false {`,
		}}},
		{"held-for-ever", "a large value that was read is never let go", server("TestRepliesStayUntilTheyAreTaken"), []Edit{{
			"internal/eval/read.go", `
			keyspace.End(&r.tx)`, ``,
		}}},
		{"held-into-the-next", "what a command was given is still held when the next one runs", keyspace("TestHeldUntilForgotten"), []Edit{{
			"internal/keyspace/scratch.go", `
			s.used, s.found = 0, s.found[:0]
			s.letGo()`, `
			s.used, s.found = 0, s.found[:0]`,
		}}},
		{"held-without-bound", "a command that looks at thousands of large values holds them all", keyspace("TestHeldUntilForgotten"), []Edit{{
			"internal/keyspace/tx.go", `
			if t.holder != nil && t.holds < heldMax {`, `
			if t.holder != nil {`,
		}}},
		{"memory-lent-too-soon", "the memory that replies are in is lent to another client before they are written", server("TestRepliesStayUntilTheyAreTaken"), []Edit{{
			"internal/server/outbox.go", `
			defer o.giveBack()`, `
			if o.memory != nil {
				o.s.config.held.memories.put(o.memory)
				o.memory = nil
			}`,
		}}},
		{"older-run-counts", "of a row in several runs an older value is kept when they are merged", store("TestNewestRunCounts"), []Edit{{
			"internal/store/run.go", `
			if a, b := r.refs[at[n]].lead, l[first].refs[at[first]].lead; a > b || a == b && bytes.Compare(r.key(at[n]), key) >= 0 {`, `
			if a, b := r.refs[at[n]].lead, l[first].refs[at[first]].lead; a > b || a == b && bytes.Compare(r.key(at[n]), key) > 0 {`,
		}}},
		{"settled-before-what-is-written", "newer rows reach Pebble before older ones that are being written", store("TestSettledBehindWhatIsWritten"), []Edit{{
			"internal/store/settle.go", `
			err = errors.Join(err, t.late.finish(b.s))`, ``,
		}}},
		{"removed-while-written", "a row that is removed while it is being written stays", store("TestSettledBehindWhatIsWritten"), []Edit{{
			"internal/store/settle.go", `
			list := t.late.unwritten()`, `
			list := t.late.runs`,
		}}},
		{"failed-write-back-counts", "rows that could not be written back are forgotten", store("TestWhatWasNotWrittenStaysLate"), []Edit{{
			"internal/store/writeback.go", `
			if x.writing.err != nil { // the node ends; nothing may be taken for written until then`, `
			if false {`,
		}}},
		{"late-without-bound", "runs pile up while the disk is slow", store("TestWhatIsLateIsBounded"), []Edit{{
			"internal/store/writeback.go", `
			return x.writes() && (x.unwritten().bytes() >= l.back.bytes || l.held.Load() > 2*l.back.total)`, `
			return false`,
		}}},
		{"dropped-while-written", "rows of a shard are written back behind its removal", store("TestDropWaitsForWriteBack"), []Edit{{
			"internal/store/late.go", `
			<-x.writing.done`, ``,
		}}},
		{"row-of-later-entry", "a reader takes from memory what an entry after its view wrote", sim("TestRowsInMemoryAreOfTheView"), []Edit{{
			"internal/rowcache/rowcache.go", `
			if rec == nil || rec.index() > at {`, `
			if rec == nil {`,
		}}},
		{"census-of-what-was", "what is written while keys are counted is not counted", rowcache("TestHitIsWhatTheSnapshotSays"), []Edit{{
			"internal/rowcache/filter.go", `
			if f := r.building.Load(); f != nil {`, `
			if f := r.building.Load(); f != nil && gone {`,
		}}},
		{"census-of-the-past", "a reader of a state before the census takes its word that a key was absent", rowcache("TestHitIsWhatTheSnapshotSays"), []Edit{{
			"internal/rowcache/filter.go", `
			return c != nil && c.since <= at && !c.has(hash)`, `
			return c != nil && !c.has(hash)`,
		}}},
		{"runs-before-all-know", "a list falls into runs though a member knows only lists of one", eval("TestRunsNeedAllMembers"), []Edit{{
			"internal/keyspace/list_runs.go", `
			func mayRun(t *Tx) bool { return t.Format == 0 || t.Format >= formatRuns }`, `
			func mayRun(t *Tx) bool { return true }`,
		}}},
		{"runs-collide", "a new run of a list begins right behind the one that it cuts in two", sim("TestListsInRunsUnderFaults"), []Edit{{
			"internal/keyspace/list_runs.go", `
			case in > 0:
				pos = fresh(all, 1)`, `
			case in > 0:
				pos = all[i].end()`,
		}}},
		{"runs-of-the-past", "the runs of a list are not written when only their lengths change", sim("TestListsInRunsUnderFaults"), []Edit{{
			"internal/keyspace/list_runs.go", `
			if slices.Equal(inner, was) {`, `
			if len(inner) == len(was) {`,
		}}},
		{"rows-outlive-state", "rows stay in memory when a snapshot takes the place of the state", sim("TestFollowerFarBehindGetsSnapshot"), []Edit{{
			"internal/store/snapshot.go", `
			in.s.hot.forget(in.shard)`, ``,
		}}},
	}
}
