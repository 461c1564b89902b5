package mutant

// tracking are safeguards of clients that keep what they have read: without them one
// keeps what has long been old.
func tracking() []Mutant {
	flushes, replies := Killer{"internal/tracking", "TestFlushes"}, Killer{"internal/tracking", "TestToldBehindTheReplies"}
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
	}
}
