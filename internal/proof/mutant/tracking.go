package mutant

// tracking are safeguards of clients that keep what they have read: without them one
// keeps what has long been old.
func tracking() []Mutant {
	flushes, replies := Killer{"internal/tracking", "TestFlushes"}, Killer{"internal/tracking", "TestToldBehindTheReplies"}
	owns := Killer{"internal/eval", "TestOwnChangesAreNamed"}
	return []Mutant{
		{"remembered-behind-the-read", "keys are remembered when they have been read", replies, []Edit{{
			"internal/tracking/client.go", `
	t.put(name, append(t.keys[name], c))
	t.evict()`, ``,
		}, {
			"internal/tracking/client.go", `
	for _, key := range c.fresh {`, `
	for _, key := range c.fresh {
		t.put(key, append(t.keys[key], c))`,
		}}},
		{"told-before-the-reply", "that a key is old is told before the reply with its value", replies, []Edit{{
			"internal/tracking/table.go", `
		case c.executes:
			c.dirty.add(string(key), by)
			stay = append(stay, c)
		default:`, `
		default:`,
		}}},
		{"feed-with-a-gap", "a node without copies goes on with a feed of which something was lost", flushes, []Edit{{
			"internal/tracking/feed.go", `
		t.lose(s, f.shard, "its feed has a gap")
		t.signal()
		return`, ``,
		}}},
		{"feed-link-lost", "a node without copies goes on when the link to its feed is lost", flushes, []Edit{{
			"internal/tracking/feed.go", `
				t.lose(s, shard, "the link to its feed is lost")`, `
				_ = shard`,
		}}},
		{"cut-off-goes-on", "a node that was cut off tells nobody that it hears of no changes", flushes, []Edit{{
			"internal/tracking/source.go", `
			t.lose(s, shard.ID, "nothing shows that it is up to date")`, ``,
		}}},
		{"snapshot-tells-nobody", "a snapshot takes the place of entries of which nobody was told", flushes, []Edit{{
			"internal/tracking/source.go", `
		t.lose(s, shard, "its state was replaced")`, ``,
		}}},
		{"unheard-is-kept", "what is read while nobody would tell of changes is kept", Killer{"internal/tracking", "TestUnheardIsOldAtOnce"}, []Edit{{
			"internal/tracking/client.go", `
		c.dirty.must(name) // nobody would tell when it changes
		return`, ``,
		}}},
		{"moved-slots-unheard", "slots have moved to a shard of which nothing was heard", Killer{"internal/tracking", "TestUnheardIsOldAtOnce"}, []Edit{{
			"internal/tracking/source.go", `
		t.cfg.Logger.Info("slots have moved: clients that cache are told to forget everything")
		t.flush(true)`, ``,
		}}},
		{"noloop-swallows-others", "with NOLOOP a key is taken for the client's own that another one has changed in the same entry", owns, []Edit{{
			"internal/keyspace/authors.go", `
	case a.by[i] != a.now:
		a.by[i] = 0
	}`, `
	}`,
		}}},
		{"noloop-swallows-other-databases", "with NOLOOP a key is taken for the client's own that another one has changed in another database", owns, []Edit{{
			"internal/keyspace/authors.go", `
			if o, asks := owner[string(key)]; asks && o != t.by[i] {`, `
			if o, asks := owner[string(key)]; asks && o == 0 {`,
		}}},
		{"noloop-tells-of-flushed-databases", "with NOLOOP a key is told to who has changed it, because one of its name is removed of a flushed database", Killer{"internal/eval", "TestOwnChangesAreNotThoseOfFlushedDatabases"}, []Edit{{
			"internal/keyspace/authors.go", `
	return key, is && !slices.Contains(t.dbs.Trash(), pdb)`, `
	return key, is || slices.Contains(t.dbs.Trash(), pdb)`,
		}}},
		{"noloop-serves-for-others", "with NOLOOP what is given to who waits is taken for the client's own, who has brought it", owns, []Edit{{
			"internal/eval/waiting.go", `
	defer keyspace.Sign(tx, keyspace.Sign(tx, 0)) // nor is it whose who brought it`, ``,
		}, {
			"internal/eval/waiting.go", `
	keyspace.Sign(tx, r.author)`, ``,
		}, {
			"internal/eval/waiting.go", `
	keyspace.Sign(tx, 0)`, ``,
		}}},
		{"noloop-waits-for-others", "with NOLOOP what another one is given who waits is taken for the client's own", owns, []Edit{{
			"internal/eval/own.go", `
	return keyspace.Author(-b.asked)`, `
	return -1`,
		}}},
		{"noloop-sweeps-for-others", "with NOLOOP what expires is taken for the client's own, in whose entry it does", Killer{"internal/eval", "TestOwnChangesAreNobodysElse"}, []Edit{{
			"internal/eval/core.go", `
	keyspace.AllowBytes(tx, 0)
	keyspace.Sign(tx, 0)`, `
	keyspace.AllowBytes(tx, 0)`,
		}}},
		{"noloop-any-entry", "with NOLOOP an own change of a key hides those of other entries", Killer{"internal/tracking", "TestNoLoop"}, []Edit{{
			"internal/tracking/own.go", `
		if list[i].entry == e {`, `
		if list[i].shard == e.shard {`,
		}}},
		{"waits-untold", "a client with NOLOOP whose command waits is told nothing until that is answered", Killer{"internal/tracking", "TestNoLoopOfWhatWaits"}, []Edit{{
			"internal/tracking/waits.go", `
	c.executes, c.waiter = false, w`, `
	c.waiter = w`,
		}}},
		{"served-and-cut-off", "a client with NOLOOP whose command was served is told nothing before the answer, though its node hears of nothing any more", Killer{"internal/tracking", "TestNoLoopOfWhatWaits"}, []Edit{{
			"internal/tracking/table.go", `
		if c.executes && !c.served {`, `
		if c.executes {`,
		}}},
	}
}
