package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/resp"
	"tutti/internal/tracking"
)

// CLIENT TRACKING: what a client has read and keeps, and whom it has told when that
// changes. What may be relied on stands in package tracking.

const (
	errTrackingOneRedirect = "ERR A client can only redirect to a single other client"
	errTrackingNoRedirect  = "ERR The client ID you want redirect to does not exist"
	errTrackingPrefix      = "ERR PREFIX option requires BCAST mode to be enabled"
	errTrackingSwitch      = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
	errTrackingBroadcast   = "ERR OPTIN and OPTOUT are not compatible with BCAST"
	errTrackingBoth        = "ERR You can't specify both OPTIN mode and OPTOUT mode"
	errTrackingOpt         = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
	errCachingOff          = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
	errCachingYes          = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
	errCachingNo           = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."

	// readyMax is how long CLIENT TRACKING waits until changes of all shards are heard of.
	// Until they are, whatever is read of the others is told to be old at once.
	readyMax = time.Second
)

// tracks is what a client has chosen with CLIENT TRACKING. It belongs to whoever serves
// the client.
type tracks struct {
	client  *tracking.Client // nil: it is off
	tracked *tracked
	caching bool // CLIENT CACHING was called for the next command
	open    bool // commands are being executed whose keys were remembered
}

// tracked is what others see of it.
type tracked struct {
	options trackingOptions
	broken  chan struct{} // has one if the connection was gone that it is redirected to
}

// trackingOptions are the options of CLIENT TRACKING.
type trackingOptions struct {
	redirect                         uint64 // 0: to itself
	broadcast, optIn, optOut, noLoop bool
	prefixes                         []string
}

// target returns the connection that is told, 0 for itself, -1 for none.
func (t *tracked) target() int64 {
	if t == nil {
		return -1
	}
	return int64(t.options.redirect)
}

// letters are the flags in CLIENT LIST.
func (t *tracked) letters() (flags string) {
	if t == nil {
		return ""
	}
	flags = "t"
	if len(t.broken) > 0 {
		flags += "R"
	}
	if t.options.broadcast {
		flags += "B"
	}
	return flags
}

// keeps reports whether the client may keep what a command reads.
func (t *tracks) keeps(cmd *command.Command) bool {
	if t.client == nil || cmd.Flags&command.Write != 0 {
		return false
	}
	o := &t.tracked.options
	return !(o.optIn && !t.caching || o.optOut && t.caching)
}

// begin remembers what commands are going to read that the client may keep, before any
// of them is on its way.
func (t *tracks) begin(list []pending) {
	if t.client == nil || len(list) == 0 {
		return
	}
	t.open = true
	t.client.Begin()
	for i := range list {
		if list[i].kept {
			t.each(list[i].cmd, list[i].args, t.client.Remember)
		}
	}
}

// keepAll is begin for a transaction.
func (s *session) keepAll(queue []pending) {
	if s.tracks.client == nil {
		return
	}
	for i := range queue {
		queue[i].kept = s.tracks.keeps(queue[i].cmd)
	}
	s.tracks.begin(queue)
}

func (t *tracks) each(cmd *command.Command, args [][]byte, f func(key []byte)) {
	var buf [8]int
	for _, at := range cmd.KeyArgs(buf[:0], args) {
		f(args[at])
	}
}

// mayWait is begin for a command that may wait at its shard.
func (t *tracks) mayWait() {
	if t.client != nil {
		t.open = true
		t.client.Begin()
	}
}

// parked returns what is to be called when the shard has a group wait, nil if nobody wants
// to know.
func (t *tracks) parked(g *group.Group) func() {
	if t == nil || !t.open {
		return nil
	}
	client, turn := t.client, t.client.Turn()
	return func() { client.Waits(turn, tracking.Waiter{Session: g.Session, Seq: g.Seq}) }
}

// served notes what a command has changed that has waited.
func (t *tracks) served(r *group.Reply, shard cluster.ShardID) {
	if t != nil && t.open {
		t.client.Wrote(shard, r.Index, r.Alone())
	}
}

// answered says that the replies to what was begun stand in line.
func (t *tracks) answered() {
	if t.open {
		t.open = false
		t.client.End()
	}
}

// unheard says that a command has read that was not remembered: it has waited, and what
// it woke up by may have been told before its reply.
func (t *tracks) unheard(cmd *command.Command, args [][]byte) {
	t.client.Begin()
	t.each(cmd, args, t.client.Missed)
	t.client.End()
}

// end ends it.
func (t *tracks) end(f *face) {
	if t.client == nil {
		return
	}
	t.client.Leave()
	f.tracked.Store(nil)
	*t = tracks{}
}

// ran is told that a command was executed or queued: CLIENT CACHING is about the next
// one, or transaction.
func (s *session) ran(cmd *command.Command) {
	if s.multi == nil && !strings.HasPrefix(cmd.Name, "client|") {
		s.tracks.caching = false
	}
}

// saw notes that reads have seen all entries of a shard up to index. It is called by the
// lanes, also by several at once.
func (t *tracks) saw(id cluster.ShardID, index uint64) {
	if t != nil && t.open {
		t.client.Saw(id, index)
	}
}

// asks reports whether the reply to a group of the client's own commands is to say what
// they have changed: the client does not want to be told of that.
func (t *tracks) asks() bool { return t != nil && t.open && t.client.NoLoop() }

// evaluated notes what a group of the client's own commands has seen and changed that was
// answered.
func (t *tracks) evaluated(list []pending, r *group.Reply) {
	if t == nil || !t.open {
		return
	}
	if slices.ContainsFunc(list, func(p pending) bool { return p.kept }) {
		t.client.Saw(r.Shard, max(r.Index, 1)-1) // others may have written in the same entry
	}
	t.client.Wrote(r.Shard, r.Index, r.Alone())
}

func clientTracking(r *request, args [][]byte) {
	o, ok := trackingArgs(r, args)
	if !ok {
		return
	}
	switch {
	case resp.IsWord(args[2], "OFF"):
		r.c.session.tracks.answered()
		r.c.session.tracks.end(&r.c.face)
	case !resp.IsWord(args[2], "ON"):
		r.Error(command.TextSyntax)
		return
	default:
		if text := r.c.session.tracks.refuses(&o); text != "" {
			r.Error(text)
			return
		}
		track(r.c, o)
		awaitSources(r)
	}
	r.OK()
}

// trackingArgs parses the options, or answers the error.
func trackingArgs(r *request, args [][]byte) (o trackingOptions, ok bool) {
	for i := 3; i < len(args); i++ {
		switch more := i+1 < len(args); {
		case resp.IsWord(args[i], "REDIRECT") && more:
			i++
			id, valid := resp.ParseInt(args[i])
			switch {
			case o.redirect != 0:
				r.Error(errTrackingOneRedirect)
				return o, false
			case !valid:
				r.Error(command.TextNotInt)
				return o, false
			case r.s.client(uint64(id)) == nil:
				r.Error(errTrackingNoRedirect)
				return o, false
			}
			o.redirect = uint64(id)
		case resp.IsWord(args[i], "BCAST"):
			o.broadcast = true
		case resp.IsWord(args[i], "OPTIN"):
			o.optIn = true
		case resp.IsWord(args[i], "OPTOUT"):
			o.optOut = true
		case resp.IsWord(args[i], "NOLOOP"):
			o.noLoop = true
		case resp.IsWord(args[i], "PREFIX") && more:
			i++
			o.prefixes = append(o.prefixes, string(args[i]))
		default:
			r.Error(command.TextSyntax)
			return o, false
		}
	}
	return o, true
}

// refuses returns why a client can't choose these options, as it is now.
func (t *tracks) refuses(o *trackingOptions) (text string) {
	var now trackingOptions
	if t.client != nil {
		now = t.tracked.options
	}
	switch {
	case !o.broadcast && len(o.prefixes) > 0:
		return errTrackingPrefix
	case t.client != nil && now.broadcast != o.broadcast:
		return errTrackingSwitch
	case o.broadcast && (o.optIn || o.optOut):
		return errTrackingBroadcast
	case o.optIn && o.optOut:
		return errTrackingBoth
	case o.optIn && now.optOut || o.optOut && now.optIn:
		return errTrackingOpt
	case o.broadcast:
		return t.overlap(o.prefixes)
	}
	return ""
}

// overlap refuses prefixes that begin with each other: a key would be told twice.
func (t *tracks) overlap(prefixes []string) (text string) {
	const after = "Prefixes for a single client must not overlap."
	either := func(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }
	for i, p := range prefixes {
		if t.client != nil {
			for _, old := range t.client.Prefixes() {
				if either(p, old) {
					return fmt.Sprintf("ERR Prefix '%s' overlaps with an existing prefix '%s'. %s", p, old, after)
				}
			}
		}
		for _, other := range prefixes[i+1:] {
			if either(p, other) {
				return fmt.Sprintf("ERR Prefix '%s' overlaps with another provided prefix '%s'. %s", p, other, after)
			}
		}
	}
	return ""
}

// track begins to have the client told, or changes how.
func track(c *conn, o trackingOptions) {
	t := &c.session.tracks
	mode := tracking.Mode{Broadcast: o.broadcast, NoLoop: o.noLoop}
	prefixes := o.prefixes
	if o.broadcast && len(prefixes) == 0 {
		prefixes = []string{""}
	}
	o.prefixes = nil
	shown := &tracked{options: o, broken: make(chan struct{}, 1)}
	if t.client == nil {
		c.face.tracked.Store(shown)
		t.client = c.s.cfg.Tracked.Join(mode, prefixes, func(m *tracking.Invalidation) { invalidate(c, m) })
	} else {
		t.client.Change(mode, prefixes)
	}
	t.tracked = shown
	c.face.tracked.Store(shown)
}

// awaitSources waits until changes of all shards are heard of.
func awaitSources(r *request) {
	limit := time.NewTimer(readyMax)
	defer limit.Stop()
	for {
		more := r.s.cfg.Tracked.Ready()
		if more == nil {
			return
		}
		if _, how := receive(&r.c.wait, more, limit.C); how != arrived {
			return
		}
	}
}

// invalidate tells the client, or the one it is redirected to, that keys have changed. It
// is called on any goroutine and does not wait.
func invalidate(c *conn, m *tracking.Invalidation) {
	t := c.face.tracked.Load()
	if t == nil {
		return
	}
	to := c
	if t.options.redirect != 0 {
		if to = c.s.client(t.options.redirect); to == nil || to.face.quits.Load() || isGone(to) {
			select {
			case t.broken <- struct{}{}:
			default:
			}
			if c.face.proto.Load() == 3 {
				c.out.push(redirectBroken(t.options.redirect))
			}
			return
		}
	}
	// In RESP2 only who has subscribed, and so expects messages, can be told.
	if to.face.proto.Load() == 3 || to != c && to.face.listens() {
		to.out.push(m)
	}
}

// isGone reports whether there is nobody to answer any more.
func isGone(c *conn) bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// redirectBroken tells a client that the connection is gone that was to be told for it.
type redirectBroken uint64

// Encode implements pushed.
func (id redirectBroken) Encode(proto int) []byte {
	w := resp.Writer{Out: resp.AppendPush(nil, proto, 2), Proto: proto}
	w.BulkString("tracking-redir-broken")
	w.Int(int64(id))
	return w.Out
}

func clientCaching(r *request, args [][]byte) {
	t := &r.c.session.tracks
	switch {
	case t.client == nil:
		r.Error(errCachingOff)
	case resp.IsWord(args[2], "YES") && !t.tracked.options.optIn:
		r.Error(errCachingYes)
	case resp.IsWord(args[2], "NO") && !t.tracked.options.optOut:
		r.Error(errCachingNo)
	case !resp.IsWord(args[2], "YES") && !resp.IsWord(args[2], "NO"):
		r.Error(command.TextSyntax)
	default:
		t.caching = true
		r.OK()
	}
}

func clientTrackinginfo(r *request, _ [][]byte) {
	t := &r.c.session.tracks
	flags := []string{"off"}
	var prefixes []string
	if t.client != nil {
		flags, prefixes = t.flags(), t.client.Prefixes()
	}
	r.Map(3)
	r.BulkString("flags")
	r.Set(len(flags))
	for _, f := range flags {
		r.BulkString(f)
	}
	r.BulkString("redirect")
	r.Int(r.c.face.tracked.Load().target())
	r.BulkString("prefixes")
	r.BulkStrings(prefixes)
}

// flags are those that CLIENT TRACKINGINFO lists.
func (t *tracks) flags() []string {
	o := &t.tracked.options
	flags := []string{"on"}
	for _, f := range []struct {
		name string
		on   bool
	}{
		{"bcast", o.broadcast}, {"optin", o.optIn}, {"caching-yes", o.optIn && t.caching}, {"optout", o.optOut},
		{"caching-no", o.optOut && t.caching}, {"noloop", o.noLoop}, {"broken_redirect", len(t.tracked.broken) > 0},
	} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	return flags
}
