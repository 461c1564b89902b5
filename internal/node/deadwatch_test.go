package node

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
)

// watched is a cluster of three as node 1's watch sees it.
type watched struct {
	t     *testing.T
	watch *deadWatch

	mu    sync.Mutex // guards what follows
	up    map[cluster.NodeID]bool
	leads bool
	fails int // how many commands fail
	told  []string
}

func watch(t *testing.T) *watched {
	m, err := cluster.NewMap(cluster.Map{Epoch: 1, Policy: cluster.Policy{DeadAfter: time.Minute}, Members: []cluster.Member{{ID: 1}, {ID: 2}, {ID: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, up: map[cluster.NodeID]bool{2: true, 3: true}, leads: true}
	began := time.Now()
	holder := cluster.NewHolder(m, func([]byte) error { return nil })
	w.watch = newDeadWatch(1, holder, slog.New(slog.DiscardHandler), func() time.Duration { return time.Since(began) })
	w.watch.up = func(id cluster.NodeID) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.up[id] }
	w.watch.leads = func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.leads }
	w.watch.tell = w.tell
	w.watch.start()
	t.Cleanup(w.watch.close)
	return w
}

// tell does what meta would.
func (w *watched) tell(args [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails > 0 {
		w.fails--
		return errors.New("no leader")
	}
	var list []string
	for _, a := range args[1:] {
		list = append(list, string(a))
	}
	w.told = append(w.told, strings.Join(list, " "))
	next, err := w.watch.maps.Map().Change(func(n *cluster.Map) {
		state := map[string]cluster.State{"DEAD": cluster.Dead, "ALIVE": cluster.Active}[list[0]]
		for i := range n.Members {
			if number(n.Members[i].ID) == list[1] {
				n.Members[i].State = state
			}
		}
	})
	if err == nil {
		_, err = w.watch.maps.Replace(next)
	}
	w.watch.signal()
	return err
}

// set changes what the watch sees and lets some time pass.
func (w *watched) set(f func(), d time.Duration) {
	w.mu.Lock()
	f()
	w.mu.Unlock()
	w.watch.signal()
	time.Sleep(d)
	synctest.Wait()
}

func (w *watched) want(told ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.told, told) {
		w.t.Errorf("meta was told %q, want %q", w.told, told)
	}
}

func TestDeadWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		w.set(func() { w.up[3] = false }, 59*time.Second)
		w.want()
		w.set(func() { w.up[3] = true }, 2*time.Second)
		w.set(func() { w.up[3] = false }, 59*time.Second) // silence counts from its end
		w.want()
		w.set(func() { w.fails = 1 }, 3*time.Second)
		w.want("DEAD 3")
		w.set(func() {}, time.Hour)
		w.want("DEAD 3") // once
		w.set(func() { w.up[3] = true }, time.Second)
		w.want("DEAD 3", "ALIVE 3")
	})
}

// TestOnlyMetasLeaderTells: a node that is cut off sees everybody silent.
func TestOnlyMetasLeaderTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		w.set(func() { w.leads, w.up[2], w.up[3] = false, false, false }, time.Hour)
		w.want()
		w.set(func() { w.leads, w.up[2] = true, true }, time.Second)
		w.want("DEAD 3")
	})
}
