package mutant

// locks are safeguards of locks with tokens: without them two have one lock, or what it
// protects can't tell who came later.
func locks() []Mutant {
	tokens := Killer{"internal/proof/sim", "TestLocksWithTokensUnderFaults"}
	return []Mutant{
		{"lock-of-two", "a lock is given to whoever asks", tokens, []Edit{{
			"internal/command/lock.go", `
	case !mine && (!free || !take):`, `
	case !mine && !free && !take:`,
		}}},
		{"token-that-does-not-grow", "an owner has the token of the one before", tokens, []Edit{{
			"internal/command/lock.go", `
		token = max(token+1, c.Tx.Now)`, `
		token = max(token, 1)`,
		}}},
		{"token-by-time-alone", "who takes a lock again at the same moment has the same token", Killer{"internal/command", "TestScripts"}, []Edit{{
			"internal/command/lock.go", `
		token = max(token+1, c.Tx.Now)`, `
		token = c.Tx.Now`,
		}}},
		{"token-forgotten-with-the-lock", "the token of a lock is forgotten when the lock ends", Killer{"internal/command", "TestScripts"}, []Edit{{
			"internal/command/lock.go", `
	keyspace.SetFieldDeadline(o, lockToken, max(token, until)+lockMemory)`, `
	keyspace.SetFieldDeadline(o, lockToken, until)`,
		}}},
	}
}
