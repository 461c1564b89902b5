package action

import (
	"fmt"
	"strings"
	"time"
)

// Plan is one fault: the actions that begin and end it.
type Plan struct {
	Begin, End []string
	Nodes      []int         // that no other fault may stop meanwhile
	Last       time.Duration // at least
}

// Halt stops a node in some way, and starts it again.
func Halt(how string, node int) *Plan {
	return &Plan{Begin: []string{fmt.Sprint(how, " ", node)}, End: []string{fmt.Sprint("start ", node)}, Nodes: []int{node}}
}

// Pause lets a node stand still. It is down for the others, and must not be
// stopped meanwhile.
func Pause(node int) *Plan {
	return &Plan{Begin: []string{fmt.Sprint("pause ", node)}, End: []string{fmt.Sprint("resume ", node)}, Nodes: []int{node}}
}

// Way is a direction between hosts.
func Way(from, to string) string { return from + ">" + to }

// Cut cuts directions and mends them again.
func Cut(ways ...string) *Plan {
	list := strings.Join(ways, " ")
	return &Plan{Begin: []string{"cut " + list}, End: []string{"mend " + list}}
}

// Deaf lets nothing through from others to a host.
func Deaf(host string, others ...string) *Plan {
	var ways []string
	for _, o := range others {
		ways = append(ways, Way(o, host))
	}
	return Cut(ways...)
}

// Mute lets nothing through from a host to others.
func Mute(host string, others ...string) *Plan {
	var ways []string
	for _, o := range others {
		ways = append(ways, Way(host, o))
	}
	return Cut(ways...)
}

// Isolate cuts a host from others, both ways. With one other it makes a bridge:
// both reach all the rest.
func Isolate(host string, others ...string) *Plan {
	var ways []string
	for _, o := range others {
		ways = append(ways, Way(host, o), Way(o, host))
	}
	return Cut(ways...)
}

// Link gives both directions between a host and others a behaviour.
func Link(settings, host string, others ...string) *Plan {
	p := &Plan{}
	for _, o := range others {
		for _, w := range []string{Way(host, o), Way(o, host)} {
			p.Begin = append(p.Begin, "link "+w+" "+settings)
			p.End = append(p.End, "link "+w)
		}
	}
	return p
}

// Reset breaks the connections between a host and others, once.
func Reset(host string, others ...string) *Plan {
	p := &Plan{}
	for _, o := range others {
		p.Begin = append(p.Begin, "reset "+host+" "+o)
	}
	return p
}
