package server

import (
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/resp"
)

// pause is the state of CLIENT PAUSE. It belongs to the node: it holds back the
// clients that are connected here, not what they do through other nodes.
type pause struct {
	active atomic.Bool // whether to look at the rest at all

	mu    sync.Mutex // guards all below
	until time.Time
	all   bool          // reads too
	ended chan struct{} // closed by CLIENT UNPAUSE
}

// begin pauses until a time. A running pause is never made shorter or milder.
func (p *pause) begin(until time.Time, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		p.until, p.all, p.ended = until, all, make(chan struct{})
	}
	if until.After(p.until) {
		p.until = until
	}
	p.all = p.all || all
	p.active.Store(true)
}

// running is called with p.mu held.
func (p *pause) running() bool { return p.active.Load() && time.Now().Before(p.until) }

func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active.Load() {
		p.active.Store(false)
		close(p.ended)
	}
}

// state returns what a command has to wait for; wait is 0 if it need not.
func (p *pause) state(writes bool) (wait time.Duration, ended chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		p.active.Store(false)
		return 0, nil
	}
	if !p.all && !writes {
		return 0, nil
	}
	return time.Until(p.until), p.ended
}

// hold makes the connection wait while the server is paused for cmd. What came
// before in the pipeline is answered first.
func (c *conn) hold(cmd *command.Command) {
	p := &c.s.pause
	if !p.active.Load() || cmd.Name == "client|unpause" {
		return
	}
	m := c.session.multi
	writes := changes(cmd) || cmd.Name == "exec" && m != nil && m.writes()
	for {
		wait, ended := p.state(writes)
		if wait <= 0 {
			return
		}
		if c.flush(); !c.write() {
			return
		}
		c.face.blocked.Store(true)
		c.s.stats.blocked.Add(1)
		c.out.release()
		c.sleep(wait, ended)
		c.out.hold()
		c.s.stats.blocked.Add(-1)
		c.face.blocked.Store(false)
		if c.closed {
			return
		}
	}
}

// changes reports whether a pause of writes holds a command back: as in Redis messages
// are among them.
func changes(cmd *command.Command) bool {
	return cmd.Changes() || cmd.Name == "publish" || cmd.Name == "spublish"
}

// sleep waits until d has passed or ended is closed, or the client is gone.
func (c *conn) sleep(d time.Duration, ended <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	if _, how := receive(&c.wait, ended, t.C); how == abandoned {
		c.closed = true
	}
}

func (m *multi) writes() bool {
	for i := range m.queue {
		if changes(m.queue[i].cmd) {
			return true
		}
	}
	return false
}

func clientPause(r *request, args [][]byte) {
	all := true
	if len(args) > 4 {
		r.Error(command.TextSyntax)
		return
	}
	if len(args) == 4 {
		switch {
		case resp.IsWord(args[3], "WRITE"):
			all = false
		case !resp.IsWord(args[3], "ALL"):
			r.Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	}
	wait, text := parseTimeout(args[2])
	if text != "" {
		r.Error(text)
		return
	}
	r.s.pause.begin(time.Now().Add(wait), all)
	r.OK()
}

func clientUnpause(r *request, _ [][]byte) {
	r.s.pause.end()
	r.OK()
}

// timeoutMax keeps sums with the time now within what a Duration holds.
const timeoutMax = 100 * 365 * 24 * time.Hour

// parseTimeout parses milliseconds; text is the error that Redis gives.
func parseTimeout(arg []byte) (d time.Duration, text string) {
	ms, ok := resp.ParseInt(arg)
	switch {
	case !ok:
		return 0, "ERR timeout is not an integer or out of range"
	case ms < 0:
		return 0, "ERR timeout is negative"
	}
	return min(time.Duration(min(ms, int64(timeoutMax/time.Millisecond)))*time.Millisecond, timeoutMax), ""
}
