package router

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/resp"
	"tutti/internal/shard"
)

// stream is this node's session with one shard: numbered groups, each open
// until it is answered.
type stream struct {
	r       *Router
	id      cluster.ShardID // of the shard
	session uint64
	onReply func(group.Reply)

	mu     sync.Mutex // guards all below
	room   *sync.Cond // signalled when the floor rises
	last   uint64     // newest sequence given out
	floor  uint64     // all sequences up to it are answered
	open   map[uint64]*call
	opened bool // the shard knows the session
	armed  bool // the timer runs
	timer  *time.Timer
	closed bool

	waits waits

	// What others have said of the leader, for a node that has no replica to ask.
	hint    shard.Lead
	guessed int // how many nodes have been tried without a hint
}

// call is one group that is not answered yet.
type call struct {
	g       *group.Group
	done    func(Result)
	end     time.Time // when to give up
	sent    time.Time // of the last attempt; zero: none
	parked  bool      // waits for a leader, or for the session to be opened
	certain bool      // no attempt was ever sent that may have been applied
	before  bool      // certain, before the latest attempt
	trial   trial
	w       *Waiting // what it is about; nil: no command that waits
}

const (
	// openMax is how many sequences may lie between the oldest open one and the
	// newest: what the shard keeps for this session.
	openMax = 1 << 16
	// retryEvery is how often parked groups are tried when nobody says that
	// things have changed, and resendAfter when a sent group without an answer
	// is sent again: a lost frame, or a leader that fell silent. One that is carried costs
	// as much again each time, and whether it has come is known.
	retryEvery    = 50 * time.Millisecond
	resendAfter   = time.Second
	resendCarried = 4 * time.Second
)

func newStream(r *Router, id cluster.ShardID) *stream {
	s := &stream{r: r, id: id, session: group.SessionID(r.cfg.Node, r.cfg.Incarnation), open: make(map[uint64]*call), waits: waits{bySeq: make(map[uint64]*Waiting)}}
	s.room = sync.NewCond(&s.mu)
	s.onReply = s.reply
	return s
}

func (s *stream) write(g *group.Group, done func(Result)) { s.begin(g, &call{done: done}) }

// begin sends a group for the first time, when there is room for it.
func (s *stream) begin(g *group.Group, c *call) {
	if c.end = g.Until; c.end.IsZero() {
		c.end = time.Now().Add(s.r.cfg.Timeout)
	}
	s.mu.Lock()
	for s.last-s.floor >= openMax && !s.closed {
		s.room.Wait()
	}
	if s.closed {
		s.mu.Unlock()
		c.tell(Result{Err: errStopping})
		return
	}
	s.number(g, c)
	s.mu.Unlock()
}

// tell tells who waits for a call that it has failed.
func (c *call) tell(result Result) {
	switch {
	case c.w != nil:
		c.w.s.mu.Lock()
		tell := c.w.s.end(c.w, result)
		c.w.s.mu.Unlock()
		if tell != nil {
			tell()
		}
	case c.done != nil:
		c.done(result)
	}
}

// number gives a group the next sequence, and sends it. s.mu is held.
func (s *stream) number(g *group.Group, c *call) {
	now := time.Now()
	g.Shard, g.Session, g.Done = s.id, s.session, s.onReply
	c.g, c.certain, c.trial = g, true, trial{began: now}
	if !s.opened && s.open[0] == nil {
		s.openSession(now)
	}
	s.last++
	g.Seq = s.last
	s.open[g.Seq] = c
	if c.w != nil {
		if c.w.calls++; g.Wait.Seq == 0 {
			c.w.seq = g.Seq
		}
		s.waits.bySeq[c.w.seq] = c.w
	}
	s.send(c, now)
	s.arm()
}

// openSession sends the group that opens the session; it has sequence 0. s.mu
// is held.
func (s *stream) openSession(now time.Time) {
	c := &call{g: &group.Group{Shard: s.id, Session: s.session, Open: true, Done: s.onReply}, end: now.Add(s.r.cfg.Timeout), certain: true, trial: trial{began: now}}
	s.open[0] = c
	s.send(c, now)
}

// send makes one attempt, or parks the call. s.mu is held. An earlier attempt
// may still be in somebody's queue, so each attempt is a group of its own.
func (s *stream) send(c *call, now time.Time) {
	lead := s.target()
	c.parked = lead.Node == 0 || !s.opened && !c.g.Open
	if c.parked {
		return
	}
	if !c.sent.IsZero() {
		c.trial.left = c.trial.left || !c.certain && c.g.Term != lead.Term
		again := *c.g
		c.g = &again
	}
	c.g.Attempt++
	c.g.Term, c.g.Floor = lead.Term, s.floor
	if c.w != nil && c.w.over && !c.g.Wait.Cancel {
		c.withdraw()
	}
	s.mark(c.g)
	c.sent, c.before, c.certain, c.trial.refused = now, c.certain, false, false
	sent := false
	if lead.Node == s.r.cfg.Node {
		sent = s.r.host.Submit(c.g)
	} else {
		sent = s.r.host.Forward(lead.Node, c.g)
	}
	if !sent {
		c.parked, c.certain = true, c.before
		s.miss(lead.Node)
	}
}

// leader returns who leads the shard as far as this node knows: from its replica,
// or from what others have said.
func (s *stream) leader() shard.Lead {
	own := s.r.host.Lead(s.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newer(own)
}

func (s *stream) newer(own shard.Lead) shard.Lead {
	if own.Node == 0 && s.hint.Node != 0 && s.hint.Term >= own.Term {
		return s.hint
	}
	return own
}

// target returns whom to send to: the leader, or, if there is neither a replica
// here nor anybody who said, one of the nodes that have one, in turn: it refuses
// and says. s.mu is held.
func (s *stream) target() shard.Lead {
	lead := s.newer(s.r.host.Lead(s.id))
	if lead.Node != 0 || s.r.host.Follows(s.id) {
		return lead
	}
	nodes := s.r.cfg.Map.Routes().Hosts(s.id)
	nodes = slices.DeleteFunc(nodes, func(n cluster.NodeID) bool { return n == s.r.cfg.Node })
	if len(nodes) == 0 {
		return lead
	}
	return shard.Lead{Node: nodes[s.guessed%len(nodes)]}
}

// miss forgets what was said of a node that does not answer. s.mu is held.
func (s *stream) miss(node cluster.NodeID) {
	if s.hint.Node == node {
		s.hint = shard.Lead{}
	}
	s.guessed++
}

// said takes what a node that does not lead says of who does. s.mu is held.
func (s *stream) said(reply group.Reply) {
	switch {
	case reply.Leader == 0:
		s.miss(s.hint.Node)
	case reply.Term >= s.hint.Term:
		s.hint = shard.Lead{Node: reply.Leader, Term: reply.Term}
	}
}

// resend tries all calls again whose last attempt was meant for an older term, and
// registers anew all that wait.
func (s *stream) resend(l shard.Lead) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registerAll(func(c *call) bool { return c.parked || c.g.Term < l.Term })
}

// some returns the open calls of which is is true, those about commands that wait in the
// order in which these came: of whom the shard hears first may be served before it hears
// of the next. s.mu is held.
func (s *stream) some(is func(c *call) bool) []*call {
	var list []*call
	for _, c := range s.open {
		if is(c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *call) int { return cmp.Compare(a.place(), b.place()) })
	return list
}

// place is the sequence of a call, or that of the command that waits which it is about.
func (c *call) place() uint64 {
	if c.w != nil {
		return c.w.seq
	}
	return c.g.Seq
}

// reply takes the answer to an attempt; only the latest attempt's counts.
func (s *stream) reply(reply group.Reply) {
	s.mu.Lock()
	if reply.Late {
		tell := s.late(reply)
		s.mu.Unlock()
		if tell != nil {
			tell()
		}
		return
	}
	c := s.open[reply.Seq]
	if c == nil || c.g.Attempt != reply.Attempt {
		s.mu.Unlock()
		return
	}
	var result Result
	switch reply.Status {
	case group.OK, group.WatchFailed, group.NoSpace, group.Moved, group.UsersChanged, group.Parked, group.Undone:
		if result.Reply = reply; reply.Status == group.OK && len(reply.Replies) < len(c.g.Cmds) {
			result.Err = errBroken(s.id) // whoever sent that is broken
		}
		result.Reply.Replies = withDropped(reply.Replies, s.id)
	case group.NotLeader, group.Lost:
		s.said(reply)
		c.trial.refused = reply.Status == group.NotLeader
		c.certain = c.before && c.trial.refused
		s.again(c)
		s.mu.Unlock()
		return
	case group.Busy:
		c.certain = c.before
		if !c.certain {
			s.again(c)
			s.mu.Unlock()
			return
		}
		result.Err = errBusy(s.id)
	case group.NoSession:
		s.opened = false
		result.Err = errForgotten(s.id)
	default:
		result.Err = errForgotten(s.id)
	}
	s.finish(reply.Seq)
	if reply.Seq == 0 {
		s.sessionOpened(result.Err == "")
	}
	var tell func()
	if c.w != nil {
		tell = s.settle(c, reply, result)
	} else if c.done != nil {
		tell = func() { c.done(result) }
	}
	s.mu.Unlock()
	if tell != nil {
		tell()
	}
}

// withDropped puts an error in the place of each reply that was not kept.
func withDropped(replies [][]byte, id cluster.ShardID) [][]byte {
	dropped := func(p []byte) bool { return len(p) == 0 }
	if !slices.ContainsFunc(replies, dropped) {
		return replies
	}
	all := slices.Clone(replies) // the leader's, if it is here, keeps its own
	for i, p := range all {
		if dropped(p) {
			all[i] = resp.AppendError(nil, errDropped(id))
		}
	}
	return all
}

// again tries a refused call at once if a newer leader is known, else it waits
// for one. s.mu is held.
func (s *stream) again(c *call) {
	if lead := s.newer(s.r.host.Lead(s.id)); lead.Node != 0 && lead.Term > c.g.Term {
		s.send(c, time.Now())
		return
	}
	c.parked = true
	s.arm()
}

// sessionOpened sends what waited for the session. s.mu is held.
func (s *stream) sessionOpened(ok bool) {
	s.opened = ok
	now := time.Now()
	for _, c := range s.some(func(c *call) bool { return c.parked }) {
		s.send(c, now)
	}
}

// finish closes a sequence and raises the floor. s.mu is held.
func (s *stream) finish(seq uint64) {
	if c := s.open[seq]; c != nil && c.w != nil {
		c.w.calls--
		s.forget(c.w)
	}
	delete(s.open, seq)
	before := s.floor
	for s.floor < s.last && s.open[s.floor+1] == nil {
		s.floor++
	}
	if s.floor != before {
		s.room.Broadcast()
	}
}

// arm makes sure that the timer runs while calls are open. s.mu is held.
func (s *stream) arm() {
	if s.armed || s.closed {
		return
	}
	s.armed = true
	if s.timer == nil {
		s.timer = time.AfterFunc(retryEvery, s.tick)
	} else {
		s.timer.Reset(retryEvery)
	}
}

// tick gives up calls whose time is over and tries again what is parked or may
// have been lost.
func (s *stream) tick() {
	now := time.Now()
	var over []outcome
	s.mu.Lock()
	s.armed = false
	for seq, c := range s.open {
		if c.end.IsZero() || !now.After(c.end) {
			continue
		}
		over = append(over, outcome{c, s.gaveUp(c, now)})
		s.finish(seq)
		if c.w != nil && !c.g.Wait.Cancel {
			c.w.cancelling = true // it may have been registered
			s.cancel(c.w)
		}
	}
	for _, c := range s.some(func(c *call) bool { return c.parked || now.Sub(c.sent) > s.patience(c) }) {
		if !c.parked {
			s.miss(s.hint.Node)
		}
		s.send(c, now)
	}
	s.ack(now)
	if len(s.open) > 0 {
		if !s.opened && s.open[0] == nil { // given up or refused, while others wait for it
			s.openSession(now)
		}
		s.arm()
	}
	s.mu.Unlock()
	for _, o := range over {
		o.call.tell(o.result)
	}
}

// patience is for how long a call waits for an answer before it is sent again.
func (s *stream) patience(c *call) time.Duration {
	if shard.Carried(s.r.host, c.g) {
		return resendCarried
	}
	return resendAfter
}

func (s *stream) close() {
	s.mu.Lock()
	s.closed = true
	calls := s.open
	s.open = make(map[uint64]*call)
	if s.timer != nil {
		s.timer.Stop()
	}
	s.room.Broadcast()
	for _, w := range s.waits.bySeq {
		calls[w.seq] = &call{w: w}
	}
	s.mu.Unlock()
	for _, c := range calls {
		c.tell(Result{Err: errStopping})
	}
}
