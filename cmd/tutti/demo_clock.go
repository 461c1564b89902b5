package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"tutti/internal/resp"
)

type clockClaim struct {
	Claim        string  `json:"claim"`
	Held         bool    `json:"held"`
	AheadSeconds int64   `json:"ahead_seconds"`
	Keys         int     `json:"keys"`
	Early        int     `json:"early"`
	Late         int     `json:"late"`
	Reads        int     `json:"reads"`
	Stale        int     `json:"stale"`
	Seconds      float64 `json:"seconds"`
}

const (
	clockKeys  = 60
	clockReads = 300
	// keyLife is how long keys live that are watched; they are given up to half
	// as much more.
	keyLife = 1500 * time.Millisecond
	// earlyMost and lateMost are what is promised: time is drawn by 5 % at most.
	// How long a sweep and an answer take on a busy machine comes on top.
	earlyShare, earlyMore = 0.05, 10 * time.Millisecond
	lateShare, lateMore   = 0.05, 500 * time.Millisecond
)

// clock shows that a clock which is an hour ahead changes nothing.
func (d *demoRun) clock(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n4  CLOCK")
	record := clockClaim{Claim: "clock", Keys: clockKeys, Reads: clockReads}
	conns := newClients(d.nodes, probeTimeout)
	defer conns.close()
	ask := func(i int, args ...string) (resp.Value, error) {
		replies, _, err := conns.call(i, args)
		if err == nil && replies[0].IsError() {
			err = fmt.Errorf("%s through %s: %s", args[0], d.cluster.members[i].Name, replies[0].Str)
		}
		if err != nil {
			return resp.Value{}, err
		}
		return replies[0], nil
	}
	ahead, err := clocksApart(ask)
	if err != nil {
		return false, err
	}
	record.AheadSeconds = int64(ahead.Round(time.Second) / time.Second)
	d.view.line("   the clock of %s says %v more than that of %s, and has since the beginning", d.cluster.members[demoAhead].Name, ahead.Round(time.Second), d.cluster.members[0].Name)
	early, late, err := watchExpiry(ctx, ask)
	if err != nil {
		return false, err
	}
	record.Early, record.Late = len(early), len(late)
	d.view.result(len(early)+len(late) == 0, "%d keys set through all nodes to live %v to %v: %d gone early, %d late", clockKeys, keyLife, keyLife+keyLife/2, record.Early, record.Late)
	var stale []string
	for n := range clockReads {
		i := n % demoNodes
		v, err := ask(i, "INCR", "clock:reads")
		if err != nil {
			return false, err
		}
		j := (i + 1 + rand.IntN(demoNodes-1)) % demoNodes
		got, err := ask(j, "GET", "clock:reads")
		if err != nil {
			return false, err
		}
		if seen, _ := strconv.ParseInt(string(got.Str), 10, 64); seen != v.Int {
			stale = append(stale, fmt.Sprintf("%s answered %d, then %s read %d", d.cluster.members[i].Name, v.Int, d.cluster.members[j].Name, seen))
		}
	}
	record.Stale = len(stale)
	d.view.result(len(stale) == 0, "%d reads through another node than wrote: %d stale", clockReads, record.Stale)
	far := ahead > clockAhead*9/10
	if !far {
		d.view.result(false, "the clocks are only %v apart: nothing was shown", ahead)
	}
	problems := append(append(early, late...), stale...)
	d.show(problems)
	record.Held, record.Seconds = far && len(problems) == 0, seconds(time.Since(began))
	return conclude(d, record.Held, "clock.txt", problems, record)
}

// clocksApart returns how far the wall clock of the node that is ahead is from
// that of the first, which is asked before and after it: what the questions take
// is no difference.
func clocksApart(ask func(i int, args ...string) (resp.Value, error)) (time.Duration, error) {
	var at [3]time.Duration // since 1970
	for k, i := range [3]int{0, demoAhead, 0} {
		v, err := ask(i, "TIME")
		if err != nil {
			return 0, err
		}
		if len(v.Elems) == 2 {
			s, _ := strconv.ParseInt(string(v.Elems[0].Str), 10, 64)
			us, _ := strconv.ParseInt(string(v.Elems[1].Str), 10, 64)
			at[k] = time.Duration(s)*time.Second + time.Duration(us)*time.Microsecond
		}
	}
	return at[1] - at[0] - (at[2]-at[0])/2, nil
}

// mortal is a key that is watched until it is gone.
type mortal struct {
	key         string
	life        time.Duration
	asked, told time.Time // when it was set
}

// watchExpiry sets keys through all nodes and looks for them through random ones
// until they are gone.
func watchExpiry(ctx context.Context, ask func(i int, args ...string) (resp.Value, error)) (early, late []string, err error) {
	var alive []mortal
	for i := range clockKeys {
		m := mortal{key: fmt.Sprint("clock:key:", i), life: keyLife + time.Duration(i)*keyLife/2/clockKeys, asked: time.Now()}
		if _, err := ask(i%demoNodes, "SET", m.key, "v", "PX", fmt.Sprint(m.life.Milliseconds())); err != nil {
			return nil, nil, err
		}
		m.told = time.Now()
		alive = append(alive, m)
	}
	for len(alive) > 0 {
		var next []mortal
		for _, m := range alive {
			looked := time.Now()
			v, err := ask(rand.IntN(demoNodes), "GET", m.key)
			if err != nil {
				return nil, nil, err
			}
			switch gone := time.Since(m.asked); {
			case v.Null && gone < m.life-time.Duration(float64(m.life)*earlyShare)-earlyMore:
				early = append(early, fmt.Sprintf("%s was to live %v and was gone after %v", m.key, m.life, gone))
			case v.Null:
			case looked.Sub(m.told) > m.life+time.Duration(float64(m.life)*lateShare)+lateMore:
				late = append(late, fmt.Sprintf("%s was to live %v and was there after %v", m.key, m.life, looked.Sub(m.told)))
			default:
				next = append(next, m)
			}
		}
		if alive = next; len(alive) > 0 {
			if err := pause(ctx, lookEvery); err != nil {
				return nil, nil, err
			}
		}
	}
	return early, late, nil
}
