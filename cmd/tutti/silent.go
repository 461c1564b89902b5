package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/node"
)

// A process that is stopped, or whose machine swaps, still gets its connections from the
// kernel, and answers nothing. Commands may wait for long, so their own time tells nothing:
// who waits asks the same node for a sign of life over another connection.
const (
	lifeEvery = 4 * time.Second // from a command, or a sign of life, to the next
	lifeLimit = 5 * time.Second // for a sign of life
)

// settleLimit is for how long a node may not answer before others are asked instead.
const settleLimit = 2 * time.Second

// settleMax bounds how many others are tried.
const settleMax = 6

// isSilence reports whether err is of a node that did not answer in time.
func isSilence(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// lives fails if the node does not answer anything within limit. A refusal is an answer.
func (t target) lives(limit time.Duration) error {
	c, err := t.connect(limit)
	switch {
	case errors.Is(err, errHandshake): // somebody has answered, with a certificate that is in doubt maybe
		return nil
	case err != nil:
		return err
	}
	defer c.Close()
	_, err = c.do(limit, "PING")
	return err
}

// vigil ends the wait of a connection whose node gives no sign of life.
type vigil struct {
	node target
	conn *respConn

	mu    sync.Mutex // guards the rest, and that nobody else uses conn when it is cut off
	timer *time.Timer
	over  bool
	err   error // why the wait was ended
}

// watch begins a vigil over what is asked on conn.
func watch(t target, conn *respConn) *vigil {
	v := &vigil{node: t, conn: conn}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timer = time.AfterFunc(lifeEvery, v.look)
	return v
}

func (v *vigil) look() {
	err := v.node.lives(lifeLimit)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.over:
	case err != nil:
		v.err = err
		_ = v.conn.SetDeadline(time.Unix(1, 0)) // long ago
	default:
		v.timer.Reset(lifeEvery)
	}
}

// end ends the vigil, and returns why it has ended the wait, if it has.
func (v *vigil) end() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	v.timer.Stop()
	return v.err
}

// anyNode is for commands that any node answers: if nobody has said whom to ask, and this
// machine's node does not answer, another one is asked. Call it after targetFlags.
func anyNode(c *cobra.Command, t *target) {
	prepare := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := prepare(c, args); err != nil {
			return err
		}
		if !c.Flags().Changed("addr") && os.Getenv("TUTTI_ADDR") == "" && t.addr == ownAddr() {
			t.settle()
		}
		return nil
	}
}

// settle turns to another node if that of this machine does not answer.
func (t *target) settle() {
	err := t.lives(settleLimit)
	if err == nil {
		return
	}
	why := cause(err).Error()
	if isSilence(err) {
		why = "it is stopped or frozen"
	}
	for _, addr := range otherAddrs() {
		if t.at(addr).lives(settleLimit) == nil {
			fmt.Fprintf(os.Stderr, "the node of this machine does not answer at %s: %s; asking %s\n", t.addr, why, addr)
			t.addr = addr
			return
		}
	}
}

// otherAddrs are where the other nodes serve clients, as far as this machine's node has
// heard; none if it is no member.
func otherAddrs() (list []string) {
	self, ok := ownNode()
	if !ok {
		return nil
	}
	m, err := node.ReadMap(vfs.Default, defaultDir())
	if err != nil {
		return nil
	}
	member := false
	for _, x := range m.Members {
		if x.ID == self.Node {
			member = true
		} else if _, _, err := net.SplitHostPort(x.Client); err == nil {
			list = append(list, x.Client)
		}
	}
	if !member {
		return nil
	}
	slices.Sort(list)
	return list[:min(len(list), settleMax)]
}

// doAskAnother is what helps who has asked a node that does not answer.
func (t target) doAskAnother() string {
	others := []string{"HOST:PORT"}
	if t.addr == ownAddr() {
		if list := otherAddrs(); len(list) > 0 {
			others = list
		}
	}
	return "ask another node: --addr " + strings.Join(others, " or ") + "   and see on its machine what it does: systemctl status tutti"
}

// silence is what is said of a node that does not answer.
func (t target) silence(since time.Duration) string {
	return fmt.Sprintf("the node at %s has answered nothing for %.0f s: it is stopped or frozen, or the way to it is cut", t.addr, since.Seconds())
}

// stuck bounds how long is waited for what goes on by itself while it does not get
// further because a node is silent.
type stuck struct {
	moved time.Time // when it got further last
	said  bool
}

const (
	stuckTell = 5 * time.Second
	stuckMax  = 30 * time.Second
)

// goesOn notes that it got further.
func (p *stuck) goesOn() { p.moved, p.said = time.Now(), false }

// looks reports whether it is time to find out who is silent.
func (p *stuck) looks() bool { return time.Since(p.moved) > stuckTell }

// waits tells once of the nodes it is waited for that are silent. It fails when that has
// lasted too long; what goes on, and again is the command that goes on waiting.
func (p *stuck) waits(silent []node.NodeStatus, what, again string) error {
	if len(silent) == 0 {
		p.said = false
		return nil
	}
	var text, do []string
	for _, x := range silent {
		name := nodeText(x.ID, x.Name)
		text = append(text, fmt.Sprintf("%s has not answered for %.0f s", name, (time.Duration(x.SilentMS)*time.Millisecond).Seconds()))
		do = append(do, fmt.Sprintf("see whether tutti runs on %s (%s); if it never comes back:  tutti node remove %s", name, x.Client, idWord(x.ID)))
	}
	if time.Since(p.moved) > stuckMax {
		return &exitError{code: exitUnavailable, what: strings.Join(text, ", ") + ": " + what + " waits for that", safe: what + " goes on by itself",
			do: strings.Join(append(do, "then "+again), "\n         ")}
	}
	if !p.said {
		p.said = true
		fmt.Printf("%s; it is waited for\n", strings.Join(text, ", "))
	}
	return nil
}
