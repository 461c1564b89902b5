package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/router"
	"tutti/internal/trust"
)

// order is one thing that an operator wants of a cluster.
type order struct {
	what  string        // join, drain, undrain, remove, place, policy, rotate
	node  int           // whom to take in or out
	shard int           // what to place
	on    []int         // where
	text  string        // what the policy is to be
	ttl   time.Duration // of a token; 0: the usual one
}

// orders are what an operator wants of a cluster. One goroutine asks for one
// after the other, of node after node until it is done, whatever happens to the
// nodes meanwhile. What a node has not answered may still be carried out, and
// late, so what counts is what the map says.
type orders struct {
	k    *Client       // of the goroutine
	auto bool          // the cluster places its replicas
	wake chan struct{} // capacity 1: a signal
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex // guards what follows
	queue []order    // the first one is being carried out
	hosts []int      // to be asked
	next  int        // which of them
	plan  map[int][]int
	last  string // what the last answer was that did not help
	in    map[int]bool
	out   map[int]bool
	dead  map[int]bool // for good, as whoever sees the machine knows
	// unsure is until when a plan may be carried out whose answer was not heard. It
	// belongs to the goroutine that carries orders out.
	unsure time.Time
	// tokens are those of the nodes that join.
	tokens map[int]trust.Token
}

const (
	askTimeout = 2 * time.Second
	askPause   = 200 * time.Millisecond
)

func newOrders(c *Cluster) *orders {
	o := &orders{k: c.Client("operator"), auto: c.opts.AutoPlace, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		plan: make(map[int][]int), in: make(map[int]bool), out: make(map[int]bool), dead: make(map[int]bool), tokens: make(map[int]trust.Token)}
	o.k.Timeout = askTimeout
	for _, m := range c.machines {
		o.know(m)
		o.in[m.id] = true
	}
	go o.run()
	return o
}

// know adds a machine to those that can be asked.
func (o *orders) know(m *machine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hosts = append(o.hosts, m.id)
}

// give adds an order.
func (o *orders) give(x order) {
	o.mu.Lock()
	o.queue = append(o.queue, x)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// open returns how many orders are not carried out yet, and what the last answer
// was that did not help.
func (o *orders) open() (n int, last string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue), o.last
}

// waits reports whether an order that ok accepts is not carried out yet.
func (o *orders) waits(ok func(x order) bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.queue, ok)
}

// isIn reports whether a node was taken in, and whether it was taken out since.
func (o *orders) isIn(node int) (in, out bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.in[node], o.out[node]
}

// planned returns where a shard was placed last; nil: it never was.
func (o *orders) planned(shard int) []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, x := range slices.Backward(o.queue) {
		if x.what == "place" && x.shard == shard {
			return x.on
		}
	}
	return o.plan[shard]
}

// close ends the goroutine; its connection is broken already.
func (o *orders) close() {
	close(o.quit)
	<-o.done
}

func (o *orders) run() {
	defer close(o.done)
	defer o.k.Close()
	for {
		pause := time.After(askPause)
		if !o.carryOut() {
			pause = nil // nothing to do until there is another
		}
		select {
		case <-o.quit:
			return
		case <-o.wake:
		case <-pause:
		}
	}
}

// carryOut tries the first order once, at one node, and reports whether any is
// left.
func (o *orders) carryOut() (more bool) {
	o.mu.Lock()
	if len(o.queue) == 0 {
		o.mu.Unlock()
		return false
	}
	x := o.queue[0]
	for o.next++; !o.in[o.host()] || o.out[o.host()] || o.dead[o.host()]; o.next++ {
	}
	o.k.At(o.host())
	o.mu.Unlock()
	done := o.try(x)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !done {
		return true
	}
	o.queue = o.queue[1:]
	switch x.what {
	case "remove":
		o.out[x.node] = true
	case "place":
		o.plan[x.shard] = x.on
	}
	return len(o.queue) > 0
}

// host is whose turn it is; mu is held.
func (o *orders) host() int { return o.hosts[o.next%len(o.hosts)] }

// try asks for what an order still lacks and reports whether it is carried out.
func (o *orders) try(x order) bool {
	switch x.what {
	case "place":
		return o.place(x.shard, x.on)
	case "drain":
		return o.settle("TUTTI.MEMBER", "DRAIN", fmt.Sprint(x.node), "ACCEPT-ONE-COPY")
	case "undrain":
		return o.settle("TUTTI.MEMBER", "UNDRAIN", fmt.Sprint(x.node))
	case "policy":
		return o.settle(append([]string{"TUTTI.POLICY"}, strings.Fields(x.text)...)...)
	case "rotate":
		return o.settle("TUTTI.CERT", "ROTATE")
	case "join":
		o.makeToken(x)
		in, _ := o.isIn(x.node)
		return in
	case "remove":
		now, ok := o.now()
		in := now.member(x.node)
		if ok && in != nil {
			o.clear(now, in)
		}
		return ok && in == nil
	}
	panic("sim: no order " + x.what)
}

// arrived notes that a node is in, and knows it.
func (o *orders) arrived(node int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.in[node] = true
}

// makeToken has a token made for who joins, unless there is one, with which he
// is still on his way.
func (o *orders) makeToken(x order) {
	if _, ok := o.token(x.node); ok {
		return
	}
	args := []string{"TUTTI.TOKEN", "CREATE"}
	if x.ttl > 0 {
		args = append(args, "TTL", fmt.Sprint(int(x.ttl.Seconds())))
	}
	text, ok := o.ask(args...)
	if !ok {
		return
	}
	t, err := trust.ParseToken(text)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.last = fmt.Sprintf("%s: %v", text, err)
		return
	}
	o.tokens[x.node] = t
}

// token returns the token that was made for a node.
func (o *orders) token(node int) (t trust.Token, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok = o.tokens[node]
	return t, ok
}

// spoil has another token made for a node.
func (o *orders) spoil(node int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.tokens, node)
}

// settle asks for something that may also be refused: it is the last node, say.
func (o *orders) settle(args ...string) bool {
	v, err := o.k.Do(args...)
	return err == nil && (!v.IsError() || strings.HasPrefix(Text(v), "ERR "))
}

func (o *orders) place(shard int, on []int) bool {
	args := []string{"TUTTI.PLACE", fmt.Sprint(shard)}
	for _, n := range on {
		args = append(args, fmt.Sprint(n))
	}
	v, err := o.k.Do(args...)
	if err != nil {
		// Whoever was asked goes on trying for as long as this: a plan that was given up
		// here may take the place of a later one. So it is asked for until that is over.
		o.unsure = time.Now().Add(router.TimeoutDefault)
	}
	return err == nil && !v.IsError() && !time.Now().Before(o.unsure)
}

// clear takes a node out, once no shard is to be there: a plan that was given up
// may have been carried out late.
func (o *orders) clear(now mapText, x *cluster.Member) {
	if o.auto && x.State != cluster.Draining {
		o.settle("TUTTI.MEMBER", "DRAIN", fmt.Sprint(x.ID), "ACCEPT-ONE-COPY")
		return
	}
	for _, s := range now.Shards {
		on := o.placed(s.ID)
		if on != nil && slices.ContainsFunc(s.Want, func(p cluster.Placement) bool { return p.Node == x.ID || o.isDead(int(p.Node)) }) {
			if on = o.living(on, int(x.ID)); o.place(s.ID, on) {
				o.replan(s.ID, on)
			}
			return
		}
	}
	o.ask("TUTTI.MEMBER", "REMOVE", fmt.Sprint(x.ID))
}

// died notes that a machine is dead for good.
func (o *orders) died(node int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead[node] = true
}

func (o *orders) isDead(node int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead[node]
}

// living returns a plan with others in the place of nodes that have died since, and of
// the one that goes, which an earlier such plan may have taken: a new replica on a
// dead node begins never, and what it was to replace never goes. As many of it may be
// lost as of the plan, where the dead ones count as lost.
func (o *orders) living(on []int, goes int) []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(on), func(i int) bool { return o.dead[i] || i == goes })
	for _, i := range o.hosts {
		leaves := slices.ContainsFunc(o.queue, func(x order) bool { return x.what == "remove" && x.node == i })
		if len(next) < len(on) && o.in[i] && !o.out[i] && !o.dead[i] && !leaves && !slices.Contains(next, i) {
			next = append(next, i)
		}
	}
	if len(next) == 0 {
		return on // nobody is left to take over
	}
	return next
}

// replan notes where the operator has placed a shard on his own.
func (o *orders) replan(shard int, on []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.plan[shard] = on
}

// placed returns where a shard was placed by the orders that are carried out.
func (o *orders) placed(shard int) []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.plan[shard]
}

// ask sends a command to the node whose turn it is.
func (o *orders) ask(args ...string) (answer string, ok bool) {
	v, err := o.k.Do(args...)
	answer = Text(v)
	if err == nil && !v.IsError() {
		return answer, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = fmt.Sprint(args, ": ", answer, " ", err)
	return "", false
}

// mapText is what TUTTI.MAP answers.
type mapText struct {
	Members []cluster.Member `json:"members"`
	Shards  []struct {
		ID       int                 `json:"id"`
		Replicas []cluster.Replica   `json:"replicas"`
		Want     []cluster.Placement `json:"want"`
	} `json:"shards"`
}

func (m mapText) member(node int) *cluster.Member {
	for i, x := range m.Members {
		if int(x.ID) == node {
			return &m.Members[i]
		}
	}
	return nil
}

// now reads the map.
func (o *orders) now() (m mapText, ok bool) {
	text, ok := o.ask("TUTTI.MAP")
	if !ok {
		return m, false
	}
	return parseMap(text)
}

func parseMap(text string) (m mapText, ok bool) {
	err := json.Unmarshal([]byte(text), &m)
	return m, err == nil
}

// placed reports whether all shards are where the map plans them.
func (m mapText) placed() bool {
	for _, s := range m.Shards {
		var votes, learns []int
		for _, p := range s.Want {
			if p.Learner {
				learns = append(learns, int(p.Node))
			} else {
				votes = append(votes, int(p.Node))
			}
		}
		voters, others := m.on(s.ID)
		if slices.Sort(votes); !slices.Equal(voters, votes) {
			return false
		}
		if slices.Sort(learns); !slices.Equal(others, learns) {
			return false
		}
	}
	return len(m.Shards) > 0
}

// on returns the nodes of the voters of a shard and of its other replicas, in
// order.
func (m mapText) on(shard int) (voters, others []int) {
	for _, s := range m.Shards {
		if s.ID != shard {
			continue
		}
		for _, r := range s.Replicas {
			if r.Part == cluster.Voter {
				voters = append(voters, int(r.Node))
			} else {
				others = append(others, int(r.Node))
			}
		}
	}
	slices.Sort(voters)
	slices.Sort(others)
	return voters, others
}
