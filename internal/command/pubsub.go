package command

import "tutti/internal/acl"

// Channels says which arguments are channels, or patterns of them: from First on, the
// first one only or all. First 0: none.
type Channels struct {
	First         int
	All, Patterns bool
}

// The usual places of channels.
var (
	oneChannel   = Channels{First: 1}
	allChannels  = Channels{First: 1, All: true}
	allOfPattern = Channels{First: 1, All: true, Patterns: true}
)

// ChannelRights says which channels args name that a user needs a right to.
func (c *Command) ChannelRights(args [][]byte) acl.Channels {
	ch := c.Channels
	switch {
	case ch.First == 0:
		return acl.Channels{}
	case ch.All:
		return acl.Channels{First: ch.First, End: len(args), Patterns: ch.Patterns}
	}
	return acl.Channels{First: ch.First, End: min(ch.First+1, len(args)), Patterns: ch.Patterns}
}

// Messages between clients. The nodes bring them to each other; no shard has a part in
// it.

const listenFlags = ownFlags | PubSub

var pubsubCommands = []Command{
	{Name: "publish", Arity: 3, Where: OnNode, Flags: PubSub | Loading | Stale | Fast, Channels: oneChannel, Group: "pubsub", Since: "2.0.0",
		Syntax: "channel message", Doc: "Sends a message to all who have subscribed, on any node, and returns how many those are."},
	{Name: "spublish", Arity: 3, Where: OnNode, Flags: PubSub | Loading | Stale | Fast, Channels: oneChannel, Group: "pubsub", Since: "7.0.0",
		Syntax: "shardchannel message", Doc: "As PUBLISH, to a shard channel; any node takes any of them."},
	{Name: "subscribe", Arity: -2, Where: OnConnection, Flags: listenFlags, Channels: allChannels, Group: "pubsub", Since: "2.0.0",
		Syntax: "channel [channel ...]", Doc: "Has this connection sent the messages to channels, whichever nodes they come through."},
	{Name: "psubscribe", Arity: -2, Where: OnConnection, Flags: listenFlags, Channels: allOfPattern, Group: "pubsub", Since: "2.0.0",
		Syntax: "pattern [pattern ...]", Doc: "Has this connection sent the messages to channels that match patterns."},
	{Name: "ssubscribe", Arity: -2, Where: OnConnection, Flags: listenFlags, Channels: allChannels, Group: "pubsub", Since: "7.0.0",
		Syntax: "shardchannel [shardchannel ...]", Doc: "Has this connection sent the messages to shard channels, of any slots."},
	{Name: "unsubscribe", Arity: -1, Where: OnConnection, Flags: listenFlags, Group: "pubsub", Since: "2.0.0",
		Syntax: "[channel [channel ...]]", Doc: "Ends subscriptions to channels, or to all of them."},
	{Name: "punsubscribe", Arity: -1, Where: OnConnection, Flags: listenFlags, Group: "pubsub", Since: "2.0.0",
		Syntax: "[pattern [pattern ...]]", Doc: "Ends subscriptions to patterns, or to all of them."},
	{Name: "sunsubscribe", Arity: -1, Where: OnConnection, Flags: listenFlags, Group: "pubsub", Since: "7.0.0",
		Syntax: "[shardchannel [shardchannel ...]]", Doc: "Ends subscriptions to shard channels, or to all of them."},
	{Name: "pubsub", Arity: -2, Group: "pubsub", Since: "2.8.0", Syntax: "subcommand", Doc: "A container for commands about subscriptions.",
		Subs: []*Command{
			{Name: "pubsub|channels", Arity: -2, Where: OnNode, Flags: PubSub | Loading | Stale, Group: "pubsub", Since: "2.8.0",
				Syntax: "[pattern]", Doc: "Returns the channels that have subscribers on any node."},
			{Name: "pubsub|help", Arity: 2, Where: OnNode, Flags: helpFlags, Group: "pubsub", Since: "6.2.0", Doc: helpDoc},
			{Name: "pubsub|numpat", Arity: 2, Where: OnNode, Flags: PubSub | Loading | Stale, Group: "pubsub", Since: "2.8.0",
				Doc: "Returns how many patterns have subscribers on any node."},
			{Name: "pubsub|numsub", Arity: -2, Where: OnNode, Flags: PubSub | Loading | Stale, Group: "pubsub", Since: "2.8.0",
				Syntax: "[channel [channel ...]]", Doc: "Returns how many subscribers channels have on all nodes."},
			{Name: "pubsub|shardchannels", Arity: -2, Where: OnNode, Flags: PubSub | Loading | Stale, Group: "pubsub", Since: "7.0.0",
				Syntax: "[pattern]", Doc: "Returns the shard channels that have subscribers on any node."},
			{Name: "pubsub|shardnumsub", Arity: -2, Where: OnNode, Flags: PubSub | Loading | Stale, Group: "pubsub", Since: "7.0.0",
				Syntax: "[shardchannel [shardchannel ...]]", Doc: "Returns how many subscribers shard channels have on all nodes."},
		}},
}
