package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/proof/check"
	"tutti/internal/router"
)

// Load is clients that work on keys which are replaced by new ones before they
// have seen too many operations for a checker.
type Load struct {
	c     *Cluster
	H     *History
	opts  LoadOptions
	kinds []workload
	stop  chan struct{}
	once  sync.Once // closes stop
	wg    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	live  []subject
	all   []subject // ever used
	value int
	nodes []int // to talk to
}

// learn lets the clients talk to another node, if they talk to all.
func (l *Load) learn(node int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opts.Nodes == nil {
		l.nodes = append(l.nodes, node)
	}
}

// forget lets nobody begin to talk to a node that leaves, but for the last one.
func (l *Load) forget(node int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rest := slices.DeleteFunc(slices.Clone(l.nodes), func(i int) bool { return i == node }); len(rest) > 0 {
		l.nodes = rest
	}
}

// node picks whom to talk to.
func (l *Load) node(r *rand.Rand) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[r.IntN(len(l.nodes))]
}

// subject is what a workload works on: a key, or several of one shard.
type subject struct {
	kind *workload
	keys []string
	uses int
}

// LoadOptions say how hard the clients work. Zero values are defaults.
type LoadOptions struct {
	Clients int           // 5
	Keys    int           // alive at once; 4
	KeyOps  int           // per key; 100
	Think   time.Duration // longest pause between commands; 20 ms
	// Kinds are the workloads, by name. Nil: register, list.
	Kinds []string
	// Nodes are those the clients talk to. Nil: all, also those that join later.
	Nodes []int
	// Timeout is after what a client gives up. Zero: the default.
	Timeout time.Duration
	// Prefix keeps the keys of several loads apart.
	Prefix string
	// Hosts of the clients, for partitions. Nil: hosts of their own.
	Hosts []string
}

// timed reports whether the clocks must be right.
func (o LoadOptions) timed() bool {
	return slices.ContainsFunc(workloads, func(w workload) bool { return w.timed && slices.Contains(o.Kinds, w.name) })
}

// StartLoad starts the clients.
func (c *Cluster) StartLoad(h *History, o LoadOptions) *Load {
	o.Clients, o.Keys, o.KeyOps = or(o.Clients, 5), or(o.Keys, 4), or(o.KeyOps, 100)
	o.Think = or(o.Think, 20*time.Millisecond)
	if o.Kinds == nil {
		o.Kinds = []string{"register", "list"}
	}
	l := &Load{c: c, H: h, opts: o, stop: make(chan struct{}), nodes: slices.Clone(o.Nodes)}
	for i := range c.machines {
		l.learn(i + 1)
	}
	for _, w := range workloads {
		if slices.Contains(o.Kinds, w.name) {
			l.kinds = append(l.kinds, w)
		}
	}
	if len(l.kinds) != len(o.Kinds) {
		c.t.Fatalf("no workload for all of %v", o.Kinds)
	}
	c.loads = append(c.loads, l)
	for i := range max(o.Keys, len(l.kinds)) {
		if l.kind(i) != nil {
			l.live = append(l.live, l.newSubject(i))
		}
	}
	if !l.setup() {
		c.t.Fatalf("%s the load could not be set up", stamp())
	}
	for i := range o.Clients {
		host := ""
		if len(o.Hosts) > 0 {
			host = o.Hosts[i%len(o.Hosts)]
		}
		k := c.Client(host)
		k.Timeout = or(o.Timeout, k.Timeout)
		r := rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(i)))
		l.wg.Go(func() { l.work(worker{l.H, i, k, r}) })
	}
	return l
}

// setup makes what must be there before the clients begin.
func (l *Load) setup() bool {
	k := l.c.Client("")
	defer k.Close()
	for _, s := range l.live {
		if s.kind.setup != nil && !s.kind.setup(worker{History: l.H, id: setupClient, k: k}, s.keys) {
			return false
		}
	}
	return true
}

// setupClient is the client that makes accounts.
const setupClient = 999

// clientHosts are the hosts of the clients of all loads.
func (c *Cluster) clientHosts() []string {
	var hosts []string
	for _, l := range c.loads {
		hosts = append(hosts, l.opts.Hosts...)
	}
	return hosts
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// kind is that of the i-th subject alive: the kinds take turns, but those that
// are set up have one subject only. Nil: none is left.
func (l *Load) kind(i int) *workload {
	if i < len(l.kinds) {
		return &l.kinds[i]
	}
	for range l.kinds {
		if w := &l.kinds[i%len(l.kinds)]; w.setup == nil {
			return w
		}
		i++
	}
	return nil
}

// newSubject makes the i-th of those alive anew.
func (l *Load) newSubject(i int) subject {
	w, n := l.kind(i), len(l.all)
	s := subject{kind: w}
	for part := range max(w.keys, 1) {
		key := fmt.Sprintf("%s{%s%d}", w.prefix, l.opts.Prefix, n) // one shard
		if w.keys > 1 {
			key += fmt.Sprint(part)
		}
		s.keys = append(s.keys, key)
	}
	l.all = append(l.all, s)
	return s
}

// pick returns what to work on and a value that was never written.
func (l *Load) pick(r *rand.Rand) (place int, s subject, value int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := r.IntN(len(l.live))
	if l.live[i].uses++; l.live[i].uses > l.opts.KeyOps && l.live[i].kind.setup == nil {
		l.live[i] = l.newSubject(i)
	}
	l.value++
	return i, l.live[i], l.value * 1000
}

// spend makes a subject retire sooner by n operations.
func (l *Load) spend(place, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[place].uses += n
}

// worker is a client of a load.
type worker struct {
	*History
	id int
	k  *Client
	r  *rand.Rand
}

func (l *Load) work(w worker) {
	defer w.k.Close()
	w.k.At(l.node(w.r))
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Duration(w.r.Int64N(int64(l.opts.Think)))):
		}
		place, s, value := l.pick(w.r)
		n, ok := s.kind.do(w, s.keys, value)
		l.spend(place, n-1)
		if ok && w.r.IntN(20) != 0 {
			continue
		}
		if !ok {
			// An operation without an outcome doubles what a checker has to try.
			l.spend(place, l.opts.KeyOps/4)
		}
		w.k.Close()
		w.k.At(l.node(w.r))
	}
}

// Stop stops the clients, and waits for them and for what they have given up: a
// node goes on with it for as long as its router does, and if it took effect
// between two final reads they would differ by right.
func (l *Load) Stop() {
	l.quit()
	l.wg.Wait()
	time.Sleep(router.TimeoutDefault + time.Second)
}

func (l *Load) quit() { l.once.Do(func() { close(l.stop) }) }

// settleTime is longer than a node tries a group (router.TimeoutDefault).
const settleTime = 6 * time.Second

// ReadAll reads every key through every node and records it: without that, a
// checker would not see what was lost at the end. A node with a damaged disk may
// refuse to read it, and one that is drained does.
func (l *Load) ReadAll() {
	// A write that a client has given up may be applied as long as its entry node
	// tries: until then the reads need not agree.
	time.Sleep(settleTime)
	for i := 1; i <= l.c.Nodes(); i++ {
		if l.c.restart(); l.c.Up(i) && l.readAll(i) {
			l.H.finalNodes = append(l.H.finalNodes, i)
		}
	}
}

func (l *Load) readAll(node int) (ok bool) {
	k := l.c.Client("").At(node)
	defer k.Close()
	for _, s := range l.all {
		for _, key := range s.keys {
			_, ok := l.H.Do(check.FinalReader, k, s.kind.read(key)...)
			if ok && s.kind.rest != nil {
				_, ok = l.H.Do(check.FinalReader, k, s.kind.rest(key)...)
			}
			if ok {
				continue
			}
			if l.c.restart(); l.c.machine(node).rotten == "" && !l.c.machine(node).drained() {
				l.c.t.Errorf("%s final read of %s through node %d failed", stamp(), key, node)
			}
			return false
		}
		if s.kind.setup == nil {
			continue
		}
		if _, ok := (worker{History: l.H, id: check.FinalReader, k: k}).one(append([]string{"MGET"}, s.keys...)...); !ok {
			return false
		}
	}
	return true
}

// drained reports whether the node is to have no data, so that it may refuse clients.
func (m *machine) drained() bool {
	if m.node == nil {
		return false
	}
	x, ok := m.node.Map().Member(cluster.NodeID(m.id))
	return ok && x.State == cluster.Draining
}
