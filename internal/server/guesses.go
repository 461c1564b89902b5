package server

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"
)

// Who guesses passwords. Checking one is made slow by its hash; this makes sure
// that one network can't try many, nor keep the node busy with trying.

const (
	// guessesFree is how many logins may fail before there is a pause, as long as
	// none is forgiven: one is with each guessForgiven without another.
	guessesFree   = 16
	guessForgiven = time.Minute
	// guessPauseMin is the first pause, which doubles with each failure.
	guessPauseMin = 100 * time.Millisecond
	guessPauseMax = 30 * time.Second
	// guessesAtOnce is how many logins of a network that has failed too often are
	// checked at once.
	guessesAtOnce = 4
	// guessersMax bounds the memory of networks; who failed longest ago is
	// forgotten.
	guessersMax = 4096
)

// waitToGuess is what a client is told that has to wait before it may try a
// password. The wait is rounded up: who comes after what it was told is let in.
func waitToGuess(wait time.Duration) string {
	const tenth = 100 * time.Millisecond
	wait = (wait + tenth - 1).Truncate(tenth)
	return fmt.Sprintf("ERR too many logins from your address have failed, try again in %.1f s. This one was not tried.", wait.Seconds())
}

// guesses remembers the networks from which logins fail.
type guesses struct {
	mu   sync.Mutex // guards list
	list map[netip.Addr]*guesser
}

// guesser is such a network.
type guesser struct {
	failed  float64   // logins that failed and are not forgiven
	at      time.Time // when failed was true
	until   time.Time // until when none is checked
	last    time.Time // when one failed last
	running int       // logins that are being checked
}

// begin asks whether a login from a network may be checked. If so, end must be
// called with its outcome, else wait says how long to wait at least.
func (g *guesses) begin(from netip.Addr) (end func(good bool), wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	who := g.list[from]
	if who == nil {
		return func(good bool) { g.firstEnd(from, good) }, 0
	}
	who.forgive(now)
	if now.Before(who.until) {
		return nil, who.until.Sub(now)
	}
	if who.failed > guessesFree && who.running >= guessesAtOnce {
		return nil, guessPauseMin
	}
	who.running++
	return func(good bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		who.running--
		if !good {
			who.fail(time.Now())
		}
	}, 0
}

// firstEnd notes the outcome of a login from a network that was not known when it
// began.
func (g *guesses) firstEnd(from netip.Addr, good bool) {
	if good {
		return // the usual case, which leaves no trace
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	who := g.list[from]
	if who == nil {
		if g.list == nil {
			g.list = make(map[netip.Addr]*guesser)
		}
		g.forget(now)
		who = &guesser{at: now}
		g.list[from] = who
	}
	who.fail(now)
}

// forgive takes back what lies long enough in the past.
func (w *guesser) forgive(now time.Time) {
	if passed := now.Sub(w.at); passed > 0 {
		w.failed, w.at = math.Max(0, w.failed-float64(passed)/float64(guessForgiven)), now
	}
}

func (w *guesser) fail(now time.Time) {
	w.forgive(now)
	w.failed, w.last = w.failed+1, now
	if over := w.failed - guessesFree; over > 0 {
		pause := min(float64(guessPauseMin)*math.Exp2(math.Ceil(over)-1), float64(guessPauseMax))
		w.until = now.Add(time.Duration(pause))
	}
}

// forget makes room for one more. g.mu is held.
func (g *guesses) forget(now time.Time) {
	if len(g.list) < guessersMax {
		return
	}
	var oldest netip.Addr
	var at time.Time
	for from, who := range g.list {
		if who.running > 0 {
			continue // its outcome is still to come
		}
		if who.forgive(now); who.failed == 0 {
			delete(g.list, from)
			continue
		}
		if at.IsZero() || who.last.Before(at) {
			oldest, at = from, who.last
		}
	}
	if len(g.list) >= guessersMax {
		delete(g.list, oldest)
	}
}
