package mutant

// tasks are the safeguards of tasks: each acknowledged one ends once, whoever was
// lost or late.
func tasks() []Mutant {
	inTask := func(test string) Killer { return Killer{"internal/task", test} }
	return []Mutant{
		{"finish-without-token", "a worker that was taken for dead finishes a task that another one has", eval("TestFencedFinishUndoesTransaction"), []Edit{{
			"internal/task/finish.go", `
			if t.Token != token || token == 0 || t.State == Cancelled {`, `
			if t.State == Cancelled {`,
		}}},
		{"fenced-finish-keeps-writes", "what a worker writes together with the end of a task stays though the task is not its own any more", eval("TestFencedFinishUndoesTransaction"), []Edit{{
			"internal/command/task.go", `
			if !c.atomic {
				return false
			}`, `
			if c.failed || !c.failed {
				return false
			}`,
		}}},
		{"lease-goes-on-elsewhere", "a new leader takes leases for as old as those that give them do", inTask("TestNewLeaderRestartsLeases"), []Edit{{
			"internal/task/lease.go", `
			l.add(c.ref, c.worker, c.lease, mono)`, `
			l.add(c.ref, c.worker, c.lease/8, mono)`,
		}}},
		{"claims-not-found-again", "a new leader does not know what was claimed before it", inTask("TestCrashesEnd"), []Edit{{
			"internal/task/step.go", `
			l.leases.restore(c, mono)`, `
			_ = c`,
		}}},
		{"crash-is-a-failure", "a worker that is lost uses up an attempt of its task, and never ends one", inTask("TestCrashesEnd"), []Edit{{
			"internal/task/finish.go", `
			t.Crashes++`, `
			t.Failures++`,
		}}},
		{"unique-before-commit", "a unique key is taken though what had it first was never applied", inTask("TestUniqueKeyOfWhatWasNeverApplied"), []Edit{{
			"internal/task/add.go", `
			if ref, ok := c.unique(a.Queue, a.Unique); ok || c.tx.Err() != nil {`, `
			if ref, ok := c.lead.uniques[string(a.Queue)+string(a.Unique)]; ok || c.tx.Err() != nil {`,
		}, {
			"internal/task/add.go", `
			refs[i] = Ref{slot, c.tx.NewID()}`, `
			refs[i] = Ref{slot, c.tx.NewID()}
			if len(a.Unique) > 0 {
				c.lead.uniques[string(a.Queue)+string(a.Unique)] = refs[i]
			}`,
		}, {
			"internal/task/lead.go", `
			outbox []Ref // tasks that ended and for which others wait, oldest first`, `
			outbox []Ref
			uniques map[string]Ref`,
		}, {
			"internal/task/lead.go", `
			queues: make(map[string]*lanes), leases: newLeases(), timers: timers{first: make(map[uint16]int64)},`, `
			uniques: make(map[string]Ref),
			queues: make(map[string]*lanes), leases: newLeases(), timers: timers{first: make(map[uint16]int64)},`,
		}}},
		{"hand-out-before-apply", "what a batch has claimed is forgotten as ready though the batch is never applied", inTask("TestRandomTasks"), []Edit{{
			"internal/task/lane.go", `
			ln.at++`, `
			ln.page = ln.page[1:]`,
		}}},
		{"claimed-rows-of-before", "rows that were read for a claim of many tasks are used by the batches after it", sim("TestTasksClaimedTogetherEndOnce"), []Edit{{
			"internal/task/lane.go", `
			clear(q.fetched)`, `
			_ = q.fetched`,
		}}},
		{"claimed-before-cancelled", "a claim of many tasks does not see what its own transaction has done with them", sim("TestTasksClaimedTogetherEndOnce"), []Edit{{
			"internal/task/fetch.go", `
			val, ok := keyspace.GetOver(c.tx, c.row, f.state)`, `
			val, ok := f.state, true`,
		}}},
		{"claimed-payload-of-another", "tasks that are claimed together are told with the payload of the first", sim("TestTasksClaimedTogetherEndOnce"), []Edit{{
			"internal/task/fetch.go", `
			f.payload = payloads.row(e.ref)`, `
			f.payload = payloads.row(next[0].ref)`,
		}}},
		{"claimed-not-recorded", "of tasks that are claimed together the last ones are told, but not recorded", sim("TestTasksClaimedTogetherEndOnce"), []Edit{{
			"internal/task/claim.go", `
			c.save(t)
			c.row = numberRow(c.row[:0], kindClaim, t.Ref)`, `
			if n != fetchMin-1 {
			c.save(t)
			}
			c.row = numberRow(c.row[:0], kindClaim, t.Ref)`,
		}}},
		{"error-behind-half-a-reply", "a command that fails in its middle answers with what it had answered, and the error behind that", command("TestTaskDoneOfManyIsRefusedAsAWhole"), []Edit{{
			"internal/command/ctx.go", `
			if c.failed && c.errorAt > at { // what it had answered before was not to be`, `
			if false {`,
		}}},
		{"claim-what-was-undone", "tasks whose claim was taken back within the batch are not found again in it", inTask("TestRandomTasks"), []Edit{{
			"internal/task/lead.go", `
			q.rewind()
		}`, `
			_ = q
		}`,
		}}},
		{"retry-gives-up-its-turn", "a task that waits for its next attempt lets others of its KEY overtake it", inTask("TestRandomTasks"), []Edit{{
			"internal/task/finish.go", `
			t.RunAt = c.now + wait`, `
			t.RunAt = c.now + wait
			if t.Admitted {
				t.Admitted = false
				c.passTurn(t, q)
			}`,
		}}},
		{"child-before-its-parents", "a task runs when the first of those that it waits for is done", inTask("TestAfter"), []Edit{{
			"internal/task/step.go", `
			if t.Deps--; t.Deps == 0 {`, `
			if t.Deps--; true {`,
		}}},
		{"timer-of-another-attempt", "a time-out ends whatever attempt is running", inTask("TestRandomTasks"), []Edit{{
			"internal/task/change.go", `
			c.stopTimer(t, t.Times.Timeout, timerTimeout)`, `
			_ = timerTimeout`,
		}}},
	}
}
