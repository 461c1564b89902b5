package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"tutti/internal/resp"
)

// Op is one command of a client, as a checker needs it. Call and Return are
// places in one order of all such moments: virtual time stands still too often
// to tell what came first.
type Op struct {
	Client       int
	Node         int
	Key          string
	Args         []string
	Call, Return int64
	At, Until    time.Duration // virtual time
	Unknown      bool          // may have been applied; there is no output
	Out          string
}

// String is for reports.
func (o Op) String() string {
	out := o.Out
	if o.Unknown {
		out = "?"
	}
	return fmt.Sprintf("%9.4f-%9.4f [%d,%d] client %d node %d: %s -> %s", o.At.Seconds(), o.Until.Seconds(), o.Call, o.Return, o.Client, o.Node, strings.Join(o.Args, " "), out)
}

// History records what clients do.
type History struct {
	mu       sync.Mutex // guards what follows
	place    int64
	start    time.Time
	Ops      []Op
	Refused  int      // commands that were certainly not applied
	Unknown  int      // writes that may have been
	Problems []string // replies that no fault explains
	Texts    map[string]int
}

// NewHistory returns an empty history.
func NewHistory() *History { return &History{start: time.Now(), Texts: make(map[string]int)} }

func (h *History) next() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.place++
	return h.place
}

// Do executes a command on key and records it. ok says that it was answered.
func (h *History) Do(client int, k *Client, key string, args ...string) (out resp.Value, ok bool) {
	op := h.begin(client, k, key, args)
	v, err := k.Do(args...)
	return v, h.record(op, v, err)
}

func (h *History) begin(client int, k *Client, key string, args []string) Op {
	return Op{Client: client, Node: k.at, Key: key, Args: args, Call: h.next(), At: time.Since(h.start)}
}

// Pipe executes commands on key in one pipeline and records each.
func (h *History) Pipe(client int, k *Client, key string, cmds ...[]string) (ok bool) {
	ops := make([]Op, len(cmds))
	for i, args := range cmds {
		ops[i] = h.begin(client, k, key, args)
	}
	values, err := k.Pipe(cmds...)
	ok = true
	for i, op := range ops {
		if i < len(values) {
			ok = h.record(op, values[i], nil) && ok
		} else {
			ok = h.record(op, resp.Value{}, err) && ok
		}
	}
	return ok
}

// Multi executes commands on key as one transaction and records it as one
// operation named name.
func (h *History) Multi(client int, k *Client, name, key string, cmds ...[]string) (ok bool) {
	op := h.begin(client, k, key, []string{name, key})
	all := append([][]string{{"MULTI"}}, cmds...)
	values, err := k.Pipe(append(all, []string{"EXEC"})...)
	if err != nil {
		return h.record(op, resp.Value{}, err)
	}
	return h.record(op, values[len(values)-1], nil)
}

// Swap sets key to value if nobody has changed it since it was read, by WATCH.
func (h *History) Swap(client int, k *Client, key, value string) (ok bool) {
	if v, err := k.Do("WATCH", key); err != nil || v.IsError() {
		return false
	}
	old, ok := h.Do(client, k, key, "GET", key)
	if !ok {
		return false
	}
	op := h.begin(client, k, key, []string{"SWAP", key, Text(old), value})
	values, err := k.Pipe([]string{"MULTI"}, []string{"SET", key, value}, []string{"EXEC"})
	if err != nil {
		return h.record(op, resp.Value{}, err)
	}
	return h.record(op, values[2], nil)
}

func (h *History) record(op Op, v resp.Value, err error) (ok bool) {
	text := string(v.Str)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.place++
	op.Return, op.Until = h.place, time.Since(h.start)
	applied := false // perhaps
	switch {
	case err == nil && !v.IsError():
		op.Out = Text(v)
		h.Ops = append(h.Ops, op)
		return true
	case err != nil:
		applied = !errors.Is(err, errNotSent)
		text = "connection"
	case strings.HasPrefix(text, "UNCERTAIN "), strings.HasPrefix(text, "CLUSTERDOWN ") && strings.Contains(text, "may or may not"):
		applied = true
	case strings.HasPrefix(text, "CLUSTERDOWN "), strings.HasPrefix(text, "BUSY "):
	default:
		h.Problems = append(h.Problems, fmt.Sprintf("%v: %s", op, text))
		return false
	}
	h.Texts[strings.Fields(text)[0]]++
	if !applied || reads[op.Args[0]] {
		h.Refused++
		return false
	}
	h.Unknown++
	op.Unknown, op.Return = true, never
	h.Ops = append(h.Ops, op)
	return false
}

// never is the return of an operation without a known end.
const never = 1 << 62

var reads = map[string]bool{"GET": true, "LRANGE": true, "GET+GET": true}

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
				l.doubt(key)
			}
			k.Close()
			k.At(l.opts.Nodes[r.IntN(len(l.opts.Nodes))])
		}
	}
}

// doubt makes a key retire sooner: an operation without an outcome doubles
// what a checker has to try.
func (l *Load) doubt(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[key] += l.opts.KeyOps / 4
}

func (l *Load) do(id int, k *Client, r *rand.Rand, key, value string) (ok bool) {
	switch n := r.IntN(100); {
	case n < 10:
		return l.H.Pipe(id, k, key, l.command(r, key, value), l.command(r, key, value+"1"), l.command(r, key, value+"2"))
	case n < 15 && key[0] == 'r':
		return l.H.Multi(id, k, "INCR+GET", key, []string{"INCR", key}, []string{"GET", key})
	case n < 20 && key[0] == 'r':
		return l.H.Multi(id, k, "GET+GET", key, []string{"GET", key}, []string{"GET", key})
	case n < 30 && key[0] == 'r':
		return l.H.Swap(id, k, key, value)
	}
	_, ok = l.H.Do(id, k, key, l.command(r, key, value)...)
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
			if _, ok := l.H.Do(1000, k, key, args...); !ok {
				l.c.t.Errorf("%s final read of %s through node %d failed", stamp(), key, i+1)
			}
		}
	}
}
