package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errMoot says that an action makes no sense in the cluster as it is: the node
// is down already, or dead. A schedule that is run again meets other moments
// than the run that it was written in.
var errMoot = errors.New("moot")

// actions are what can be done to a cluster, one line of text each: a word,
// what it is done to, and name=value settings.
//
//	start N | stop N | kill N | pause N | resume N
//	crash N keep=PERCENT seed=S          power cut; what was not synced stays in part
//	crash N torn seed=S                  power cut in the middle of a write
//	crash-at N change=K keep=P seed=S    power cut before the K-th change to the disk
//	cut A>B … | mend A>B …               directions between hosts
//	link A>B loss=.1 delay=5ms jitter=1ms drop=.1 dup=.1 reorder=.1 flip=.01
//	reset A B                            all connections of two hosts break
//	clock N jump=1h | clock N rate=0.9   rate 0: stands still
//	disk N sync=200ms                    fsyncs of the log take so long; 0: as usual
//	fail N op=sync|write|read on=wal|vow|table|counters|starts|node.json error=eio|enospc
//	                                     one operation fails; enospc: all from now on
//	full N | room N                      what the disk says of its free space; room ends enospc
//	lie N on=log|state                   fsyncs there do nothing from now on
//	lose N seed=S                        power cut that shows what was lied about
//	lose-log N                           the newest part of the log of a node that is down
//	flip N on=wal|vow|table|manifest|counters|starts|node.json seed=S   one bit of a node that is down
var actions = map[string]func(c *Cluster, a *args) error{
	"start":    (*Cluster).doStart,
	"stop":     whenUp((*Cluster).Stop),
	"kill":     whenUp((*Cluster).Kill),
	"pause":    whenUp((*Cluster).Pause),
	"resume":   func(c *Cluster, a *args) error { c.Resume(a.node(c)); return nil },
	"crash":    (*Cluster).doCrash,
	"crash-at": (*Cluster).doCrashAt,
	"cut":      func(c *Cluster, a *args) error { return c.doCut(a, true) },
	"mend":     func(c *Cluster, a *args) error { return c.doCut(a, false) },
	"link":     (*Cluster).doLink,
	"reset":    func(c *Cluster, a *args) error { c.Net.Reset(a.word(0), a.word(1)); return nil },
	"clock":    (*Cluster).doClock,
	"disk":     (*Cluster).doDisk,
	"fail":     (*Cluster).doFail,
	"full":     func(c *Cluster, a *args) error { c.machine(a.node(c)).room.say(saidFull); return nil },
	"room":     (*Cluster).doRoom,
	"lie":      (*Cluster).doLie,
	"lose":     (*Cluster).doLose,
	"lose-log": (*Cluster).doLoseLog,
	"flip":     (*Cluster).doFlip,
}

// Do does what a line of text says. moot is why it did not, if that is no
// mistake: errMoot, or why a node could not start.
func (c *Cluster) Do(line string) (moot, err error) {
	a := parseArgs(line)
	do := actions[a.name]
	if do == nil {
		return nil, fmt.Errorf("no action %q", line)
	}
	c.Reap()
	moot = do(c, a)
	if a.err != nil {
		return nil, fmt.Errorf("%s: %w", line, a.err)
	}
	return moot, nil
}

// args are the words of an action. The first mistake is kept in err.
type args struct {
	name  string
	words []string
	set   map[string]string
	err   error
}

func parseArgs(line string) *args {
	a := &args{set: make(map[string]string)}
	for i, w := range strings.Fields(line) {
		name, value, ok := strings.Cut(w, "=")
		switch {
		case i == 0:
			a.name = w
		case ok:
			a.set[name] = value
		default:
			a.words = append(a.words, w)
		}
	}
	return a
}

func (a *args) fail(err error) {
	if a.err == nil && err != nil {
		a.err = err
	}
}

func (a *args) word(i int) string {
	if i >= len(a.words) {
		a.fail(fmt.Errorf("%d words are too few", len(a.words)))
		return ""
	}
	return a.words[i]
}

// node is the first word; node 1 if it is none.
func (a *args) node(c *Cluster) int {
	i, err := strconv.Atoi(a.word(0))
	if err == nil && (i < 1 || i > len(c.machines)) {
		err = fmt.Errorf("no node %d", i)
	}
	if err != nil {
		a.fail(err)
		return 1
	}
	return i
}

func (a *args) int(name string) int {
	n, err := strconv.Atoi(a.set[name])
	if err != nil {
		a.fail(err)
	}
	return n
}

// float is 0 if it is not set.
func (a *args) float(name string) float64 {
	f, err := strconv.ParseFloat(or(a.set[name], "0"), 64)
	if err != nil {
		a.fail(err)
	}
	return f
}

func (a *args) duration(name string, d time.Duration) time.Duration {
	text := a.set[name]
	if text == "" {
		return d
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		a.fail(err)
	}
	return d
}

func (a *args) rand() *rand.Rand {
	n, err := strconv.ParseUint(a.set["seed"], 10, 64)
	if err != nil {
		a.fail(err)
	}
	return rand.New(rand.NewPCG(n, 4))
}

// whenUp does something to a node that runs.
func whenUp(do func(c *Cluster, i int)) func(c *Cluster, a *args) error {
	return func(c *Cluster, a *args) error {
		i := a.node(c)
		if a.err != nil || !c.Up(i) {
			return errMoot
		}
		do(c, i)
		return nil
	}
}

func (c *Cluster) doStart(a *args) error {
	i := a.node(c)
	if c.Up(i) {
		return errMoot
	}
	return c.TryStart(i)
}

func (c *Cluster) doCrash(a *args) error {
	i, r := a.node(c), a.rand()
	keep := 0
	torn := len(a.words) > 1 && a.word(1) == "torn"
	if !torn {
		keep = a.int("keep")
	}
	if a.err != nil || !c.Up(i) {
		return errMoot
	}
	c.Net.Down(c.Name(i), false)
	c.end(i, func(d *disk) *vfs.MemFS {
		if !torn {
			return d.crash(r, keep)
		}
		mem, err := tear(d.mem, r)
		a.fail(err)
		return mem
	})
	return nil
}

func (c *Cluster) doCrashAt(a *args) error {
	i, n, keep, r := a.node(c), a.int("change"), a.int("keep"), a.rand()
	m := c.machine(i)
	if a.err != nil || m.dead != nil {
		return errMoot
	}
	m.disk.cutAfter(n, "", keep, r, func() { c.Net.Down(m.name, false) })
	return nil
}

func (c *Cluster) doCut(a *args, cut bool) error {
	for i := range a.words {
		from, to, _ := strings.Cut(a.word(i), ">")
		c.Net.Set(from, to, func(p *Path) { p.Cut = cut })
	}
	return nil
}

func (c *Cluster) doLink(a *args) error {
	from, to, _ := strings.Cut(a.word(0), ">")
	next := Path{Loss: a.float("loss"), Delay: a.duration("delay", delayDefault), Jitter: a.duration("jitter", jitterDefault),
		Frames: Frames{Drop: a.float("drop"), Duplicate: a.float("dup"), Reorder: a.float("reorder"), Flip: a.float("flip")}}
	if a.err != nil {
		return nil
	}
	c.Net.Set(from, to, func(p *Path) {
		next.Cut, next.BytesMax = p.Cut, p.BytesMax
		*p = next
	})
	return nil
}

func (c *Cluster) doClock(a *args) error {
	k := c.Clock(a.node(c))
	k.Jump(a.duration("jump", 0))
	if a.set["rate"] != "" {
		k.Drift(a.float("rate"))
	}
	return nil
}

func (c *Cluster) doDisk(a *args) error {
	i, d := a.node(c), a.duration("sync", 0)
	if a.err != nil || !c.Up(i) {
		return errMoot
	}
	c.SlowDisk(i, d)
	return nil
}

func (c *Cluster) doFail(a *args) error {
	f := failure{op: a.set["op"], on: a.set["on"], err: syscall.EIO, once: true}
	if a.set["error"] == "enospc" {
		f.err, f.once = syscall.ENOSPC, false
	}
	c.machine(a.node(c)).disk.setFail(f)
	return nil
}

func (c *Cluster) doRoom(a *args) error {
	m := c.machine(a.node(c))
	m.disk.setFail(failure{})
	if m.room.made() {
		m.room.say(saidPlenty)
	}
	return nil
}

func (c *Cluster) doLie(a *args) error {
	i := a.node(c)
	m := c.machine(i)
	if a.err != nil || !c.Up(i) {
		return errMoot
	}
	m.disk.setLies(m.dir + "/" + a.set["on"])
	return nil
}

// vowLag is more than the vow lags behind the log.
const vowLag = 50 * time.Millisecond

// doLose cuts the power so that nothing is left of what the disk lied about.
// The network goes first, and the vow gets time to tell of all that peers heard
// of: what is lost behind the last vow is beyond detection, see GUARANTEES.
func (c *Cluster) doLose(a *args) error {
	i, r := a.node(c), a.rand()
	m := c.machine(i)
	if a.err != nil || !c.Up(i) {
		return errMoot
	}
	c.Net.Down(m.name, false)
	time.Sleep(vowLag)
	m.rotten = "its disk has lied about fsyncs"
	c.end(i, func(d *disk) *vfs.MemFS { return d.crash(r, 0) })
	return nil
}

func (c *Cluster) doLoseLog(a *args) error {
	i := a.node(c)
	if a.err != nil || c.Up(i) || c.machine(i).dead != nil {
		return errMoot
	}
	c.LoseLogTail(i)
	return nil
}

func (c *Cluster) doFlip(a *args) error {
	i, r := a.node(c), a.rand()
	m := c.machine(i)
	if a.err != nil || c.Up(i) || m.dead != nil {
		return errMoot
	}
	text, err := flipBit(m.disk.mem, m.dir, a.set["on"], r)
	a.fail(err)
	if text == "" {
		return errMoot
	}
	m.rotten = text
	return nil
}
