package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/proof/check"
	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

const (
	usersAtOnce = 6  // users whose rights change, each by one that changes no other's
	watchers    = 12 // clients that try what they may
	// changeTimeout is after which who changes users gives up: longer than the 5 s that a
	// node may need to learn the users.
	changeTimeout = 8 * time.Second
	tryTimeout    = 3 * time.Second
	userKeys      = 8 // of each user: in all shards
	// recentUsers is how many of those whose rights are not certain any more are still tried.
	recentUsers = 4
	// attemptsMax bounds what a run remembers.
	attemptsMax = 2_000_000
)

// crowd is users whose rights change, and what was tried as them.
type crowd struct {
	rec   *check.Recorder // its clock
	addrs []string        // of the nodes
	deaf  atomic.Pointer[deafNode]

	mu       sync.Mutex // guards what follows
	accounts []*account
	attempts []*attempt
	values   int
}

// newAccount begins a user.
func (c *crowd) newAccount() *account {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &account{name: fmt.Sprintf("u%d", len(c.accounts)+1)}
	c.accounts = append(c.accounts, a)
	return a
}

func (c *crowd) value() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values++
	return fmt.Sprintf("v%d", c.values)
}

func (c *crowd) tried(t *attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.attempts) < attemptsMax {
		c.attempts = append(c.attempts, t)
	}
}

// ask notes that a change is asked for, and returns its place.
func (c *crowd) ask(a *account, to rights) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.changes = append(a.changes, change{to: to, asked: c.rec.Now(), fate: doubtful})
	return len(a.changes) - 1
}

func (c *crowd) told(a *account, i int, f fate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.changes[i].fate, a.changes[i].end = f, c.rec.Now()
}

// dialFrom connects from an address of the loopback drawn at random: who fails to log in
// makes all of an address wait.
func dialFrom(ctx context.Context, r *rand.Rand, addr string, end time.Time) (*respclient.Conn, error) {
	from := net.IPv4(127, byte(1+r.IntN(250)), byte(r.IntN(250)), byte(1+r.IntN(250)))
	d := net.Dialer{Deadline: end, LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return respclient.New(conn), conn.SetDeadline(end)
}

// rules are what ACL SETUSER is told for rights, whatever was before.
func rules(name string, r rights) []string {
	list := []string{"ACL", "SETUSER", name, "reset", "on", ">" + r.password, "~" + name + ":*", "&*"}
	if r.may != mayNothing {
		list = append(list, "+get", "+ping", "+info", "+publish")
	}
	if r.may == mayWrite {
		list = append(list, "+set", "+multi", "+exec")
	}
	return list
}

// owner changes the rights of one user after the other, until stop is closed. It leaves a
// user as soon as it can't tell what that one's rights are.
func (c *crowd) owner(ctx context.Context, stop <-chan struct{}, r *rand.Rand) {
	for {
		a, now := c.newAccount(), rights{may: gone}
		for doubt := false; !doubt; {
			next, rest := nextRights(r, now, c.value), anyTime
			switch c.change(ctx, r, a, next) {
			case changed:
				if now.allow(tryRead) && !next.allow(tryRead) {
					rest = takenTime
				}
				now = next
			case doubtful:
				doubt = true
			}
			select {
			case <-stop:
				return
			case <-time.After(rand.N(rest)):
			}
		}
	}
}

// Times between two changes of a user, at most: while a change is under way both rights will do,
// so one that has been taken stays so until somebody has tried it.
const (
	anyTime   = 400 * time.Millisecond
	takenTime = 3 * time.Second
)

// nextRights draws what a user may do next: it differs from what it may now.
func nextRights(r *rand.Rand, now rights, password func() string) rights {
	levels := []string{mayNothing, mayRead, mayWrite}
	if now.may == gone {
		next := rights{may: levels[1+r.IntN(2)], password: now.password, life: now.life + 1}
		if now.password == "" || r.IntN(2) == 0 {
			next.password = password()
		}
		return next
	}
	next := now
	switch r.IntN(6) {
	case 0:
		next.may = gone
	case 1, 2:
		next.password = password()
	default:
		i := slices.Index(levels, now.may)
		next.may = levels[(i+1+r.IntN(2))%len(levels)]
	}
	return next
}

// change brings one change about through any node; what was applied and not confirmed is
// repeated through any node.
func (c *crowd) change(ctx context.Context, r *rand.Rand, a *account, to rights) fate {
	command := rules(a.name, to)
	if to.may == gone {
		command = []string{"ACL", "DELUSER", a.name}
	}
	for {
		i := c.ask(a, to)
		text, err := changeThrough(ctx, r, c.addrs[r.IntN(len(c.addrs))], command)
		f := fateOf(text, err)
		c.told(a, i, f)
		if f != halfDone || ctx.Err() != nil {
			return f
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// changeThrough returns what a node says to a change. The error says that it may have taken
// it and was not heard.
func changeThrough(ctx context.Context, r *rand.Rand, addr string, command []string) (string, error) {
	conn, err := dialFrom(ctx, r, addr, time.Now().Add(changeTimeout))
	if err != nil {
		return "not sent: Not applied", nil
	}
	defer conn.Close()
	v, err := conn.Do(command...)
	if err != nil {
		return "", err
	}
	return respclient.Text(v), nil
}

func fateOf(text string, err error) fate {
	switch {
	case err != nil:
		return doubtful
	case text == "OK" || text == "1" || text == "0": // 0: it was gone, by the try before
		return changed
	case strings.HasPrefix(text, "UNCERTAIN the users were changed"):
		return halfDone
	case strings.Contains(text, "Not applied") || strings.Contains(text, "Nothing was changed"):
		return unchanged
	}
	return doubtful
}

// pick draws a user to be: one that is in use, or, now and then, one of those whose rights
// became uncertain last; and a password that it has or had or is to have.
func (c *crowd) pick(r *rand.Rand) (a *account, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.accounts) == 0 {
		return nil, ""
	}
	from := max(0, len(c.accounts)-usersAtOnce-recentUsers)
	a = c.accounts[from+r.IntN(len(c.accounts)-from)]
	var passwords []string
	for _, x := range a.changes {
		if p := x.to.password; p != "" && !slices.Contains(passwords, p) {
			passwords = append(passwords, p)
		}
	}
	if len(passwords) == 0 {
		return nil, ""
	}
	back := 0
	if r.IntN(4) == 0 {
		back = r.IntN(min(3, len(passwords)))
	}
	return a, passwords[len(passwords)-1-back]
}

// watcher logs in as users and tries what they may, until stop is closed.
func (c *crowd) watcher(ctx context.Context, stop <-chan struct{}, r *rand.Rand) {
	for {
		if a, password := c.pick(r); a != nil {
			c.visit(ctx, stop, r, a, password)
		}
		select {
		case <-stop:
			return
		case <-time.After(rand.N(300 * time.Millisecond)):
		}
	}
}

// visit is one connection of a user: it may stay for long, through faults and changes.
func (c *crowd) visit(ctx context.Context, stop <-chan struct{}, r *rand.Rand, a *account, password string) {
	node, tries := r.IntN(len(c.addrs)), allTries()
	deaf := c.deafNow()
	reader := r.IntN(2) == 0 || deaf != nil && r.IntN(2) == 0
	if !reader {
		deaf = nil
	} else if tries = onlyReads(); deaf != nil {
		node = deaf.node
	}
	conn, err := dialFrom(ctx, r, c.addrs[node], time.Now().Add(tryTimeout))
	if err != nil {
		return
	}
	defer conn.Close()
	l, in := c.logIn(conn, a, password, node)
	for range 1 + r.IntN(60) {
		if !in || reader && c.deafNow() != deaf { // those who read go where one is deaf
			return
		}
		key := c.key(r, l)
		for i := 0; i < 2*userKeys && !deaf.reads(key); i++ {
			key = c.key(r, l)
		}
		in = c.try(conn, r, l, node, key, tries)
		select {
		case <-stop:
			return
		case <-time.After(rand.N(400 * time.Millisecond)):
		}
	}
}

// allTries are what a connection tries, each as often as it stands there.
func allTries() []string { return []string{tryRead, tryRead, tryWrite, tryTransaction, tryLocal} }

// onlyReads are what some connections try: a write has its node find out that it goes by old
// users, so that no read behind it would.
func onlyReads() []string { return []string{tryRead} }

// logIn tries a password.
func (c *crowd) logIn(conn *respclient.Conn, a *account, password string, node int) (l *login, in bool) {
	l = &login{of: a, password: password, asked: c.rec.Now()}
	v, err := conn.Do("AUTH", a.name, password)
	l.end = c.rec.Now()
	t := &attempt{login: l, what: tryLogin, node: node, asked: l.asked, end: l.end}
	t.answer, t.text = answerOf(v, err)
	c.tried(t)
	return l, t.answer == done
}

// key is one of a user's.
func (c *crowd) key(r *rand.Rand, l *login) string {
	return fmt.Sprintf("%s:%d", l.of.name, r.IntN(userKeys))
}

// try has a user try something, and reports whether its connection goes on.
func (c *crowd) try(conn *respclient.Conn, r *rand.Rand, l *login, node int, key string, tries []string) bool {
	t := &attempt{login: l, what: tries[r.IntN(len(tries))], node: node}
	var cmds [][]string
	switch t.what {
	case tryRead:
		cmds = [][]string{{"GET", key}}
	case tryWrite:
		t.value = c.value()
		cmds = [][]string{{"SET", key, t.value}}
	case tryTransaction:
		t.value = c.value()
		cmds = [][]string{{"MULTI"}, {"SET", key, t.value}, {"EXEC"}}
	case tryLocal:
		own := [][]string{{"PING"}, {"INFO", "server"}, {"PUBLISH", "news", "x"}}
		cmds = own[r.IntN(3):][:1]
	}
	err := conn.SetDeadline(time.Now().Add(tryTimeout))
	t.asked = c.rec.Now()
	var replies []resp.Value
	if err == nil {
		replies, err = conn.Pipe(cmds...)
	}
	t.end = c.rec.Now()
	if t.what == tryTransaction && ranAlone(replies) {
		t.what = tryWrite
		replies = replies[1:2]
	}
	t.answer, t.text = answerOf(decisive(replies), err)
	if t.what == tryRead && t.answer == done {
		t.value = t.text
	}
	c.tried(t)
	return t.answer != lost
}

// ranAlone reports whether the write of a transaction ran by itself: its MULTI was denied, and
// the right to write came before the SET that was sent behind it. Redis does the same.
func ranAlone(replies []resp.Value) bool {
	return len(replies) == 3 && replies[0].IsError() && !replies[1].IsError()
}

// decisive is the reply by which it is known whether something was let through: the first
// that is an error, in a transaction too, else the last.
func decisive(replies []resp.Value) (v resp.Value) {
	for _, v = range replies {
		if v.IsError() {
			return v
		}
		for _, e := range v.Elems {
			if e.IsError() {
				return e
			}
		}
	}
	return v
}

func answerOf(v resp.Value, err error) (answer, string) {
	if err != nil {
		return lost, err.Error()
	}
	text := respclient.Text(v)
	first, _, _ := strings.Cut(text, " ")
	switch {
	case !v.IsError():
		return done, text[:min(len(text), 40)]
	case slices.Contains([]string{"NOPERM", "NOAUTH", "WRONGPASS"}, first):
		return denied, text
	}
	return undecided, text
}
