package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tutti/internal/check"
	"tutti/internal/resp"
)

// History records what clients of a cluster do.
type History struct{ *check.Recorder }

// NewHistory returns an empty history of what a Load does.
func NewHistory() *History {
	return &History{check.NewRecorder(check.Suite{Rules: []check.Rule{{Prefix: "r:", Check: "register"}, {Prefix: "l:", Check: "list"}}}, 0)}
}

// Do executes a command and records it. ok says that it was answered.
func (h *History) Do(client int, k *Client, args ...string) (out resp.Value, ok bool) {
	op := h.Call(client, k.at, check.Command(args...))
	v, err := k.Do(args...)
	if err != nil {
		h.lost(op, err)
		return v, false
	}
	return v, h.Answered(op, check.FromRESP(v))
}

func (h *History) lost(op check.Op, err error) {
	h.Lost(op, !errors.Is(err, errNotSent), "connection: "+err.Error())
}

// Pipe executes commands in one pipeline and records each.
func (h *History) Pipe(client int, k *Client, cmds ...[]string) (ok bool) {
	ops := make([]check.Op, len(cmds))
	for i, args := range cmds {
		ops[i] = h.Call(client, k.at, check.Command(args...))
	}
	values, err := k.Pipe(cmds...)
	ok = err == nil
	for i, op := range ops {
		if err != nil {
			h.lost(op, err)
		} else {
			ok = h.Answered(op, check.FromRESP(values[i])) && ok
		}
	}
	return ok
}

// Multi executes commands as one transaction, after the reads that were made
// under WATCH for it.
func (h *History) Multi(client int, k *Client, watched []check.Cmd, cmds ...[]string) (ok bool) {
	all := slices.Clone(watched)
	pipe := [][]string{{"MULTI"}}
	for _, args := range cmds {
		all = append(all, check.Command(args...))
		pipe = append(pipe, args)
	}
	op := h.Call(client, k.at, all...)
	values, err := k.Pipe(append(pipe, []string{"EXEC"})...)
	if err != nil {
		h.lost(op, err)
		return false
	}
	return h.Executed(op, check.FromRESP(values[len(values)-1]))
}

// Swap sets key to value if nobody has changed it since it was read, by WATCH.
func (h *History) Swap(client int, k *Client, key, value string) (ok bool) {
	if v, err := k.Do("WATCH", key); err != nil || v.IsError() {
		return false
	}
	old, ok := h.Do(client, k, "GET", key)
	if !ok {
		return false
	}
	watched := []check.Cmd{check.Watched(check.FromRESP(old), "GET", key)}
	return h.Multi(client, k, watched, []string{"SET", key, value})
}

// Load is clients that work on keys which are replaced by new ones before they
// have seen too many operations for a checker.
type Load struct {
	c    *Cluster
	H    *History
	opts LoadOptions
	stop chan struct{}
	once sync.Once // closes stop
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	live  []string
	count map[string]int
	keys  []string // all ever used
	value int
}

// LoadOptions say how hard the clients work. Zero values are defaults.
type LoadOptions struct {
	Clients int           // 5
	Keys    int           // alive at once; 4
	KeyOps  int           // per key; 100
	Think   time.Duration // longest pause between commands; 20 ms
	// Nodes are those the clients talk to. Nil: all.
	Nodes []int
	// Timeout is after what a client gives up. Zero: the default.
	Timeout time.Duration
	// Prefix keeps the keys of several loads apart.
	Prefix string
	// Hosts of the clients, for partitions. Nil: hosts of their own.
	Hosts []string
}

// StartLoad starts the clients.
func (c *Cluster) StartLoad(h *History, o LoadOptions) *Load {
	o.Clients, o.Keys, o.KeyOps = or(o.Clients, 5), or(o.Keys, 4), or(o.KeyOps, 100)
	o.Think = or(o.Think, 20*time.Millisecond)
	if o.Nodes == nil {
		for i := range c.machines {
			o.Nodes = append(o.Nodes, i+1)
		}
	}
	l := &Load{c: c, H: h, opts: o, stop: make(chan struct{}), count: make(map[string]int)}
	c.loads = append(c.loads, l)
	for i := range o.Keys {
		l.live = append(l.live, l.newKey(i))
	}
	for i := range o.Clients {
		host := ""
		if len(o.Hosts) > 0 {
			host = o.Hosts[i%len(o.Hosts)]
		}
		k := c.Client(host)
		k.Timeout = or(o.Timeout, k.Timeout)
		r := rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(i)))
		l.wg.Go(func() { l.work(i, k, r) })
	}
	return l
}

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// newKey names a key of kind i: registers and lists take turns.
func (l *Load) newKey(i int) string {
	kind := "r"
	if i%2 == 1 {
		kind = "l"
	}
	key := fmt.Sprintf("%s:%s%d", kind, l.opts.Prefix, len(l.keys))
	l.keys = append(l.keys, key)
	return key
}

// pick returns a key to work on and a value that was never written.
func (l *Load) pick(r *rand.Rand) (key string, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := r.IntN(len(l.live))
	key = l.live[i]
	if l.count[key]++; l.count[key] > l.opts.KeyOps {
		key = l.newKey(i)
		l.live[i] = key
	}
	l.value++
	return key, fmt.Sprint(l.value * 1000)
}

func (l *Load) work(id int, k *Client, r *rand.Rand) {
	defer k.Close()
	k.At(l.opts.Nodes[r.IntN(len(l.opts.Nodes))])
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Duration(r.Int64N(int64(l.opts.Think)))):
		}
		key, value := l.pick(r)
		if ok := l.do(id, k, r, key, value); !ok || r.IntN(20) == 0 {
			if !ok {
				// An operation without an outcome doubles what a checker has to try.
				l.spend(key, l.opts.KeyOps/4)
			}
			k.Close()
			k.At(l.opts.Nodes[r.IntN(len(l.opts.Nodes))])
		}
	}
}

// spend makes a key retire sooner by n operations.
func (l *Load) spend(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[key] += n
}

func (l *Load) do(id int, k *Client, r *rand.Rand, key, value string) (ok bool) {
	switch n := r.IntN(100); {
	case n < 10:
		l.spend(key, 2)
		return l.H.Pipe(id, k, l.command(r, key, value), l.command(r, key, value+"1"), l.command(r, key, value+"2"))
	case n < 15 && key[0] == 'r':
		return l.H.Multi(id, k, nil, []string{"INCR", key}, []string{"GET", key})
	case n < 20 && key[0] == 'r':
		return l.H.Multi(id, k, nil, []string{"GET", key}, []string{"GET", key})
	case n < 30 && key[0] == 'r':
		l.spend(key, 1)
		return l.H.Swap(id, k, key, value)
	}
	_, ok = l.H.Do(id, k, l.command(r, key, value)...)
	return ok
}

func (l *Load) command(r *rand.Rand, key, value string) []string {
	if key[0] == 'r' {
		switch n := r.IntN(100); {
		case n < 40:
			return []string{"GET", key}
		case n < 55:
			return []string{"SET", key, value}
		case n < 80:
			return []string{"INCR", key}
		case n < 92:
			return []string{"SETNX", key, value}
		default:
			return []string{"DEL", key}
		}
	}
	switch n := r.IntN(100); {
	case n < 30:
		return []string{"LRANGE", key, "0", "-1"}
	case n < 75:
		return []string{"RPUSH", key, value}
	default:
		return []string{"LPOP", key}
	}
}

// Stop stops the clients and waits for them.
func (l *Load) Stop() {
	l.quit()
	l.wg.Wait()
}

func (l *Load) quit() { l.once.Do(func() { close(l.stop) }) }

// ReadAll reads every key through every node and records it: without that, a
// checker would not see what was lost at the end.
func (l *Load) ReadAll() {
	k := l.c.Client("")
	defer k.Close()
	for i := range l.c.machines {
		if !l.c.Up(i + 1) {
			continue
		}
		k.At(i + 1)
		for _, key := range l.keys {
			args := []string{"GET", key}
			if key[0] == 'l' {
				args = []string{"LRANGE", key, "0", "-1"}
			}
			if _, ok := l.H.Do(check.FinalReader, k, args...); !ok {
				l.c.t.Errorf("%s final read of %s through node %d failed", stamp(), key, i+1)
			}
		}
	}
}
