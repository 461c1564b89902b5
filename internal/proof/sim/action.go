package sim

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/proof/action"
)

// errMoot says that an action makes no sense in the cluster as it is: the node
// is down already, or dead. A schedule that is run again meets other moments
// than the run that it was written in.
var errMoot = errors.New("moot")

// actions are what can be done to a cluster: the lines of package action, and
//
//	crash N keep=PERCENT seed=S          power cut; what was not synced stays in part
//	crash N torn seed=S                  power cut in the middle of a write
//	crash-at N change=K keep=P seed=S    power cut before the K-th change to the disk
//	link A>B loss=.1 delay=5ms jitter=1ms drop=.1 dup=.1 reorder=.1 flip=.01
//	clock N jump=1h | clock N rate=0.9   rate 0: stands still
//	disk N sync=200ms                    fsyncs of the log take so long; 0: as usual
//	fail N op=sync|write|read on=wal|vow|table|counters|starts|node.json error=eio|enospc
//	                                     one operation fails; enospc: all from now on
//	full N | room N                      what the disk says of its free space; room ends enospc
//	lie N on=log|state                   fsyncs there do nothing from now on
//	lose N seed=S                        power cut that shows what was lied about
//	lose-log N                           the newest part of the log of a node that is down
//	flip N on=wal|vow|table|manifest|counters|starts|node.json|map seed=S   one bit of a node that is down
//	join N [rival] [ttl=8s]              a node more, the N-th, which comes with a token, and starts once it was
//	                                     taken in; rival: two come with the same token
//	place SHARD N …                      plans on which nodes the replicas of a shard are
//	drain N | undrain N                  has the replicas of a node move to others; or no more
//	remove N                             takes a node out as soon as it has no replicas
//	policy NAME VALUE …                  see TUTTI.POLICY
//	rotate                               has the authority of the cluster replaced
//	die N                                power cut for ever
//
// All from join to rotate are an operator's orders: they are given at once, and
// carried out in their order when the cluster can do it.
var actions = map[string]func(c *Cluster, a *action.Action) error{
	"start":    (*Cluster).doStart,
	"stop":     when((*Cluster).Up, (*Cluster).Stop),
	"kill":     when(runs, (*Cluster).Kill),
	"pause":    when((*Cluster).Up, (*Cluster).Pause),
	"resume":   func(c *Cluster, a *action.Action) error { c.Resume(a.Node(c.Nodes())); return nil },
	"crash":    (*Cluster).doCrash,
	"crash-at": (*Cluster).doCrashAt,
	"cut":      func(c *Cluster, a *action.Action) error { return c.doCut(a, true) },
	"mend":     func(c *Cluster, a *action.Action) error { return c.doCut(a, false) },
	"link":     (*Cluster).doLink,
	"reset":    func(c *Cluster, a *action.Action) error { c.Net.Reset(a.Word(0), a.Word(1)); return nil },
	"clock":    (*Cluster).doClock,
	"disk":     (*Cluster).doDisk,
	"fail":     (*Cluster).doFail,
	"full":     func(c *Cluster, a *action.Action) error { c.machine(a.Node(c.Nodes())).room.say(saidFull); return nil },
	"room":     (*Cluster).doRoom,
	"lie":      (*Cluster).doLie,
	"lose":     (*Cluster).doLose,
	"lose-log": (*Cluster).doLoseLog,
	"flip":     (*Cluster).doFlip,
	"join":     ordered(operator.doJoin),
	"place":    ordered(operator.doPlace),
	"remove":   ordered(operator.doRemove),
	"die":      ordered(operator.doDie),
	"drain":    ordered(operator.doDrain),
	"undrain":  ordered(operator.doDrain),
	"policy":   ordered(operator.doPolicy),
	"rotate":   ordered(operator.doRotate),
}

func ordered(do func(o operator, a *action.Action) error) func(c *Cluster, a *action.Action) error {
	return func(c *Cluster, a *action.Action) error { return do(operator{c}, a) }
}

// Do does what a line of text says. moot is why it did not, if that is no
// mistake: errMoot, or why a node could not start.
func (c *Cluster) Do(line string) (moot, err error) {
	a := action.Parse(line)
	do := actions[a.Name]
	if do == nil {
		return nil, fmt.Errorf("no action %q", line)
	}
	c.Reap()
	registrar{operator{c}}.admit()
	moot = do(c, a)
	if a.Err() != nil {
		return nil, fmt.Errorf("%s: %w", line, a.Err())
	}
	return moot, nil
}

// when does something to a machine of which something is so.
func when(is func(c *Cluster, i int) bool, do func(c *Cluster, i int)) func(c *Cluster, a *action.Action) error {
	return func(c *Cluster, a *action.Action) error {
		i := a.Node(c.Nodes())
		if a.Err() != nil || !is(c, i) {
			return errMoot
		}
		do(c, i)
		return nil
	}
}

// runs reports whether there is a process on machine i that can end: a node, or
// one that is to become one.
func runs(c *Cluster, i int) bool { return c.Up(i) || c.machine(i).asks() }

func (c *Cluster) doStart(a *action.Action) error {
	i := a.Node(c.Nodes())
	if c.Up(i) || !c.machine(i).formed {
		return errMoot
	}
	return c.TryStart(i)
}

func (c *Cluster) doCrash(a *action.Action) error {
	i, r := a.Node(c.Nodes()), a.Rand()
	keep := 0
	torn := len(a.Words) > 1 && a.Word(1) == "torn"
	if !torn {
		keep = a.Int("keep")
	}
	if a.Err() != nil || !runs(c, i) {
		return errMoot
	}
	c.Net.Down(c.Name(i), false)
	c.end(i, func(d *disk) *vfs.MemFS {
		if !torn {
			return d.crash(r, keep)
		}
		mem, err := tear(d.mem, r)
		a.Fail(err)
		return mem
	})
	return nil
}

func (c *Cluster) doCrashAt(a *action.Action) error {
	i, n, keep, r := a.Node(c.Nodes()), a.Int("change"), a.Int("keep"), a.Rand()
	m := c.machine(i)
	if a.Err() != nil || m.dead != nil {
		return errMoot
	}
	m.disk.cutAfter(n, "", keep, r, func() { c.Net.Down(m.name, false) })
	return nil
}

func (c *Cluster) doCut(a *action.Action, cut bool) error {
	for i := range a.Words {
		from, to := a.Way(i)
		c.Net.Set(from, to, func(p *Path) { p.Cut = cut })
	}
	return nil
}

func (c *Cluster) doLink(a *action.Action) error {
	from, to := a.Way(0)
	next := Path{Loss: a.Float("loss"), Delay: a.Duration("delay", delayDefault), Jitter: a.Duration("jitter", jitterDefault),
		Frames: Frames{Drop: a.Float("drop"), Duplicate: a.Float("dup"), Reorder: a.Float("reorder"), Flip: a.Float("flip")}}
	if a.Err() != nil {
		return nil
	}
	c.Net.Set(from, to, func(p *Path) {
		next.Cut, next.BytesMax = p.Cut, p.BytesMax
		*p = next
	})
	return nil
}

func (c *Cluster) doClock(a *action.Action) error {
	k := c.Clock(a.Node(c.Nodes()))
	k.Jump(a.Duration("jump", 0))
	if a.Set["rate"] != "" {
		k.Drift(a.Float("rate"))
	}
	return nil
}

func (c *Cluster) doDisk(a *action.Action) error {
	i, d := a.Node(c.Nodes()), a.Duration("sync", 0)
	if a.Err() != nil || !c.Up(i) {
		return errMoot
	}
	c.SlowDisk(i, d)
	return nil
}

func (c *Cluster) doFail(a *action.Action) error {
	f := failure{op: a.Set["op"], on: a.Set["on"], err: syscall.EIO, once: true}
	if a.Set["error"] == "enospc" {
		f.err, f.once = syscall.ENOSPC, false
	}
	c.machine(a.Node(c.Nodes())).disk.setFail(f)
	return nil
}

func (c *Cluster) doRoom(a *action.Action) error {
	m := c.machine(a.Node(c.Nodes()))
	m.disk.setFail(failure{})
	if m.room.made() {
		m.room.say(saidPlenty)
	}
	return nil
}

func (c *Cluster) doLie(a *action.Action) error {
	i := a.Node(c.Nodes())
	m := c.machine(i)
	if a.Err() != nil || !c.Up(i) {
		return errMoot
	}
	m.disk.setLies(m.dir + "/" + a.Set["on"])
	return nil
}

// vowLag is more than the vow lags behind the log.
const vowLag = 50 * time.Millisecond

// doLose cuts the power so that nothing is left of what the disk lied about.
// The network goes first, and the vow gets time to tell of all that peers heard
// of: what is lost behind the last vow is beyond detection, see GUARANTEES.
func (c *Cluster) doLose(a *action.Action) error {
	i, r := a.Node(c.Nodes()), a.Rand()
	m := c.machine(i)
	if a.Err() != nil || !c.Up(i) {
		return errMoot
	}
	c.Net.Down(m.name, false)
	time.Sleep(vowLag)
	m.rotten = "its disk has lied about fsyncs"
	c.end(i, func(d *disk) *vfs.MemFS { return d.crash(r, 0) })
	return nil
}

func (c *Cluster) doLoseLog(a *action.Action) error {
	i := a.Node(c.Nodes())
	if a.Err() != nil || c.Up(i) || c.machine(i).dead != nil {
		return errMoot
	}
	c.LoseLogTail(i)
	return nil
}

func (c *Cluster) doFlip(a *action.Action) error {
	i, r := a.Node(c.Nodes()), a.Rand()
	m := c.machine(i)
	if a.Err() != nil || c.Up(i) || m.dead != nil {
		return errMoot
	}
	text, err := flipBit(m.disk.mem, m.dir, a.Set["on"], r)
	a.Fail(err)
	if text == "" {
		return errMoot
	}
	m.rotten = text
	return nil
}
