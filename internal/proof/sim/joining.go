package sim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/trust"
)

// A machine joins as a real one does: the operator has a token made, and the
// machine asks one node after the other with node.Join, again and again from the
// same folder, until it is in. Its power may go, and the network, at any moment.

// applicant is a machine on its way into the cluster.
type applicant struct {
	// rival says that two come from this machine with one token, each with a
	// folder of its own, as if somebody had copied the token. One may get in.
	rival bool
	tries []*attempt
	told  error // what the last attempt that ended has ended with
}

// attempt is one who asks with a token. After run has begun it is the
// goroutine's until done is closed.
type attempt struct {
	place node.Place
	name  string
	// late says that the token is of no use any more, lost that the other one has
	// used it.
	late, lost bool

	cancel context.CancelFunc
	done   chan struct{} // nil: it does not run
	joined *node.Joined
	err    error
}

const (
	// tokenTime is how long the short tokens of some runs are good for.
	tokenTime = 3 * time.Second
	// joinChanges is about how many changes a join makes to the disk.
	joinChanges = 150
)

// rivalPort is where the second of two rivals listens for nodes.
const rivalPort = ":7380"

func (m *machine) apply(rival bool) {
	x := m.member()
	m.applicant = &applicant{rival: rival, tries: []*attempt{{name: m.name, place: node.Place{Dir: m.dir, Peer: x.Peer, Client: x.Client, Small: true}}}}
	if rival {
		m.applicant.tries = append(m.applicant.tries, &attempt{name: m.name + "b",
			place: node.Place{Dir: m.dir + "b", Peer: m.name + rivalPort, Client: x.Client, Small: true}})
	}
}

// asks reports whether a process runs on the machine that joins.
func (m *machine) asks() bool {
	if m.applicant != nil {
		for _, try := range m.tries {
			if try.done != nil {
				return true
			}
		}
	}
	return false
}

// registrar is who sees to it that machines become nodes.
type registrar struct{ operator }

// admit goes on with the machines that join: asks, asks again, and starts those
// that are in. The operator sees which are dead.
func (c registrar) admit() {
	c.t.Helper()
	for _, m := range c.machines {
		if m.dead != nil {
			c.desk.orders.died(m.id)
		}
		if m.formed || m.dead != nil || m.applicant == nil {
			continue
		}
		if _, gone := m.disk.gone(); gone { // its power went, as CrashAtChange has asked for
			c.Crash(m.id)
		}
		for _, try := range m.tries {
			switch {
			case try.done != nil:
				c.hear(m, try)
			case try.joined == nil && !try.lost && !try.late:
				c.send(m, try)
			}
		}
		c.decide(m)
	}
}

// send has a machine ask once more, if there are a token and a node to ask.
func (c registrar) send(m *machine, try *attempt) {
	token, ok := c.desk.orders.token(m.id)
	if !ok {
		return
	}
	m.asked++
	host := c.host(m)
	c.Net.Up(m.name)
	cfg := node.Config{Dir: try.place.Dir, FS: m.disk.fs(), Dial: c.Net.sealed(m.name)}
	cfg.Clock.Wall, cfg.Clock.Mono = m.clock.Wall, m.clock.Mono
	j := node.Joining{Place: try.place, Addr: host.member().Peer, Token: token, Name: try.name}
	ctx, cancel := context.WithCancel(context.Background())
	try.cancel, try.done = cancel, make(chan struct{})
	m.closing.Go(func() {
		defer close(try.done)
		try.joined, try.err = node.Join(ctx, cfg, j)
	})
}

// host is the node whose turn it is to be asked, among those of which nobody knows
// that they are gone: one after the other, as each that is silent takes its time.
func (c registrar) host(m *machine) *machine {
	var hosts []*machine
	for _, x := range c.machines {
		if in, out := c.desk.orders.isIn(x.id); in && !out && !c.desk.orders.isDead(x.id) {
			hosts = append(hosts, x)
		}
	}
	return hosts[m.asked%len(hosts)]
}

// hear looks at what has become of an attempt, if it has ended.
func (c registrar) hear(m *machine, try *attempt) {
	c.t.Helper()
	select {
	case <-try.done:
	default:
		return
	}
	try.cancel()
	try.done = nil
	m.told = try.err
	refused, _ := errors.AsType[*node.RefusedError](try.err)
	switch {
	case try.err == nil:
	case errors.Is(try.err, node.ErrNodeThere):
		// The power went when all was done but the answer.
		self, err := node.ReadSelf(m.disk.mem, try.place.Dir)
		known, rerr := node.ReadMap(m.disk.mem, try.place.Dir)
		if err := errors.Join(err, rerr); err != nil {
			c.t.Fatalf("%s node %d has joined, but: %v", stamp(), m.id, err)
		}
		try.joined = &node.Joined{Self: self, Map: known}
	case errors.Is(try.err, trust.ErrPin), errors.Is(try.err, trust.ErrUntrusted): // the authority was replaced since, or is being replaced
		try.late = true
	case refused == nil: // the network, or the other node
	case refused.Code() == "TOKENEXPIRED", refused.Code() == "TOKENUNKNOWN":
		try.late = true
	case refused.Code() == "TOKENUSED":
		try.lost = true
	case refused.Code() == "NAMETAKEN", refused.Code() == "ADDRTAKEN":
		c.t.Errorf("%s node %d is told: %s", stamp(), m.id, refused)
	}
}

// decide makes a node of a machine that is in, and gets another token for one
// that came too late. With a token of which nothing is left all of its rivals
// have been told so before there is another.
func (c registrar) decide(m *machine) {
	c.t.Helper()
	var in []*attempt
	lost, late := 0, 0
	for _, try := range m.tries {
		switch {
		case try.done != nil: // its outcome is not this goroutine's yet
		case try.joined != nil:
			in = append(in, try)
		case try.lost:
			lost++
		case try.late:
			late++
		}
	}
	switch {
	case len(in) > 1:
		c.t.Fatalf("%s one token has let two machines in: %+v and %+v", stamp(), in[0].joined.Self, in[1].joined.Self)
	case len(in)+lost+late < len(m.tries): // somebody still asks
	case len(in) == 1:
		c.takeIn(m, in[0])
	case late > 0:
		c.desk.orders.spoil(m.id)
		for _, try := range m.tries {
			try.late = false
		}
	default:
		c.t.Fatalf("%s a token was used up, and has let nobody in: node %d", stamp(), m.id)
	}
}

// takeIn starts a machine that is in.
func (c registrar) takeIn(m *machine, try *attempt) {
	c.t.Helper()
	if id := int(try.joined.Self.Node); id != m.id {
		c.t.Fatalf("%s machine %d has joined as node %d", stamp(), m.id, id)
	}
	m.dir, m.peer, m.applicant, m.formed = try.place.Dir, try.place.Peer, nil, true
	// What Join has returned from must survive a power cut.
	c.replace(m, func(d *disk) *vfs.MemFS { return d.crash(c.Rand, 0) })
	c.Start(m.id)
	c.desk.orders.arrived(m.id)
	for _, l := range c.loads {
		if !m.leaves {
			l.learn(m.id)
		}
	}
}

// interrupt ends the processes of a machine that joins.
func (m *machine) interrupt() {
	if m.applicant == nil {
		return
	}
	for i, try := range m.tries {
		if try.done != nil {
			try.cancel()
			// The goroutine goes on with the old one, and nobody looks.
			m.tries[i] = &attempt{place: try.place, name: try.name}
		}
	}
}

// welcome secures a connection of a machine that joins, as a node does that
// leaves the connections of others bare.
func welcome(ctx context.Context, conn net.Conn, d *disk, dir string) (net.Conn, cluster.NodeID, error) {
	ident, err := trust.Load(d.mem, dir)
	if err != nil {
		return nil, 0, err
	}
	t := tls.Server(conn, trust.JoinServer(ident))
	return t, 0, t.HandshakeContext(ctx)
}

// checkMembers compares the members with the machines that have joined.
func (c registrar) checkMembers() {
	c.t.Helper()
	var now mapText
	c.await("nobody tells the map", func() (ok bool, text string) {
		now, ok = c.now()
		return ok, ""
	})
	for _, m := range c.machines {
		in, out := c.desk.orders.isIn(m.id)
		if x := now.member(m.id); (x != nil) != (in && !out) {
			c.t.Errorf("%s node %d, in %t, out %t: the map has %+v", stamp(), m.id, in, out, x)
		}
	}
	for _, x := range now.Members {
		if int(x.ID) > len(c.machines) {
			c.t.Errorf("%s a member that nobody has ordered: %+v", stamp(), x)
		}
	}
}

// onTheirWay says how far those are who join.
func (c registrar) onTheirWay() string {
	var all []string
	for _, m := range c.machines {
		if m.applicant == nil || m.dead != nil {
			continue
		}
		_, token := c.desk.orders.token(m.id)
		text := fmt.Sprintf("%s has a token: %t, asked %d times, up: %t", m.name, token, m.asked, c.Up(m.id))
		for _, try := range m.tries {
			if try.done != nil {
				text += fmt.Sprintf(", asks; before: %v", m.told)
				continue
			}
			text += fmt.Sprintf(", late: %t, lost: %t, last: %v", try.late, try.lost, try.err)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// waitIn waits until all who join are in.
func (c registrar) waitIn() {
	c.t.Helper()
	c.await("somebody is not in", func() (bool, string) {
		for _, m := range c.machines {
			if m.applicant != nil && m.dead == nil {
				return false, fmt.Sprintf("node %d: %+v", m.id, *m.tries[0])
			}
		}
		return true, ""
	})
}
