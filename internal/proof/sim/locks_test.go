package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
)

// grant is a lock that somebody was given.
type grant struct {
	owner          string
	token          int64
	sent, answered time.Time
	until          time.Time // it lasts at least, as far as is promised
	back           time.Time // when it began to be given back; zero: it was not
}

// lockRun is all grants of one lock, and what the lock protects: something that refuses
// whoever comes with a lower token than one it has seen.
type lockRun struct {
	mu      sync.Mutex
	grants  []*grant
	highest int64
	refused int
	written int
}

// got notes a grant and compares it with all before. Where clocks agree nobody else may
// have had the lock at the moment at which he was told.
func (l *lockRun) got(t *testing.T, g *grant, clocksAgree bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.grants {
		switch {
		case x.token == g.token:
			t.Errorf("%s token %d is that of %s and of %s", stamp(), g.token, x.owner, g.owner)
		case x.answered.Before(g.sent) && x.token > g.token:
			t.Errorf("%s %s has token %d behind the %d of %s", stamp(), g.owner, g.token, x.token, x.owner)
		case clocksAgree && g.answered.Before(x.until) && x.back.IsZero() && g.sent.After(x.answered):
			t.Errorf("%s %s has the lock that %s has until %v", stamp(), g.owner, x.owner, x.until)
		}
	}
	l.grants = append(l.grants, g)
}

// write writes as who has a token.
func (l *lockRun) write(token int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token < l.highest {
		l.refused++
		return
	}
	l.highest = token
	l.written++
}

// work takes the lock, writes, at once or when it has slept for too long, and gives the
// lock back or lets it end.
func (l *lockRun) work(t *testing.T, k *Client, id int, r *rand.Rand, clocksAgree bool, stop <-chan struct{}) {
	defer k.Close()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(5+r.IntN(50)) * time.Millisecond):
		}
		life := time.Duration(200+r.IntN(800)) * time.Millisecond
		g := &grant{owner: fmt.Sprintf("%d.%d", id, n), sent: time.Now()}
		v, err := k.Do("TUTTI.LOCK", "lock", g.owner, fmt.Sprint(life.Milliseconds()))
		if err != nil || respclient.Err(v) != nil {
			k.Close()
			k.At(1 + r.IntN(3))
			continue
		}
		if v.Null {
			continue
		}
		g.token, g.answered = v.Int, time.Now()
		g.until = g.sent.Add(life - time.Duration(timeError.Early.Share*float64(life)) - timeError.Early.Fixed)
		l.got(t, g, clocksAgree)
		time.Sleep(time.Duration(r.Int64N(int64(life))))
		if r.IntN(3) == 0 {
			time.Sleep(2 * life) // it stands still, and does not know
		}
		l.write(g.token)
		if r.IntN(2) == 0 {
			l.end(t, k, g, clocksAgree)
		}
	}
}

// end gives a lock back.
func (l *lockRun) end(t *testing.T, k *Client, g *grant, clocksAgree bool) {
	l.mu.Lock()
	g.back = time.Now()
	l.mu.Unlock()
	v, err := k.Do("TUTTI.UNLOCK", "lock", g.owner)
	if err == nil && respclient.Err(v) == nil && v.Int == 0 && clocksAgree && time.Now().Before(g.until) {
		t.Errorf("%s %s gave back what it did not have any more, until %v", stamp(), g.owner, g.until)
	}
}

// Clients take one lock through all nodes, while all that may happen to leaders happens.
// Tokens grow from owner to owner, also where clocks jump; where they do not, nobody has
// a lock that is another's. Who comes late is refused by what the lock protects.
func TestLocksWithTokensUnderFaults(t *testing.T) {
	for i, clocksAgree := range []bool{true, false} {
		t.Run(fmt.Sprint("clocks agree ", clocksAgree), func(t *testing.T) {
			bubble(t, Options{Seed: env("TUTTI_SIM_SEED", 4800) + uint64(i)}, func(t *testing.T, c *Cluster) {
				c.WaitLeader(1)
				l, stop := &lockRun{}, make(chan struct{})
				var wg sync.WaitGroup
				for n := range 5 {
					k, r := c.Client("").At(1+n%3), rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(n)))
					wg.Go(func() { l.work(t, k, n, r, clocksAgree, stop) })
				}
				inTurn(c, 3*time.Second, !clocksAgree)
				time.Sleep(3 * time.Second)
				close(stop)
				wg.Wait()
				t.Logf("%d owners, %d writes, %d refused", len(l.grants), l.written, l.refused)
				if l.written == 0 || l.refused == 0 {
					t.Error("nobody wrote, or nobody came late")
				}
			})
		})
	}
}
