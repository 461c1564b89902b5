package server

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
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

// hold makes the connection wait while the server is paused for a command. What came
// before in the pipeline is answered first.
func (c *conn) hold(cmd *command.Command, args [][]byte) {
	p := &c.s.pause
	if !p.active.Load() || cmd.Name == "client|unpause" {
		return
	}
	if c.flush(); c.closed {
		return
	}
	writes := heldBack(c, cmd, args)
	for {
		wait, ended := p.state(writes)
		if wait <= 0 || !c.write() {
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

// heldBack reports whether a pause of writes holds a command back: as in Redis messages
// are among them, and scripts that do not say that they only read.
func heldBack(c *conn, cmd *command.Command, args [][]byte) bool {
	m := c.session.multi
	switch {
	case cmd.Name == "exec" && m != nil:
		return slices.ContainsFunc(m.queue, func(p pending) bool { return heldBack(c, p.cmd, p.args) })
	case cmd.Name == "publish", cmd.Name == "spublish":
		return true
	case cmd.Name == "fcall":
		return !onlyReads(c, string(args[1]))
	case cmd.RunsScript():
		return cmd.Changes() && !c.s.cfg.Table.ScriptOnlyReads(cmd, args)
	}
	return cmd.Changes()
}

// onlyReads reports whether there is a function of that name that says that it only reads.
func onlyReads(c *conn, function string) bool {
	r := request{s: c.s, c: c}
	libraries, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(askFirst(&r, 3, "TUTTI.FUNCTION", "LIST"))))
	if err != nil {
		return false // the shard that has them does not answer
	}
	for _, library := range libraries.Elems {
		for _, f := range field(library, "functions").Elems {
			if strings.EqualFold(string(field(f, "name").Str), function) {
				return slices.ContainsFunc(field(f, "flags").Elems, func(v resp.Value) bool { return string(v.Str) == "no-writes" })
			}
		}
	}
	return false
}

// field returns the value of a field of a map.
func field(m resp.Value, name string) (v resp.Value) {
	for i := 0; i+1 < len(m.Elems); i += 2 {
		if string(m.Elems[i].Str) == name {
			return m.Elems[i+1]
		}
	}
	return v
}

// sleep waits until d has passed or ended is closed, or the client is gone.
func (c *conn) sleep(d time.Duration, ended <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	if _, how := receive(&c.wait, ended, t.C); how == abandoned {
		c.closed = true
	}
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
