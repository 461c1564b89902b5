package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// stats is what a run, or many, amounted to.
type stats struct {
	Seeds, Failed         int
	Virtual               time.Duration // life of clusters
	CPU                   time.Duration // of the processes that simulated them
	Ops, Refused, Unknown int
	// Damaged nodes that came back, nodes that did not start any more, nodes that
	// were taken out.
	Rebuilt, Dead, Removed int
	Faults                 map[string]int
	Frames                 FrameCount
}

func (s *stats) add(o *stats) {
	s.Seeds += o.Seeds
	s.Failed += o.Failed
	s.Virtual += o.Virtual
	s.CPU += o.CPU
	s.Ops += o.Ops
	s.Refused += o.Refused
	s.Unknown += o.Unknown
	s.Rebuilt += o.Rebuilt
	s.Dead += o.Dead
	s.Removed += o.Removed
	if s.Faults == nil {
		s.Faults = make(map[string]int)
	}
	for name, n := range o.Faults {
		s.Faults[name] += n
	}
	s.Frames.Dropped += o.Frames.Dropped
	s.Frames.Duplicated += o.Frames.Duplicated
	s.Frames.Reordered += o.Frames.Reordered
	s.Frames.Flipped += o.Frames.Flipped
}

func (s *stats) faults() int {
	n := 0
	for _, m := range s.Faults {
		n += m
	}
	return n
}

// String is a line of figures and one of faults by kind.
func (s *stats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %d failed; %.3f cluster-hours; %d operations, %.0f per virtual second (%d refused, %d unknown); %d faults",
		s.Seeds, s.Failed, s.Virtual.Hours(), s.Ops, float64(s.Ops)/s.Virtual.Seconds(), s.Refused, s.Unknown, s.faults())
	if s.CPU > 0 {
		fmt.Fprintf(&b, "; %.0f CPU seconds, %.0f per cluster-hour", s.CPU.Seconds(), s.CPU.Seconds()/s.Virtual.Hours())
	}
	b.WriteString("\nfaults:")
	for i, name := range slices.SortedFunc(maps.Keys(s.Faults), func(a, b string) int { return s.Faults[b] - s.Faults[a] }) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s %d", name, s.Faults[name])
	}
	fmt.Fprintf(&b, "; nodes rebuilt %d, given up %d, removed %d; frames dropped %d, doubled %d, late %d, corrupt %d",
		s.Rebuilt, s.Dead, s.Removed, s.Frames.Dropped, s.Frames.Duplicated, s.Frames.Reordered, s.Frames.Flipped)
	return b.String()
}
