package main

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/resp"
)

// The race of scripts: each adds one to three keys, and everybody who looks must see
// three times the same.
const (
	racersPerNode = 1
	raceScript    = `local n = {}
for i, key in ipairs(KEYS) do
  n[i] = redis.call('INCR', key)
end
return n`
)

// raceKeys are the keys that each script changes.
func raceKeys() []string { return []string{"demo:race:x", "demo:race:y", "demo:race:z"} }

// scriptRace has scripts, transactions and reads of the same keys race through all
// nodes.
type scriptRace struct {
	nodes          []target
	quit           atomic.Bool
	wg             sync.WaitGroup
	acked, unknown atomic.Int64

	mu       sync.Mutex // guards the rest
	apart    int
	problems []string
}

func startScriptRace(nodes []target) *scriptRace {
	r := &scriptRace{nodes: nodes}
	for i := range len(nodes) * racersPerNode {
		r.wg.Go(func() { r.run(i) })
	}
	return r
}

func (r *scriptRace) stop() {
	r.quit.Store(true)
	r.wg.Wait()
}

func (r *scriptRace) run(node int) {
	conns := newClients(r.nodes, probeTimeout)
	defer conns.close()
	script := append([]string{"EVAL", raceScript, strconv.Itoa(len(raceKeys()))}, raceKeys()...)
	read := append([]string{"MGET"}, raceKeys()...)
	for n := 0; !r.quit.Load(); n++ {
		command, write := script, n%2 == 0
		if !write {
			command = read
		}
		replies, sent, err := conns.call((node+n)%len(r.nodes), command)
		switch {
		case err != nil && !sent:
			time.Sleep(time.Millisecond) // a node that is down refuses at once
		case err != nil || replies[0].IsError():
			if write && (err != nil || !notApplied(replies[0])) {
				r.unknown.Add(1)
			}
		default:
			if write {
				r.acked.Add(1)
			}
			r.look(replies[0])
		}
	}
}

// look compares three values that were seen at once.
func (r *scriptRace) look(v resp.Value) {
	for _, e := range v.Elems {
		if e.String() != v.Elems[0].String() {
			r.mu.Lock()
			r.apart++
			r.problems = append(r.problems, "the three keys of a script were seen as "+v.String())
			r.mu.Unlock()
			return
		}
	}
}

// wait ends the race, and compares what the keys hold with what the racers were told.
func (r *scriptRace) wait(record *messagesClaim) (problems []string, err error) {
	r.stop()
	conns := newClients(r.nodes, probeTimeout)
	defer conns.close()
	acked, unknown := r.acked.Load(), r.unknown.Load()
	for node := range r.nodes {
		replies, sent, err := conns.call(node, append([]string{"MGET"}, raceKeys()...))
		if err != nil && !sent {
			continue // the one that was killed
		}
		if err := firstError(err, replies...); err != nil {
			return nil, err
		}
		r.look(replies[0])
		if n, _ := strconv.ParseInt(string(replies[0].Elems[0].Str), 10, 64); n < acked || n > acked+unknown {
			r.problems = append(r.problems, fmt.Sprintf("scripts have counted to %d: %d were acknowledged, of %d nobody was told", n, acked, unknown))
		}
	}
	record.Scripts, record.Apart = int(acked), r.apart
	return r.problems, nil
}
