package server

import (
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
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
	writes := cmd.Flags&command.Write != 0 || cmd.Name == "exec" && c.multi != nil && c.multi.writes()
	for {
		wait, ended := p.state(writes)
		if wait <= 0 {
			return
		}
		c.flush()
		if c.write() != nil {
			c.closed = true
			return
		}
		c.blocked.Store(true)
		c.s.stats.blocked.Add(1)
		c.sleep(wait, ended)
		c.s.stats.blocked.Add(-1)
		c.blocked.Store(false)
		if c.closed {
			return
		}
	}
}

// sleep waits until d has passed or ended is closed, or until the connection
// has to close.
func (c *conn) sleep(d time.Duration, ended <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ended:
	case <-c.gone:
		c.closed = true
	case <-c.s.ctx.Done():
		c.closed = true
	}
}

func (m *multi) writes() bool {
	for i := range m.queue {
		if m.queue[i].cmd.Flags&command.Write != 0 {
			return true
		}
	}
	return false
}

func clientPause(c *conn, args [][]byte) {
	all := true
	if len(args) > 4 {
		c.error(errSyntax)
		return
	}
	if len(args) == 4 {
		switch {
		case is(args[3], "WRITE"):
			all = false
		case !is(args[3], "ALL"):
			c.error("ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	}
	wait, text := parseTimeout(args[2])
	if text != "" {
		c.error(text)
		return
	}
	c.s.pause.begin(time.Now().Add(wait), all)
	c.ok()
}

func clientUnpause(c *conn, _ [][]byte) {
	c.s.pause.end()
	c.ok()
}

// timeoutMax keeps sums with the time now within what a Duration holds.
const timeoutMax = 100 * 365 * 24 * time.Hour

// parseTimeout parses milliseconds; text is the error that Redis gives.
func parseTimeout(arg []byte) (d time.Duration, text string) {
	ms, ok := parseInt(arg)
	switch {
	case !ok:
		return 0, "ERR timeout is not an integer or out of range"
	case ms < 0:
		return 0, "ERR timeout is negative"
	}
	return min(time.Duration(min(ms, int64(timeoutMax/time.Millisecond)))*time.Millisecond, timeoutMax), ""
}
