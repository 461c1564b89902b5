package mutant

// loops leaves out what keeps the clients of an event loop apart, whose commands go
// together.
func loops() []Mutant {
	return []Mutant{
		{"replies-of-other-clients", "each client of a group is answered what the first one's commands came to", server("TestClientsOfALoopDoNotMix"), []Edit{{
			"internal/server/together.go", `
			replies = replies[len(own):]`, ``,
		}}},
		{"reads-before-own-writes", "the reads of clients whose writes went together are served from any view", server("TestClientsOfALoopDoNotMix"), []Edit{{
			"internal/server/together.go", `
			l.read(&shard.Read{Shard: t.shard, MinIndex: result.Reply.Index, Now: result.Reply.Time}, rest)`, `
			l.read(&shard.Read{Shard: t.shard, MinIndex: 1, Now: result.Reply.Time}, rest)`,
		}}},
		{"executed-again-by-a-goroutine", "a client that a loop gives up has all of its commands executed again", server("TestOnlyWhatIsLeftIsExecuted"), []Edit{{
			"internal/server/seat.go", `
			for n < len(p.pending) && p.pending[n].done {
				n++
			}`, `
			for n < len(p.pending) && p.pending[n].done && p.pending[len(p.pending)-1].done {
				n++
			}`,
		}}},
		{"rights-of-nobody", "groups of several clients don't say by which users they were let in", server("TestRightsChangeInALoop"), []Edit{{
			"internal/server/together.go", `
			t.g.Claim = joined(t.g.Claim, claim)`, `
			t.g.Claim = joined(t.g.Claim, claim)
			t.g.Claim.Users = 0`,
		}, {
			"internal/server/readers.go", `
			claim.Users = c.session.users.Epoch
			return claim`, `
			return claim`,
		}}},
		{"rights-of-the-last", "a group claims the latest of its clients' users, not the oldest", server("TestClaimOfManyClients"), []Edit{{
			"internal/server/together.go", `
			all.Users = min(a.Users, b.Users)`, `
			all.Users = max(a.Users, b.Users)`,
		}}},
		{"heavy-together", "commands that take as long as their keys are large go together with those of others", command("TestLightCommandsAreLight"), []Edit{{
			"internal/command/light.go", `
			"sadd", "srem", "sismember", "smismember", "scard",`, `
			"sadd", "srem", "sismember", "smismember", "scard", "smembers",`,
		}}},
		{"end-is-not-read", "a loop that has read less than there was room for waits for more, though the client has said that there is none", server("TestClientThatSendsAndGoes"), []Edit{{
			"internal/server/seat.go", `
			if errors.Is(err, epoll.ErrAgain) || err == nil && less && !t.hungUp {`, `
			if errors.Is(err, epoll.ErrAgain) || err == nil && less {`,
		}}},
	}
}
