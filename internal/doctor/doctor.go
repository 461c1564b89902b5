// Package doctor judges whether a node and its machine are fit for what a
// cluster asks of them. It is pure: the node gathers the facts.
package doctor

import (
	"fmt"
	"net"
	"time"
)

// State is the outcome of a check.
type State string

// The states, from good to bad.
const (
	Pass State = "pass"
	Warn State = "warn" // it works, and something will hurt
	Fail State = "fail" // something does not work
)

// Check is one thing that was looked at.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	What  string `json:"what"`          // what was found
	Why   string `json:"why,omitempty"` // why it matters; of a check that did not pass
	Do    string `json:"do,omitempty"`  // what mends it
}

// Report is what one node says of itself; TUTTI.DOCTOR answers it.
type Report struct {
	Node    uint64  `json:"node"`
	Version string  `json:"version"`
	Checks  []Check `json:"checks"`
}

// Facts is what the checks of one node go by.
type Facts struct {
	Dir    string
	Disk   Disk
	Fsyncs Fsyncs
	Peers  []Peer
	Files  Files
	Memory Memory
	// Certificate says until when the node's certificate is valid, and Now what time
	// it is. Zero: not known.
	Certificate, Now time.Time
	// Damage is why data of the node was set aside; empty: none was. Kept is where its
	// data lies that the other nodes went on without.
	Damage     string
	Kept       string
	Unreadable uint64 // commands that met a row which can't be read
}

// Disk is the room below the node's folder.
type Disk struct {
	Known bool
	Total uint64
	Left  int64
	Full  bool // writes that need room are refused
}

// Fsyncs is how long those of the log took since the node started.
type Fsyncs struct {
	Count  uint64
	Within time.Duration // 99 of 100 took at most that; 0: longer than is measured
}

// Peer is another node, as this one finds it.
type Peer struct {
	Node uint64
	Addr string // where it serves nodes
	Up   bool   // this node's connections to it stand
	// Ahead is how far its clock is ahead of this node's, if that is known.
	Ahead      time.Duration
	AheadKnown bool
}

// Files is how many file descriptors the process may have, and how many it may
// come to need.
type Files struct{ Limit, Needed uint64 } // Limit 0: not known

// Memory is what the machine, or the control group, lets the process have, what
// the process was told of that, and what its caches and buffers come to. In bytes.
type Memory struct {
	Available uint64 // 0: not known
	Told      uint64 // GOMEMLIMIT; 0: nothing
	Buffers   uint64
}

// Checks judges all facts.
func (f *Facts) Checks() []Check {
	return []Check{f.disk(), f.fsync(), f.links(), f.clocks(), f.files(), f.memory(), f.certificate(), f.data()}
}

// The bounds of the checks.
const (
	// roomShare is the part of a disk below which little is left, roomEnough what is
	// enough on any.
	roomShare  = 10
	roomEnough = 4 << 30
	fsyncMin   = 100 // fewer fsyncs say little
	fsyncWarn  = 100 * time.Millisecond
	fsyncFail  = time.Second
	// AheadWarn is how far clocks may be apart.
	AheadWarn  = time.Second
	expiryWarn = 6 * time.Hour // certificates are renewed long before
)

func (f *Facts) disk() Check {
	c := Check{Name: "disk", State: Pass}
	d := f.Disk
	switch {
	case !d.Known:
		c.State, c.What, c.Why = Warn, "the file system of "+f.Dir+" does not tell how much room it has", "the node learns that its disk is full only when a write is refused"
		c.Do = "keep the node on a file system that tells, such as ext4 or xfs"
		return c
	case d.Full:
		c.State = Fail
		c.Why = "the node refuses writes that need room, and hands what it leads to nodes with room"
	case d.Left < int64(min(d.Total/roomShare, roomEnough)):
		c.State = Warn
		c.Why = "with less than 1 GiB (64 MiB in the small profile) the node refuses writes"
	}
	c.What = fmt.Sprintf("%s of %s left", size(uint64(max(d.Left, 0))), size(d.Total))
	if c.State != Pass {
		c.Do = "make room on the disk of " + f.Dir + ", or make it larger; what takes it: du -xh --max-depth=1 " + f.Dir
	}
	return c
}

func (f *Facts) fsync() Check {
	c := Check{Name: "fsync", State: Pass}
	if f.Fsyncs.Count < fsyncMin {
		c.What = fmt.Sprintf("%d fsyncs since the start, too few to judge the disk by", f.Fsyncs.Count)
		return c
	}
	within := f.Fsyncs.Within
	c.What = fmt.Sprintf("99 of 100 fsyncs took at most %v", within)
	switch {
	case within == 0:
		c.State, c.What = Fail, "more than one fsync in a hundred took longer than 10 s"
	case within > fsyncFail:
		c.State = Fail
	case within > fsyncWarn:
		c.State = Warn
	}
	if c.State != Pass {
		c.Why = "every write waits for an fsync on a majority of its copies"
		c.Do = "a disk with power-loss protection, or one that nothing else writes to; what it does now: iostat -x 1"
	}
	return c
}

func (f *Facts) links() Check {
	c := Check{Name: "links", State: Pass, What: fmt.Sprintf("%d of %d other nodes are reached", f.up(), len(f.Peers))}
	if len(f.Peers) == 0 {
		c.What = "there are no other nodes"
	}
	for _, p := range f.Peers {
		if !p.Up {
			c.State = Fail
			c.What += fmt.Sprintf("; node %d at %s is not", p.Node, p.Addr)
			c.Why = "it does not run, or what the two have to tell each other goes one way at most; neither counts for the other's majority"
			c.Do = "from the machine of this node: nc -vz " + hostPort(p.Addr)
		}
	}
	return c
}

func (f *Facts) up() (n int) {
	for _, p := range f.Peers {
		if p.Up {
			n++
		}
	}
	return n
}

func (f *Facts) clocks() Check {
	c := Check{Name: "clock", State: Pass}
	var worst Peer
	known := 0
	for _, p := range f.Peers {
		if p.AheadKnown {
			known++
			if p.Ahead.Abs() >= worst.Ahead.Abs() {
				worst = p
			}
		}
	}
	if known == 0 {
		c.What = "no other clock is known"
		return c
	}
	c.What = fmt.Sprintf("at most %v off those of %d other nodes", worst.Ahead.Abs().Round(time.Millisecond), known)
	if worst.Ahead.Abs() > AheadWarn {
		way := "ahead of"
		if worst.Ahead < 0 {
			way = "behind"
		}
		c.State = Warn
		c.What = fmt.Sprintf("the clock of node %d is %v %s this one's", worst.Node, worst.Ahead.Abs().Round(time.Millisecond), way)
		c.Why = "nothing that is promised depends on it, but keys expire by the median of the clocks, and logs of two machines do not fit together"
		c.Do = "on the machine whose clock is wrong: timedatectl set-ntp true"
	}
	return c
}

func (f *Facts) files() Check {
	c := Check{Name: "files", State: Pass}
	switch {
	case f.Files.Limit == 0:
		c.What = "the limit of file descriptors is not known here"
	case f.Files.Limit < f.Files.Needed:
		c.State = Warn
		c.What = fmt.Sprintf("%d file descriptors allowed, up to %d needed", f.Files.Limit, f.Files.Needed)
		c.Why = "a node without descriptors takes no clients, and can't open its tables"
		c.Do = fmt.Sprintf("LimitNOFILE=%d in the unit, or ulimit -n %d before the start; or fewer clients: CONFIG SET maxclients", limitGood, limitGood)
	default:
		c.What = fmt.Sprintf("%d file descriptors allowed", f.Files.Limit)
	}
	return c
}

const limitGood = 65536

func (f *Facts) memory() Check {
	c := Check{Name: "memory", State: Pass}
	m := f.Memory
	mebibytes := func(n uint64) string { return fmt.Sprintf("GOMEMLIMIT=%dMiB", n>>20) }
	switch {
	case m.Available == 0:
		c.What = "the memory of this machine is not known"
	case m.Told > m.Available:
		c.State = Warn
		c.What = fmt.Sprintf("GOMEMLIMIT is %s, the process may have %s", size(m.Told), size(m.Available))
		c.Why = "the kernel ends the process before it finds out that it should take less"
		c.Do = mebibytes(m.Available/10*9) + " in the node's environment"
	case m.Told == 0 && m.Buffers > m.Available/2:
		c.State = Warn
		c.What = fmt.Sprintf("caches and buffers come to %s, the process may have %s", size(m.Buffers), size(m.Available))
		c.Why = "the kernel ends a process that takes too much"
		c.Do = mebibytes(m.Available/10*9) + " in the node's environment, by which they are made to fit"
	default:
		c.What = fmt.Sprintf("%s of caches and buffers at most, of %s", size(m.Buffers), size(m.Available))
	}
	return c
}

func (f *Facts) certificate() Check {
	c := Check{Name: "certificate", State: Pass, What: "its end is not known"}
	if f.Certificate.IsZero() {
		return c
	}
	left := f.Certificate.Sub(f.Now)
	c.What = fmt.Sprintf("valid for another %v", left.Round(time.Minute))
	if left < expiryWarn {
		c.State = Warn
		if left < 0 {
			c.What = fmt.Sprintf("expired %v ago", (-left).Round(time.Minute))
		}
		c.Why = "nodes go on without, but clients refuse to speak TLS with this node; it should have been renewed by itself"
		c.Do = "tutti cert renew; a majority has to be up for that, and the node's log says why it did not come by itself"
	}
	return c
}

func (f *Facts) data() Check {
	c := Check{Name: "data", State: Pass, What: "nothing is damaged, as far as it has been read"}
	switch {
	case f.Damage != "":
		c.State, c.What = Warn, "it was damaged and is being made anew: "+f.Damage
		c.Why = "until that is done this node does not count for a majority"
		c.Do = "wait, and keep the others running; if it comes again, replace the disk"
	case f.Kept != "":
		c.State, c.What = Warn, "the other nodes went on without what had been committed here: "+f.Kept
		c.Why = "that folder may hold acknowledged writes that are nowhere else"
		c.Do = "docs/OPERATIONS.md, When something is wrong; remove the folder when nothing in it is needed"
	case f.Unreadable > 0:
		c.State, c.What = Fail, fmt.Sprintf("%d commands met a row that can't be read", f.Unreadable)
		c.Why = "commands on such a key fail"
		c.Do = "look for the key in the node's log; docs/OPERATIONS.md, BADROW"
	}
	return c
}

// size is a number of bytes as people read it.
func size(n uint64) string {
	f, unit := float64(n), 0
	for f >= 1024 && unit < 4 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.4g %s", f, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[unit])
}

// hostPort is an address as nc takes it.
func hostPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host + " " + port
}
