package mutant

// users are the safeguards of who may do what.
func users() []Mutant {
	return []Mutant{
		{"users-not-everywhere", "a change of users is answered before the shards refuse what was let in without it", server("TestUsersEverywhere"), []Edit{{
			"internal/server/acl.go", `
			for _, shard := range r.s.cfg.Router.Shards() { // meta has it with the change`, `
			for _, shard := range r.s.cfg.Router.Shards()[:0] {`,
		}}},
		{"users-not-at-other-nodes", "a change of users is answered before the other nodes go by it in what they answer without a shard", server("TestUsersEverywhereWithoutAShard"), []Edit{{
			"internal/server/acl.go", `
			nodesFollow(r, epoch)`, ``,
		}}},
		{"unconfirmed-users", "a change of users is answered as done though a shard has not confirmed it", sim("TestUserChangeThatAShardDoesNotConfirmIsUncertain"), []Edit{{
			"internal/server/acl.go", `
			if len(result.Reply.Replies) != 1 || bytes.HasPrefix(result.Reply.Replies[0], []byte("-")) {`, `
			if _ = result; false {`,
		}}},
		{"group-by-old-rights", "a group is evaluated that was let in by the rights of users as they were", eval("TestUsersChanged"), []Edit{{
			"internal/eval/core.go", `
			if g.Claim.Users != 0 && g.Claim.Users < in.Users {`, `
			if false {`,
		}}},
		{"heavy-by-old-rights", "a group that was evaluated beside the loop counts although its rights have gone meanwhile", eval("TestHeavyUsersChanged"), []Edit{{
			"internal/eval/heavy.go", `
			case g.Claim.Users != 0 && g.Claim.Users < in.Users, in.Full || in.Tight || p.dbs != in.Databases || c.ended(new(Batch), g.Group):`, `
			case in.Full || in.Tight || p.dbs != in.Databases || c.ended(new(Batch), g.Group):`,
		}}},
		{"read-by-old-rights", "a view is read by the rights of users as they were", eval("TestUsersChanged"), []Edit{{
			"internal/eval/read.go", `
			if claim.Users != 0 && claim.Users < v.Users {`, `
			if false {`,
		}}},
		{"send-again-unchecked", "commands that a shard refused for the rights of their user are sent again without a look at them", server("TestUsersEverywhere"), []Edit{{
			"internal/server/lanes.go", `
			recheckAll(x.c, list)`, ``,
		}}},
		{"deny-unconfirmed", "a command is denied by the rights of users as they were", sim("TestUsersOfANodeThatIsCutOff"), []Edit{{
			"internal/server/rights.go", `
			sure := c.confirm()
			if c.closed {
				return false`, `
			sure := true
			if c.closed {
				return false`,
		}}},
		{"login-unconfirmed", "a client logs in by a password that has been taken away", sim("TestUsersOfANodeThatIsCutOff"), []Edit{{
			"internal/server/rights.go", `
			sure := c.confirm()
			if c.closed {
				end(true) // nothing was tried`, `
			sure := true
			if c.closed {
				end(true)`,
		}}},
		{"deny-unsure", "a node that can't ask a shard denies by the rights that it knows", sim("TestUsersOfANodeThatIsCutOff"), []Edit{{
			"internal/server/rights.go", `
			if v = c.session.judge(cmd, args); v.denied() && !sure {`, `
			if v = c.session.judge(cmd, args); v.denied() && sure && !sure {`,
		}}},
		{"unsure-login-stays", "who logged in at a node that was cut off, by a password that is gone, stays", sim("TestUsersOfANodeThatIsCutOff"), []Edit{{
			"internal/server/rights.go", `
			case unsure && !users.User(was.Name).SamePasswords(was):`, `
			case false:`,
		}}},
		{"exec-unchecked", "a transaction is executed by the rights that its user had when it was queued", server("TestUsers"), []Edit{{
			"internal/server/multi.go", `
			m.recheck(r.c)`, ``,
		}}},
	}
}
