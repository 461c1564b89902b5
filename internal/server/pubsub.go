package server

import (
	"errors"
	"fmt"
	"time"

	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/keyspace"
	"tutti/internal/pubsub"
	"tutti/internal/resp"
)

// Messages: what clients say of them. Who gets which is known to the hub; what is
// pushed to a client is in its outbox.

const (
	errDenyBlocking = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"
	errBudgetListen = errBudget + "Not subscribed. Retry later, or with less at once."
	errMessageSize  = "ERR a message and the name of its channel have at most 16 MiB. Not published."

	// listenBytes is about what a subscription takes beside its name.
	listenBytes = 200
	// settleMessagesMax is how long a change of subscriptions waits until the peers
	// know of it.
	settleMessagesMax = time.Second
)

var errChannelsGone = errors.New("the user may not hear what it has subscribed to any more")

// listening is what a client has subscribed to.
type listening struct {
	to    *pubsub.Subscriber // nil: it never has
	held  held               // what of all clients' memory that takes
	bytes int
}

func pubsubHandlers() map[string]handler {
	return map[string]handler{
		"publish":              func(r *request, args [][]byte) { publish(r, pubsub.Channel, args) },
		"spublish":             func(r *request, args [][]byte) { publish(r, pubsub.ShardChannel, args) },
		"subscribe":            func(r *request, args [][]byte) { subscribe(r, pubsub.Channel, "subscribe", args) },
		"psubscribe":           func(r *request, args [][]byte) { subscribe(r, pubsub.Pattern, "psubscribe", args) },
		"ssubscribe":           ssubscribe,
		"unsubscribe":          func(r *request, args [][]byte) { unsubscribe(r, pubsub.Channel, "unsubscribe", args) },
		"punsubscribe":         func(r *request, args [][]byte) { unsubscribe(r, pubsub.Pattern, "punsubscribe", args) },
		"sunsubscribe":         func(r *request, args [][]byte) { unsubscribe(r, pubsub.ShardChannel, "sunsubscribe", args) },
		"pubsub|channels":      func(r *request, args [][]byte) { listNames(r, pubsub.Channel, args) },
		"pubsub|shardchannels": func(r *request, args [][]byte) { listNames(r, pubsub.ShardChannel, args) },
		"pubsub|numsub":        func(r *request, args [][]byte) { countSubscribers(r, pubsub.Channel, args) },
		"pubsub|shardnumsub":   func(r *request, args [][]byte) { countSubscribers(r, pubsub.ShardChannel, args) },
		"pubsub|numpat": func(r *request, _ [][]byte) {
			awaitTables(r)
			r.Int(int64(len(r.s.cfg.Messages.Names(pubsub.Pattern, nil))))
		},
		"pubsub|help": help,
	}
}

// listens reports whether a client has subscribed to anything.
func (f *face) listens() bool {
	sub := f.sub.Load()
	return sub != nil && sub.Count(pubsub.Channel)+sub.Count(pubsub.Pattern)+sub.Count(pubsub.ShardChannel) > 0
}

// hears reports whether a client that sends nothing is one that waits for what it is sent
// unasked.
func (f *face) hears() bool { return f.listens() || f.monitors.Load() }

// subscriptions returns how many a client has of each kind.
func (f *face) subscriptions() (channels, patterns, shardChannels int) {
	sub := f.sub.Load()
	if sub == nil {
		return 0, 0, 0
	}
	return sub.Count(pubsub.Channel), sub.Count(pubsub.Pattern), sub.Count(pubsub.ShardChannel)
}

// onlyListens reports whether the client can be sent nothing but messages: in RESP2
// they can't be told from replies.
func (s *session) onlyListens() bool { return s.proto == 2 && s.face.listens() }

// outOfPlace refuses what a client may not call that only listens.
func outOfPlace(c *conn, cmd *command.Command, args [][]byte) bool {
	if !c.session.onlyListens() {
		return false
	}
	switch cmd.Name {
	case "ping", "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe", "quit", "reset":
		return false
	}
	c.refuse(args, fmt.Sprintf("ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", cmd.Name))
	return true
}

// overhears reports whether the client has subscribed to something that its user, as it
// is now, may not hear.
func (f *face) overhears(now *acl.User) bool {
	sub := f.sub.Load()
	if sub == nil || now == nil || now.Everything() {
		return false
	}
	for _, kind := range []pubsub.Kind{pubsub.Channel, pubsub.Pattern, pubsub.ShardChannel} {
		for _, name := range sub.Names(kind) {
			if !now.Hears([]byte(name), kind == pubsub.Pattern) {
				return true
			}
		}
	}
	return false
}

// subscriber returns a client as a subscriber.
func (l *listening) subscriber(c *conn) *pubsub.Subscriber {
	if l.to == nil {
		l.to = pubsub.NewSubscriber(func(m *pubsub.Message) { c.out.push(m) })
		l.held.of = &c.s.config.held
		c.face.sub.Store(l.to)
	}
	return l.to
}

// end ends all subscriptions, without a word.
func (l *listening) end(hub *pubsub.Hub) {
	if l.to != nil {
		hub.Leave(l.to)
		l.held.release()
		l.bytes = 0
	}
}

func ssubscribe(r *request, args [][]byte) {
	if r.inExec {
		r.Error(errDenyBlocking) // as Redis has it, though nothing would block
		return
	}
	subscribe(r, pubsub.ShardChannel, "ssubscribe", args)
}

// subscribe subscribes to each name and confirms it. What CLIENT REPLY says does not
// count: it is what the client has asked to hear.
func subscribe(r *request, kind pubsub.Kind, word string, args [][]byte) {
	r.loud = true
	l := &r.c.listening
	sub := l.subscriber(r.c)
	for _, name := range args[1:] {
		if !l.held.grow(int64(l.bytes + len(name) + listenBytes)) {
			r.Error(errBudgetListen)
			break
		}
		if r.s.cfg.Messages.Subscribe(sub, kind, string(name)) {
			l.bytes += len(name) + listenBytes
			if r.s.cluster.switches.fits(kind, name) {
				r.s.cluster.switches.attend(r.s)
			}
		}
		confirmListening(r, word, name, listensTo(sub, kind))
	}
	settleMessages(r)
}

// unsubscribe ends subscriptions, all of a kind if none is named, and confirms each.
func unsubscribe(r *request, kind pubsub.Kind, word string, args [][]byte) {
	r.loud = true
	l := &r.c.listening
	sub := l.subscriber(r.c)
	names := args[1:]
	if len(names) == 0 {
		for _, name := range sub.Names(kind) {
			names = append(names, []byte(name))
		}
	}
	left := make([]int, len(names))
	for i, name := range names {
		if r.s.cfg.Messages.Unsubscribe(sub, kind, string(name)) {
			l.bytes -= len(name) + listenBytes
		}
		left[i] = listensTo(sub, kind)
	}
	if !r.c.face.listens() {
		l.held.release()
	}
	overtake(r)
	for i, name := range names {
		confirmListening(r, word, name, left[i])
	}
	if len(names) == 0 {
		confirmListening(r, word, nil, listensTo(sub, kind))
	}
	settleMessages(r)
}

// overtake puts the messages that the client has not been sent yet before the reply
// that says that it hears no more of them.
func overtake(r *request) {
	switch {
	case !r.inExec:
		r.Out = r.c.out.overtake(r.Out)
	case r.Proto == 2:
		r.c.out.overtake(nil) // within the reply of EXEC there is no place for them
	}
}

// listensTo is what confirmations count: shard channels by themselves, the others
// together.
func listensTo(sub *pubsub.Subscriber, kind pubsub.Kind) int {
	if kind == pubsub.ShardChannel {
		return sub.Count(kind)
	}
	return sub.Count(pubsub.Channel) + sub.Count(pubsub.Pattern)
}

func confirmListening(r *request, word string, name []byte, n int) {
	r.Out = resp.AppendPush(r.Out, r.Proto, 3)
	r.BulkString(word)
	if name == nil {
		r.Null()
	} else {
		r.Bulk(name)
	}
	r.Int(int64(n))
}

// settleMessages waits until the peers know of what was subscribed to, so that a
// message that is published after the reply arrives, wherever it is.
func settleMessages(r *request) {
	w := r.s.cfg.Messages.Settle()
	if w == nil {
		return
	}
	limit := time.NewTimer(settleMessagesMax)
	defer limit.Stop()
	if _, how := receive(&r.c.wait, w.Done, limit.C); how == expired {
		r.s.cfg.Messages.GiveUp(w)
	}
}

// awaitTables waits until it is known who on other nodes has subscribed to what, as far
// as they can be reached. It reports false if the client has gone.
func awaitTables(r *request) bool {
	for {
		more, until := r.s.cfg.Messages.Unheard()
		if more == nil {
			return true
		}
		limit := time.NewTimer(time.Until(until))
		_, how := receive(&r.c.wait, more, limit.C)
		limit.Stop()
		if how == abandoned {
			return false
		}
	}
}

func publish(r *request, kind pubsub.Kind, args [][]byte) {
	if argsBytes(args[1:]) > keyspace.WriteSetMax {
		r.Error(errMessageSize)
		return
	}
	if awaitTables(r) { // else what it has published since, over another connection, may be there
		r.Int(int64(r.s.cfg.Messages.Publish(kind, args[1], args[2])))
	}
}

func listNames(r *request, kind pubsub.Kind, args [][]byte) {
	var pattern []byte
	switch len(args) {
	case 2:
	case 3:
		pattern = args[2]
	default:
		unknownSubcommand(r, args)
		return
	}
	awaitTables(r)
	r.BulkStrings(r.s.cfg.Messages.Names(kind, pattern))
}

func countSubscribers(r *request, kind pubsub.Kind, args [][]byte) {
	awaitTables(r)
	r.Array(2 * len(args[2:]))
	for _, name := range args[2:] {
		r.Bulk(name)
		r.Int(int64(r.s.cfg.Messages.Subscribers(kind, string(name))))
	}
}

// Messages returns what was counted of messages since the node has started.
func Messages(s *Server) pubsub.Counts { return s.cfg.Messages.Counts() }
