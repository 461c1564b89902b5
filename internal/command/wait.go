package command

import (
	"time"

	"tutti/internal/resp"
)

// Commands that wait. One that finds nothing answers so, and says what it would
// have waited for. Whoever evaluates it may then let it wait, drop the answer, and
// evaluate it again when something of that has come. In a transaction or a script
// nothing waits.

// Waits is how a command waits.
type Waits struct {
	// Patience is how long, by its arguments; 0: for ever. It does not wait at all if
	// ok is false, also because the arguments are wrong: evaluated, it says how.
	Patience func(args [][]byte) (d time.Duration, ok bool)
	// Each says that there may be something for one who waits though there was nothing
	// for another who waits for the same.
	Each bool
	// Line, if not nil, tells apart of which of those who wait for the same it is true
	// that there is nothing for one if there was nothing for another.
	Line func(args [][]byte) string
	// Ask, if not nil, returns the command whose answer says what arguments stand for
	// that mean what is there now, as "$" of XREAD does; nil: there are none. The entry
	// node asks before it lets the command wait, and puts the answer in with Settle, or
	// each leader who comes to know of it would take them for something else.
	Ask    func(args [][]byte) (ask [][]byte)
	Settle func(args [][]byte, reply []byte) (settled [][]byte, ok bool)
	// Late says that it is evaluated once more when its time is over, for what it
	// finds then. Else the answer is a null array.
	Late bool
}

// Wait says that the command has found nothing, and answered so, and what it could
// wait for; see keyspace.Tx.Signal.
func (c *progress) Wait(topics ...[]byte) { c.topics = topics }

// Waits returns what the last command could wait for; nil: it has its answer.
func (c *progress) Waits() [][]byte {
	if c.failed {
		return nil
	}
	return c.topics
}

// What is wrong with time-outs in seconds.
const (
	textTimeout         = "ERR timeout is not a float or out of range"
	textTimeoutLarge    = "ERR timeout is out of range"
	textTimeoutNegative = "ERR timeout is negative"
)

// timeoutMax is the longest time-out in seconds: milliseconds are to fit an int64.
const timeoutMax = float64(1<<63-1) / 1000

// timeout parses argument i as seconds, or answers the error.
func timeout(c *Ctx, i int) bool {
	switch f, ok := parseFloat(c.Args[i]); {
	case !ok:
		c.Error(textTimeout)
	case f > timeoutMax:
		c.Error(textTimeoutLarge)
	case f < 0:
		c.Error(textTimeoutNegative)
	default:
		return true
	}
	return false
}

// waitsSeconds is Waits of a command with a time-out in seconds at an argument,
// negative: counted from the end.
func waitsSeconds(at int) *Waits {
	return &Waits{Patience: func(args [][]byte) (time.Duration, bool) {
		i := at
		if i < 0 {
			i += len(args)
		}
		f, ok := parseFloat(args[i])
		if !ok || f < 0 || f > timeoutMax {
			return 0, false
		}
		return seconds(f), true
	}}
}

// patienceMax keeps sums with the time now within what a Duration holds.
const patienceMax = 100 * 365 * 24 * time.Hour

// seconds rounds up to milliseconds, so that a short time is not none.
func seconds(f float64) time.Duration {
	if f >= patienceMax.Seconds() {
		return patienceMax
	}
	d := time.Duration(f * float64(time.Second))
	if rest := d % time.Millisecond; rest != 0 {
		d += time.Millisecond - rest
	}
	if f > 0 && d == 0 { // so little that not even a nanosecond is left
		d = time.Millisecond
	}
	return d
}

// NoElement answers a command whose waiting has ended without anything.
func NoElement(w *resp.Writer) { w.NullArray() }
