package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"tutti/internal/proof/action"
	"tutti/internal/proof/netfault"
)

// do does what a line of text says, see package action. Beyond what stands there
// it knows
//
//	ready                       waits until all nodes are there
//	clock N ahead=1h            sets the clock of a node of tutti, also while it runs
//	link A>B delay=5ms jitter=1ms rate=65536 tamper=4096
//
// where rate is bytes in a second, and tamper the mean distance of flipped bits.
func (b *bed) do(ctx context.Context, line string) error {
	a := action.Parse(line)
	var err error
	switch a.Name {
	case "start", "stop", "kill", "pause", "resume":
		err = b.process(a.Name, a.Node(len(b.nodes))-1)
	case "cut", "mend":
		for i := range a.Words {
			from, to := a.Way(i)
			b.net.Set(from, to, func(p *netfault.Path) { p.Cut = a.Name == "cut" })
		}
	case "link":
		b.link(a)
	case "clock":
		err = b.nodes[a.Node(len(b.nodes))-1].clock(a.Duration("ahead", 0))
	case "reset":
		b.net.Reset(a.Word(0), a.Word(1))
	case "ready":
		err = b.ready(ctx)
	default:
		err = fmt.Errorf("no action %q", line)
	}
	a.Fail(err)
	return a.Err()
}

// doAll does actions that do not wait.
func (b *bed) doAll(lines []string) error {
	for _, line := range lines {
		if err := b.do(context.Background(), line); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

func (b *bed) process(what string, i int) error {
	switch what {
	case "start":
		return b.start(i)
	case "stop":
		b.terminate(i)
	case "kill":
		b.kill(i)
	case "pause":
		b.halt(i)
	case "resume":
		b.resume(i)
	}
	return nil
}

// clock sets how far the clock of a node of tutti is ahead from now on, whether it runs or not.
func (n *bedNode) clock(ahead time.Duration) error {
	next := n.clockFile() + ".next" // the node must not find half of it
	if err := os.WriteFile(next, []byte(ahead.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, n.clockFile())
}

// clockFile says how far the clock of a node of tutti is ahead, if it is there.
func (n *bedNode) clockFile() string { return n.dir + ".clock" }

func (b *bed) link(a *action.Action) {
	from, to := a.Way(0)
	next := netfault.Path{Delay: a.Duration("delay", 0), Jitter: a.Duration("jitter", 0),
		BytesPerSecond: int64(a.Float("rate")), TamperBytes: int64(a.Float("tamper"))}
	if a.Err() != nil {
		return
	}
	b.net.Set(from, to, func(p *netfault.Path) {
		next.Cut = p.Cut
		*p = next
	})
}
