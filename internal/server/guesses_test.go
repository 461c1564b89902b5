package server

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestGuessesAreSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		bad, good := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		tried := 0
		for end := time.Now().Add(time.Hour); time.Now().Before(end); {
			done, wait := g.begin(bad)
			if done == nil {
				time.Sleep(wait)
				continue
			}
			tried++
			done(false)
		}
		// Those that are free, ten while the pause grows, and one every half minute.
		if tried < 60 || tried > 180 {
			t.Errorf("%d passwords were tried in an hour", tried)
		}
		if done, wait := g.begin(good); done == nil {
			t.Errorf("another address has to wait %v", wait)
		}
	})
}

func TestGuessesAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		who := netip.MustParseAddr("10.0.0.1")
		for range guessesFree {
			done, wait := g.begin(who)
			if done == nil {
				t.Fatalf("the free ones end with a pause of %v", wait)
			}
			done(false)
		}
		time.Sleep(guessForgiven * 2)
		for range 2 {
			if done, wait := g.begin(who); done != nil {
				done(false)
			} else {
				t.Errorf("nothing was forgiven: %v", wait)
			}
		}
		done, _ := g.begin(who)
		done(false)
		if done, wait := g.begin(who); done != nil || wait != guessPauseMin {
			t.Errorf("one more does not lead to a pause: %v", wait)
		}
	})
}

func TestGuessesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		who := netip.MustParseAddr("10.0.0.1")
		// Whoever has not failed may log in with as many connections as it has.
		var ends []func(bool)
		for range 2 * guessesFree {
			done, _ := g.begin(who)
			ends = append(ends, done)
		}
		for _, done := range ends {
			done(false)
		}
		time.Sleep(guessPauseMax)
		for i := range guessesAtOnce + 1 {
			if done, _ := g.begin(who); (done != nil) != (i < guessesAtOnce) {
				t.Errorf("login %d at once is checked: %v", i, done != nil)
			}
		}
	})
}

func TestGuessersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		fail := func(n uint32) {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], n)
			if done, _ := g.begin(netip.AddrFrom4(b)); done != nil {
				done(false)
			}
			time.Sleep(time.Millisecond)
		}
		for range guessesFree + 5 {
			fail(1)
		}
		for n := range uint32(guessersMax) {
			fail(10 + n)
			if n%100 == 0 {
				fail(1)
			}
		}
		if len(g.list) > guessersMax {
			t.Errorf("%d networks are remembered", len(g.list))
		}
	})
}

func TestLoginsThatFailHaveToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t, Config{Rights: Rights{Users: users(t)}})
		defer c.s.Close()
		who := c.call()
		for range guessesFree + 1 {
			if got := who.ask("HELLO 3 AUTH nobody x\r\n"); got != "-"+errWrongPass {
				t.Fatal(got)
			}
		}
		const text = "-ERR too many logins from your address have failed, try again in 0.1 s. This one was not tried."
		for _, try := range []string{"AUTH nobody x\r\n", "AUTH default x\r\n"} {
			if got := who.ask(try); got != text {
				t.Errorf("%q is answered %s", try, got)
			}
		}
		time.Sleep(guessPauseMin - time.Millisecond)
		if got := who.ask("AUTH default x\r\n"); got != text {
			t.Errorf("a moment before the end of the pause: %s", got)
		}
		time.Sleep(time.Millisecond)
		if got := who.ask("AUTH default x\r\n"); got != "+OK" {
			t.Errorf("after the pause: %s", got)
		}
		who.Close()
	})
}
