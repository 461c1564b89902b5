package server

import (
	"sync"
	"time"

	"tutti/internal/acl"
	"tutti/internal/command"
	"tutti/internal/resp"
)

// denials is what ACL LOG shows: what this node has denied, the newest first.
type denials struct {
	mu     sync.Mutex // guards all below
	list   []denial
	lenMax int
	lastID int64
	counts map[acl.Why]int64
}

// denial is one entry: what is alike within a minute is one.
type denial struct {
	id              int64
	count           int64
	why             acl.Why
	context         string
	object, user    string
	client          string
	created, latest int64 // unix milliseconds
}

// deniedLogin is the reason of an entry about a login that failed.
const deniedLogin acl.Why = 0xff

// Limits of the log, as in Redis: alike are entries of the last minute among the
// newest ten.
const (
	denialsAlike     = 10
	denialsAlikeTime = time.Minute
	denialObjectMax  = 128
	denialsMax       = 10_000
)

func (l *denials) add(c *conn, why acl.Why, object, user, context string) {
	now := c.s.cfg.Wall()
	e := denial{count: 1, why: why, context: context, object: object[:min(len(object), denialObjectMax)], user: shownName(user),
		client: c.line(nil), created: now, latest: now}
	e.client = e.client[:len(e.client)-1] // without its end of line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(map[acl.Why]int64)
	}
	l.counts[why]++
	for i := range l.list[:min(len(l.list), denialsAlike)] {
		if old := l.list[i]; e.like(old) {
			e.id, e.count, e.created = old.id, old.count+1, old.created
			copy(l.list[1:i+1], l.list[:i])
			l.list[0] = e
			return
		}
	}
	e.id = l.lastID
	l.lastID++
	l.list = append([]denial{e}, l.list...)
	l.list = l.list[:min(len(l.list), l.lenMax)]
}

func (e denial) like(old denial) bool {
	apart := max(e.latest-old.latest, old.latest-e.latest)
	return e.why == old.why && e.context == old.context && e.object == old.object && e.user == old.user &&
		apart <= int64(denialsAlikeTime/time.Millisecond)
}

func (l *denials) setLenMax(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lenMax = n
	l.list = l.list[:min(len(l.list), n)]
}

func (l *denials) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
}

func (l *denials) newest(n int) []denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]denial(nil), l.list[:min(len(l.list), n)]...)
}

// count is how often something was denied for this reason since the start.
func (l *denials) count(why acl.Why) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[why]
}

func (e denial) reason() string {
	switch e.why {
	case acl.DeniedKey:
		return "key"
	case acl.DeniedChannel:
		return "channel"
	case deniedLogin:
		return "auth"
	}
	return "command"
}

func aclLog(r *request, args [][]byte) {
	count := int64(10)
	switch {
	case len(args) > 3:
		r.wrongSubcommand(args)
		return
	case len(args) == 3 && resp.IsWord(args[2], "RESET"):
		r.s.logs.denied.reset()
		r.OK()
		return
	case len(args) == 3:
		var ok bool
		if count, ok = resp.ParseInt(args[2]); !ok {
			r.Error(command.TextNotInt)
			return
		}
	}
	list, now := r.s.logs.denied.newest(int(min(max(count, 0), 1<<20))), r.s.cfg.Wall()
	r.Array(len(list))
	for _, e := range list {
		r.Map(10)
		r.BulkString("count")
		r.Int(e.count)
		for _, pair := range [][2]string{{"reason", e.reason()}, {"context", e.context}, {"object", e.object}, {"username", e.user}} {
			r.Pair(pair[0], pair[1])
		}
		r.BulkString("age-seconds")
		r.Double(float64(now-e.latest) / 1000)
		r.Pair("client-info", e.client)
		for _, n := range []struct {
			name  string
			value int64
		}{{"entry-id", e.id}, {"timestamp-created", e.created}, {"timestamp-last-updated", e.latest}} {
			r.BulkString(n.name)
			r.Int(n.value)
		}
	}
}
