package mutant

// streams are safeguards of streams: without them an entry is lost, or is two
// consumers'.
func streams() []Mutant {
	model := Killer{"internal/command", "TestStreamModel"}
	return []Mutant{
		{"id-given-twice", "entries of one millisecond get one id", Killer{"internal/command", "TestIDsAreGivenOnce"}, []Edit{{
			"internal/command/stream.go", `
		if id.Compare(last) <= 0 {
			id, _ = last.Next()
		}`, ``,
		}, {
			"internal/command/stream.go", `
	if id.Compare(last) <= 0 {
		return id, errStreamTop
	}`, ``,
		}}},
		{"acknowledged-stays", "an entry that was acknowledged is delivered to its consumer again", model, []Edit{{
			"internal/keyspace/stream_pending.go", `
	t.buf = g.pendingRow(t.buf[:0], id)
	t.Delete(t.buf)
	return true`, `
	t.buf = g.pendingRow(t.buf[:0], id)
	return true`,
		}}},
		{"claimed-stays", "an entry that another consumer has claimed stays that of the first, too", model, []Edit{{
			"internal/keyspace/stream_pending.go", `
	t.buf = g.ownedRow(t.buf[:0], c, p.ID)
	t.Delete(t.buf)`, `
	t.buf = g.ownedRow(t.buf[:0], c, p.ID)`,
		}}},
		{"group-stands-still", "what a group has delivered is not written down with what it delivered", model, []Edit{{
			"internal/keyspace/stream_group.go", `
	g.Last, g.Read, g.changed = last, read, true`, `
	g.Last, g.Read = last, read`,
		}}},
		{"group-cursor-not-in-the-entry", "how far a group has delivered is in no entry, so what was delivered is new again", Killer{"internal/proof/sim", "TestGroupsOfStreamsUnderFaults"}, []Edit{{
			"internal/keyspace/stream_group.go", `
	g.Last, g.Read, g.changed = last, read, true`, `
	g.changed = true`,
		}}},
		{"acknowledged-is-told-again", "who acknowledges what was acknowledged is told that it was the first", Killer{"internal/proof/sim", "TestGroupsOfStreamsUnderFaults"}, []Edit{{
			"internal/keyspace/stream_pending.go", `
	if !ok || !g.take(p) {`, `
	if !ok {
		return true
	}
	if !g.take(p) {`,
		}}},
		{"trimmed-is-read", "entries that were trimmed and not yet removed are read", model, []Edit{{
			"internal/keyspace/stream_trim.go", `
	o.count, s.First = left, next`, `
	if o.count = left; left == 0 {
		s.First = next
	}`,
		}}},
		{"deleted-is-remembered", "an entry that was deleted is still among those that a leader remembers for readers", Killer{"internal/keyspace", "TestStreamEndsRemember"}, []Edit{{
			"internal/keyspace/stream_ends.go", `
	if s.entries = slices.Delete(s.entries, at, at+1); len(s.entries) == 0 && s.more {`, `
	if len(s.entries) == 0 && s.more {`,
		}}},
		{"ends-of-a-lost-place", "entries that come behind a gap are remembered as the next", Killer{"internal/keyspace", "TestStreamEndsRemember"}, []Edit{{
			"internal/keyspace/stream_ends.go", `
	case s.more:
	case n == endMax && !s.entries[n/2].read: // whoever reads is as far behind`, `
	case n == endMax && !s.entries[n/2].read: // whoever reads is as far behind`,
		}}},
		{"new-ids-in-garbage", "a stream whose ids begin anew puts its entries where garbage is removed", Killer{"internal/command", "TestIDsBeginAnew"}, []Edit{{
			"internal/keyspace/stream.go", `
		s.renumber()`, ``,
		}}},
		{"readers-from-anew", "who waits for what comes behind the end of a stream waits behind each new end", Killer{"internal/server", "TestReadersFromTheEnd"}, []Edit{{
			"internal/server/block.go", `
	c.settle(&b.list[0]) // before anybody sees that it waits: what he does then comes behind that`, ``,
		}}},
		{"line-from-its-head", "who finds nothing for himself is looked at again and again before those behind him", Killer{"internal/eval", "TestManyReadersWhoFindNothing"}, []Edit{{
			"internal/eval/waiting.go", `
			line.after = x.Order`, ``,
		}}},
	}
}
