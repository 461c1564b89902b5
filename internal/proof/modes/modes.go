package modes

import "fmt"

// Mode is a way in which a store like this one can fail, and was found failing.
type Mode struct {
	Number   int
	Mode     string
	Scenario string // what the tests do
	Tests    []Test
	Open     string // what is not shown, and why; empty: nothing
}

func mode(n int, what, scenario string, tests ...Test) Mode {
	return Mode{Number: n, Mode: what, Scenario: scenario, Tests: tests}
}

// but says what a mode's tests leave open.
func (m Mode) but(open string) Mode {
	m.Open = open
	return m
}

// Status says whether the mode is shown, partly or not at all.
func (m Mode) Status() string {
	switch {
	case m.Open == "":
		return "shown"
	case len(m.Tests) > 0:
		return "partly"
	}
	return "open"
}

func (m Mode) String() string { return fmt.Sprintf("%d %s", m.Number, m.Mode) }

// noSharding is why a mode is open whose feature is still to come.
const noSharding = "a command has one shard, and shards do not move"
