package mutant

// joins are the safeguards of who becomes a node.
func joins() []Mutant {
	meta := func(name string) Killer { return Killer{"internal/meta", name} }
	trust := func(name string) Killer { return Killer{"internal/trust", name} }
	node := func(name string) Killer { return Killer{"internal/node", name} }
	return []Mutant{
		{"reuse-token", "a token lets in more machines than it was made for", meta("TestTokenIsUsedUp"), []Edit{{
			"internal/meta/token.go", `
			t.Uses--`, ``,
		}}},
		{"admit-without-member", "a machine gets a certificate and is no member", meta("TestTokenIsUsedUp"), []Edit{{
			"internal/meta/token.go", `
			id, err := c.SetMember(x)`, `
			id, err := c.nextNode()`,
		}}},
		{"join-twice", "a machine that did not hear the answer becomes a second node", meta("TestTokenIsUsedUp"), []Edit{{
			"internal/meta/token.go", `
			c.tx.Put(row.Key, row.Val)`, `
			_ = row`,
		}}},
		{"unproved-token", "who knows the id of a token needs no secret", meta("TestJoinIsRefused"), []Edit{{
			"internal/meta/token.go", `
			if !t.Key.Check(exporter, r) {`, `
			if false {`,
		}}},
		{"expired-token", "a token lets in after its end", meta("TestJoinIsRefused"), []Edit{{
			"internal/meta/token.go", `
			case t.Expires <= c.tx.Now:`, `
			case false:`,
		}}},
		{"proof-on-any-connection", "a proof that somebody passes on counts as his own", trust("TestProof"), []Edit{{
			"internal/trust/token.go", `
			mac.Write(appendField(nil, exporter))`, ``,
		}}},
		{"reveal-before-pin", "a machine tells any cluster what the token's is to know", trust("TestJoinHandshake"), []Edit{{
			"internal/trust/join.go", `
			if !cert.IsCA || pinOf(cert) != pin {`, `
			if !cert.IsCA {`,
		}}},
		{"ask-with-a-lost-key", "a machine asks with a key that a power cut may take", node("TestJoinSurvivesPowerCuts"), []Edit{{
			"internal/node/join.go", `
			err = request.Save(fs, j.Dir)`, `
			err = nil`,
		}}},
		{"make-again-what-has-run", "the mark of a node that is being made stays when it runs", node("TestOpeningEndsForming"), []Edit{{
			"internal/node/node.go", `
			if err := store.RemoveTwice(cfg.FS, cfg.Dir, formingFile); err != nil {`, `
			if err := error(nil); err != nil {`,
		}}},
		{"removed-for-ever-in-doubt", "a node that is refused does not ask why", node("TestRemovedWhileAway"), []Edit{{
			"internal/node/secure.go", `
			if trust.Refused(err) {`, `
			if false {`,
		}}},
		{"keep-links-of-removed", "links to a node that was removed stay", sim("TestRemovedNodeIsShutOut"), []Edit{{
			"internal/node/maps.go", `
			k.links.Forget(node)`, `
			_ = node`,
		}}},
		{"turn-without-all", "a phase of a rotation begins before all members are done with the last", sim("TestAuthorityIsReplacedUnderFaults"), []Edit{{
			"internal/meta/rotation.go", `
			if all[x.ID].Generation < c.Map.Trust {`, `
			if _, _ = all, x; false {`,
		}}},
		{"sign-before-trusted", "a new authority signs before all trust it", sim("TestAuthorityIsReplacedUnderFaults"), []Edit{{
			"internal/meta/rotation.go", `
			if err := c.SetAuthority(Authority{ID: old.ID + 1, State: Prepared, CA: ca}); err != nil {`, `
			if err := c.SetAuthority(Authority{ID: old.ID, State: Retiring, CA: old.CA}); err != nil {
				return err
			}
			if err := c.SetAuthority(Authority{ID: old.ID + 1, State: Signing, CA: ca}); err != nil {`,
		}}},
		{"forget-the-old-at-once", "the old authority goes while certificates are shown that it has signed", sim("TestAuthorityIsReplacedUnderFaults"), []Edit{{
			"internal/meta/rotation.go", `
			a.State = Retiring`, `
			c.tx.Delete(authorityRow(a.ID))
			continue`,
		}}},
		{"confirm-unsaved", "a node tells of certificates that a power cut may take", sim("TestRotationSurvivesPowerCuts"), []Edit{{
			"internal/node/certs.go", `
			if err := next.Save(k.cfg.FS, k.cfg.Dir); err != nil {`, `
			if err := error(nil); err != nil {`,
		}}},
	}
}
