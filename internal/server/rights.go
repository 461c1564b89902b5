package server

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/group"
)

// Who a connection is, and what it may do. Every command is looked at before it
// goes anywhere, and those of a transaction again at EXEC.

const (
	errNoAuth       = "NOAUTH Authentication required."
	errUnknownUsers = "TRYAGAIN this node does not know the users of the cluster yet. Not applied, safe to retry."
	errHelloNoAuth  = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
)

// What a node says that can't ask a shard by which users to go: it may not know yet what
// others were told long ago.
const (
	errUnsureDenied = "TRYAGAIN by the users that this node knows that is denied, and no shard answers that could tell whether they have changed. Not applied, safe to retry."
	errUnsureLogin  = "TRYAGAIN by the users that this node knows that is no login, and no shard answers that could tell whether they have changed. You are not logged in; safe to retry."
)

var (
	errUserGone     = errors.New("the user was deleted")
	errPasswordGone = errors.New("the user's passwords were changed, and whether this one was still good could not be told when it was used")
)

// usersTimeout is how long a client waits for its node to learn the users.
const usersTimeout = 5 * time.Second

// identity is who the client of a connection is. It belongs to its goroutine, but
// for what face shows.
type identity struct {
	user     *acl.User
	users    *acl.Set // that user is of
	loggedIn bool     // or began as a user that needs no login
	free     bool     // may do everything: nothing need be looked at
	// unsure says that no shard has confirmed the users by which the client was let in: if
	// its user turns out to have other passwords, it has to log in again.
	unsure bool
}

// become makes a client another user, or the same one as it is in a later set.
func (s *session) become(u *acl.User, users *acl.Set, loggedIn bool) {
	s.identity = identity{user: u, users: users, loggedIn: loggedIn, unsure: s.unsure}
	s.free = s.admitted() && u.Everything()
	s.face.user.Store(u)
}

// doubt notes whether a shard has confirmed the users by which the client was let in.
func (s *session) doubt(unsure bool) {
	s.unsure = unsure
	s.face.unsure.Store(unsure)
}

// begin makes the client who it is when it has said nothing.
func (s *session) begin(users *acl.Set) {
	u := users.Default()
	s.doubt(false)
	s.become(u, users, !u.NeedsLogin())
}

// admitted reports whether the client may execute commands at all.
func (s *session) admitted() bool { return s.loggedIn || !s.users.Default().NeedsLogin() }

// current brings what the connection knows of its user up to date; it ends the
// connection of one that was deleted.
func (c *conn) current() {
	if c.session.users != c.s.cfg.Users.Set() {
		c.flush()
		c.renew()
	}
}

// renew takes over the newest users and reports whether they have changed.
func (c *conn) renew() bool {
	s, users := &c.session, c.s.cfg.Users.Set()
	if users == s.users || c.closed {
		return false
	}
	if s.inside {
		s.become(s.user, users, true)
		return true
	}
	if err := outdated(users, s.user, s.unsure); err != nil {
		c.closed = true
		c.end(err)
		return false
	}
	s.become(users.User(s.user.Name), users, s.loggedIn)
	return true
}

// recheckAll looks again at commands that have not been executed, and answers those
// that are denied now.
func recheckAll(c *conn, list []pending) {
	for i := range list {
		p := &list[i]
		if p.done {
			continue
		}
		cmd, args := p.cmd, p.args
		if p.of != nil {
			cmd, args = p.of.cmd, p.of.args
		}
		if v := c.session.judge(cmd, args); v.text != "" {
			note(c, v, "toplevel")
			p.answer(errorReply(v.text))
		}
	}
}

// awaitUsers waits until the node has the users of an epoch. It reports false if it
// gave up.
func (s *Server) awaitUsers(w *patience, epoch uint64, most time.Duration) bool {
	if s.cfg.NewerUsers == nil {
		return true
	}
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		fetched := s.cfg.NewerUsers(epoch)
		if users := s.cfg.Users.Set(); users.Epoch >= epoch && !users.Unknown() {
			return true
		}
		if _, how := receive(w, fetched, limit.C); how != arrived {
			return false
		}
	}
}

// permitted reports whether the client may execute a command, and answers if not.
func (c *conn) permitted(cmd *command.Command, args [][]byte) bool {
	if cmd.Flags&command.Internal != 0 {
		c.refuse(args, "ERR "+strings.ToUpper(strings.ReplaceAll(cmd.Name, "|", " "))+" is what nodes say to each other. Not applied.")
		return false
	}
	if c.session.free && c.session.users == c.s.cfg.Users.Set() {
		return true
	}
	if c.s.cfg.Users.Set().Unknown() && !c.s.awaitUsers(&c.wait, 0, usersTimeout) {
		c.refuse(args, errUnknownUsers)
		return false
	}
	c.current()
	if c.closed {
		return false
	}
	v := c.session.judge(cmd, args)
	if v.denied() {
		sure := c.confirm()
		if c.closed {
			return false
		}
		if v = c.session.judge(cmd, args); v.denied() && !sure {
			v = verdict{text: errUnsureDenied}
		}
	}
	if v.text == "" {
		return true
	}
	note(c, v, c.session.context())
	c.refuse(args, v.text)
	return false
}

// verdict is what comes of the look at a command: the error, if it is denied, and
// why and what of it.
type verdict struct {
	text   string
	why    acl.Why
	object string
}

// denied reports whether a user lacks a right, which is not so for who has not logged in.
func (v verdict) denied() bool { return v.text != "" && v.text != errNoAuth }

// judge looks whether the client may execute a command.
func (s *session) judge(cmd *command.Command, args [][]byte) verdict {
	free := cmd.Flags&command.NoAuth != 0
	if !s.admitted() && !free {
		return verdict{text: errNoAuth}
	}
	var buf [8]acl.Key
	keys := cmd.KeyRights(buf[:0], args)
	args = cmd.Keys.KeyNames(args)
	switch d := s.user.Check(cmd.ID(), free, args, keys, cmd.ChannelRights(args)); d.Why {
	case acl.DeniedKey:
		return verdict{"NOPERM No permissions to access a key", d.Why, string(args[d.At])}
	case acl.DeniedChannel:
		return verdict{"NOPERM No permissions to access a channel", d.Why, string(args[d.At])}
	case acl.DeniedCommand:
		return verdict{"NOPERM " + deniedText(s.user, cmd, args, d), d.Why, cmd.Name}
	}
	if guard := cmd.Unguarded(s.user, args); guard != nil {
		return verdict{"NOPERM " + unguardedText(s.user, guard), acl.DeniedCommand, guard.Name}
	}
	return verdict{text: s.sortDenied(cmd, args, keys)}
}

// note logs what was denied.
func note(c *conn, v verdict, context string) {
	if v.why != acl.Allowed {
		c.s.logs.denied.add(c, v.why, v.object, c.session.user.Name, context)
	}
}

// noteScript logs what a script was denied. It may have run on another node: what is
// known here is what the client is told.
func noteScript(c *conn, reply []byte) {
	if why, object, denied := command.ScriptDenied(reply); denied {
		c.s.logs.denied.add(c, why, object, c.session.user.Name, "lua")
	}
}

// confirmMax is how long somebody who is denied something waits for a shard to say
// that the users have not changed.
const confirmMax = 500 * time.Millisecond

// confirm has a shard say by which users it goes. All go by those of every change
// that was answered, so after it nobody is refused, or let in, by older ones. It reports
// false if there is no leader to ask: what this node knows may be old then.
func (c *conn) confirm() (sure bool) {
	if c.s.cfg.NewerUsers == nil {
		return true // there are no others
	}
	c.flush()
	shards := c.s.cfg.Router.Shards()
	if len(shards) == 0 {
		return false
	}
	result := c.lanes.send(shards[0].ID, &group.Group{Proto: 2, Until: time.Now().Add(confirmMax)}, internal([]string{"TUTTI.FENCE"}))
	var epoch uint64
	if len(result.Reply.Replies) == 1 {
		n, _ := fmt.Sscanf(string(result.Reply.Replies[0]), ":%d", &epoch)
		sure = n == 1
	}
	if epoch > c.session.users.Epoch {
		sure = c.s.awaitUsers(&c.wait, epoch, usersTimeout)
	}
	if c.renew(); sure && !c.closed {
		c.session.doubt(false)
	}
	return sure
}

// confirmed reports whether what recheck denies is denied by users that are no older than the
// newest that was told of.
func (m *multi) confirmed(c *conn) bool {
	denies := func(p pending) bool { return c.session.judge(p.cmd, p.args).denied() }
	return !slices.ContainsFunc(m.queue, denies) || c.confirm() || !slices.ContainsFunc(m.queue, denies)
}

// recheck looks again at the commands of a transaction, when it is executed: each
// that is denied now is answered so, and the others are executed.
func (m *multi) recheck(c *conn) {
	for i := range m.queue {
		p := &m.queue[i]
		v := c.session.judge(p.cmd, p.args)
		p.denied = v.text
		if v.why == acl.Allowed {
			continue
		}
		why := "no permission to execute the command or subcommand"
		switch v.why {
		case acl.DeniedKey:
			why = "no permission to touch the specified keys"
		case acl.DeniedChannel:
			why = "no permission to access one of the channels used as arguments to the command"
		}
		note(c, v, "multi")
		p.denied = "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
			"This command is no longer allowed for the following reason: " + why
	}
}

// deniedText says in full what a user may not do.
func deniedText(u *acl.User, cmd *command.Command, args [][]byte, d acl.Denial) string {
	switch d.Why {
	case acl.DeniedKey:
		return fmt.Sprintf("User %s has no permissions to access the '%s' key", u.Name, args[d.At])
	case acl.DeniedChannel:
		return fmt.Sprintf("User %s has no permissions to access the '%s' channel", u.Name, args[d.At])
	}
	return fmt.Sprintf("User %s has no permissions to run the '%s' command", u.Name, cmd.Name)
}

// context is where a command stands, for ACL LOG.
func (s *session) context() string {
	if s.multi != nil {
		return "multi"
	}
	return "toplevel"
}

// sortDenied looks at the patterns of SORT: the keys that they find are not known
// before, so they take the right to read all keys.
func (s *session) sortDenied(cmd *command.Command, args [][]byte, keys []acl.Key) string {
	option := cmd.ReadsElsewhere(args)
	if option == "" || s.user.ReadsAll(cmd.ID(), args, keys) {
		return ""
	}
	return "ERR " + option + " option of SORT denied due to insufficient ACL permissions."
}

// auth logs in with a password. The default user may leave out its name.
func auth(r *request, args [][]byte) {
	name := acl.Default
	switch {
	case len(args) > 3:
		r.Error(command.TextSyntax)
		return
	case len(args) == 3:
		name = string(args[1])
	case r.s.cfg.Users.Set().Default().HasNoPassword():
		r.Error(errNoPassword)
		return
	}
	if text := r.login(args[0], name, args[len(args)-1]); text != "" {
		r.Error(text)
		return
	}
	r.OK()
}

// login makes the client another user, or returns the error.
func (r *request) login(command []byte, name string, password []byte) (text string) {
	c := r.c
	end, wait := r.s.gate.guesses.begin(c.from)
	if end == nil {
		return waitToGuess(wait)
	}
	sure := c.confirm()
	if c.closed {
		end(true) // nothing was tried
		return textGone
	}
	users := r.s.cfg.Users.Set()
	u := users.User(name)
	ok, err := r.s.passwords.Verify(c.gone, u, password)
	end(ok || err != nil)
	switch {
	case err != nil:
		return "BUSY " + err.Error() + ". You are not logged in; try again."
	case !ok && !sure:
		return errUnsureLogin
	case !ok:
		r.s.logs.denied.add(c, deniedLogin, string(command), name, c.session.context())
		return errWrongPass
	}
	c.session.doubt(!sure)
	c.session.become(u, users, true)
	return ""
}

// dropUsers ends the connections of users that are no more, or that should not have been let
// in, but for one that is changing users: it ends itself when it has its answer; and of those that have
// subscribed to what their user may not hear any more, or may not monitor any more.
func (s *Server) dropUsers() {
	users := s.cfg.Users.Set()
	for _, c := range s.clients() {
		was := c.face.user.Load()
		gone := outdated(users, was, c.face.unsure.Load())
		switch {
		case !c.face.changing.Load() && gone != nil:
			c.end(gone)
		case c.face.overhears(users.User(was.Name)):
			c.end(errChannelsGone)
		case spies(c, users.User(was.Name)):
			c.end(errMonitorGone)
		}
	}
}

// outdated says why a client can't go on as the user that it was, if so.
func outdated(users *acl.Set, was *acl.User, unsure bool) error {
	switch {
	case stale(users, was):
		return errUserGone
	case unsure && !users.User(was.Name).SamePasswords(was):
		return errPasswordGone
	}
	return nil
}

// stale reports whether a user is not the one any more that it was.
func stale(users *acl.Set, was *acl.User) bool {
	now := users.User(was.Name)
	return now == nil || now.Born != was.Born
}

// shownName cuts what a client calls itself to what logs keep.
func shownName(name string) string {
	return name[:min(len(name), denialObjectMax)]
}
