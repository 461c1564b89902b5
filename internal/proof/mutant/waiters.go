package mutant

// waiters are safeguards of commands that wait: without them an element goes to
// nobody, or to two.
func waiters() []Mutant {
	return []Mutant{
		{"served-again", "who waits and has been served is not found by a later leader", Killer{"internal/eval", "TestWaiterIsServedOnce"}, []Edit{{
			"internal/eval/waiting.go", `
	if l, ok := w.late[id]; ok {`, `
	if l, ok := w.late[id]; ok && false {`,
		}}},
		{"answer-acknowledged-early", "a late answer is forgotten while a registration is on its way", Killer{"internal/router", "TestLateAnswerBeforeTheFirst"}, []Edit{{
			"internal/router/waiting.go", `
	if w == nil || w.calls == 0 {`, `
	if true {`,
		}}},
		{"waiter-without-undo", "what an evaluation that came to nothing did with those who wait stays", Killer{"internal/waiter", "TestRandom"}, []Edit{{
			"internal/waiter/registry.go", `
		r.journal[i]()`, `
		_ = i`,
		}}},
		{"silent-are-served", "who can't be told is given what comes", Killer{"internal/waiter", "TestSilence"}, []Edit{{
			"internal/waiter/walk.go", `
		if !w.r.silent[group.SessionNode(x.Session)] {`, `
		if !w.r.silent[group.SessionNode(x.Session)] || true {`,
		}}},
		{"stale-registration", "a registration from before a new connection counts", Killer{"internal/waiter", "TestRound"}, []Edit{{
			"internal/waiter/registry.go", `
	if round < e.round {`, `
	if false {`,
		}}},
	}
}
