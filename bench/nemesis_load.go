package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"tutti/internal/proof/check"
)

// Bounds of the workload. What a checker can search is small: a key is replaced
// by a new one before it has seen too much.
const (
	nemesisClients = 8
	keyUses        = 90 // operations on a key, with those under way at its end below the checker's 150
	keyDoubts      = 3  // operations with an unknown outcome: each doubles the search
	listUses       = 40 // appends to a list, which is read as a whole
	// opTimeout is after which a client gives up an operation: longer than any
	// election, shorter than the longest fault.
	opTimeout = 3 * time.Second
	// thinkMax keeps clients from taking the processors away from the servers.
	thinkMax = 8 * time.Millisecond
	failMax  = 60 * time.Millisecond // after an operation that failed
)

// The kinds of keys, by their first letter, and who judges them.
const (
	registerKeys = "r" // read, written, swapped: unique values
	counterKeys  = "c" // counted and read
	listKeys     = "a" // lists of transactions
	mortalKeys   = "e" // with a time to live, in timed loads only
)

// mortalError is by how much keys may go early or late: early ends are bounded by what
// docs/GUARANTEES.md says, late ones by what a busy machine may take beside that.
var mortalError = check.TimeError{
	Early: check.Slack{Fixed: 10 * time.Millisecond, Share: 0.05},
	Late:  check.Slack{Fixed: 2 * time.Second, Share: 0.06},
}

// loadSuite says who judges what, and through which nodes (counted from 0 here,
// from 1 in a history) every key is read at the end. timed: some keys have a time to live.
func loadSuite(through []int, timed bool) check.Suite {
	s := check.Suite{Rules: []check.Rule{
		{Prefix: registerKeys, Check: "register"},
		{Prefix: counterKeys, Check: "counter"},
		{Prefix: listKeys, Check: "append"},
	}}
	if timed {
		s.Rules, s.TimeError = append(s.Rules, check.Rule{Prefix: mortalKeys, Check: "expiry"}), mortalError
	}
	for _, node := range through {
		s.FinalNodes = append(s.FinalNodes, node+1)
	}
	return s
}

// keyring hands out the keys that are in use.
type keyring struct {
	mu     sync.Mutex // guards what follows
	active map[string][]*liveKey
	all    []string
	values int
}

type liveKey struct {
	name         string
	uses, doubts int
}

// usesMax is how many operations a key sees: of a register, with those under
// way at its end, below the checker's 150; a list is read as a whole, so it must
// stay short; a counter's checker has no bound.
var usesMax = map[string]int{registerKeys: 90, listKeys: 40, mortalKeys: 60, counterKeys: math.MaxInt}

// activeKeys is how many keys of a kind are in use at once: few, so that
// clients meet.
var activeKeys = map[string]int{registerKeys: 4, counterKeys: 1, listKeys: 5, mortalKeys: 6}

func newKeyring() *keyring { return &keyring{active: make(map[string][]*liveKey)} }

// take picks n different keys of a kind.
func (k *keyring) take(r *rand.Rand, kind string, n int) (keys []*liveKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.active[kind]) < activeKeys[kind] {
		name := kind + strconv.Itoa(len(k.all))
		k.all = append(k.all, name)
		k.active[kind] = append(k.active[kind], &liveKey{name: name})
	}
	list := k.active[kind]
	for _, i := range r.Perm(len(list))[:n] {
		keys = append(keys, list[i])
	}
	for _, key := range keys {
		if key.uses++; key.uses >= usesMax[kind] {
			k.retire(kind, key)
		}
	}
	return keys
}

func (k *keyring) retire(kind string, key *liveKey) {
	k.active[kind] = slices.DeleteFunc(k.active[kind], func(o *liveKey) bool { return o == key })
}

// doubt notes that an operation on keys of a kind was not answered.
func (k *keyring) doubt(kind string, keys []*liveKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if key.doubts++; key.doubts >= keyDoubts && kind != counterKeys {
			k.retire(kind, key)
		}
	}
}

// value returns one that nobody has written.
func (k *keyring) value() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.values++
	return strconv.Itoa(k.values)
}

// client is one client of the workload. It stays with a node for a while and
// leaves one that fails it.
type client struct {
	id   int
	rec  *check.Recorder
	keys *keyring
	s    session
	rand *rand.Rand
	node int
	all  int // nodes
	// timed: every other operation is about keys with a time to live.
	timed bool
}

// run works until stop is closed.
func (c *client) run(stop <-chan struct{}) {
	defer c.s.close()
	for {
		think := thinkMax
		if !c.step() {
			think = failMax
			c.node = c.rand.IntN(c.all)
		} else if c.rand.IntN(8) == 0 {
			c.node = c.rand.IntN(c.all)
		}
		select {
		case <-stop:
			return
		case <-time.After(rand.N(think)):
		}
	}
}

// step is one operation.
func (c *client) step() (ok bool) {
	if c.timed && c.rand.IntN(2) == 0 {
		return c.mortal()
	}
	switch n := c.rand.IntN(100); {
	case n < 30:
		return c.single(registerKeys, "GET")
	case n < 50:
		return c.single(registerKeys, "SET", c.keys.value())
	case n < 60:
		return c.swap()
	case n < 66:
		return c.single(counterKeys, "INCR")
	case n < 70:
		return c.single(counterKeys, "GET")
	default:
		return c.transaction()
	}
}

func (c *client) single(kind, name string, args ...string) bool {
	keys := c.keys.take(c.rand, kind, 1)
	cmd := check.Command(append([]string{name, keys[0].name}, args...)...)
	return c.outcome(kind, keys, c.s.do(c.rec, c.id, c.node, opTimeout, false, cmd))
}

// mortal is an operation on a key with a time to live.
func (c *client) mortal() bool {
	life := strconv.Itoa(300 + c.rand.IntN(4000)) // milliseconds
	switch n := c.rand.IntN(100); {
	case n < 12:
		return c.single(mortalKeys, "SET", c.keys.value(), "PX", life)
	case n < 18:
		return c.single(mortalKeys, "PEXPIRE", life)
	case n < 40:
		return c.single(mortalKeys, "PTTL")
	default:
		return c.single(mortalKeys, "GET")
	}
}

func (c *client) swap() bool {
	keys := c.keys.take(c.rand, registerKeys, 1)
	return c.outcome(registerKeys, keys, c.s.swap(c.rec, c.id, c.node, opTimeout, keys[0].name, c.keys.value()))
}

// transaction appends to some lists and reads others.
func (c *client) transaction() bool {
	keys := c.keys.take(c.rand, listKeys, 1+c.rand.IntN(3))
	var cmds []check.Cmd
	for _, k := range keys {
		if c.rand.IntN(2) == 0 {
			cmds = append(cmds, check.Command("RPUSH", k.name, c.keys.value()))
		} else {
			cmds = append(cmds, check.Command("LRANGE", k.name, "0", "-1"))
		}
	}
	return c.outcome(listKeys, keys, c.s.do(c.rec, c.id, c.node, opTimeout, true, cmds...))
}

func (c *client) outcome(kind string, keys []*liveKey, ok bool) bool {
	if !ok {
		c.keys.doubt(kind, keys)
	}
	return ok
}

// readAll reads every key through every one of nodes, when all clients have
// stopped. A read that fails is tried again: the cluster is whole now.
func (k *keyring) readAll(b *bed, rec *check.Recorder, nodes []int) error {
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for at, node := range nodes {
		wg.Go(func() {
			s, err := b.system.session(b, b.addrs())
			if err != nil {
				errs[at] = err
				return
			}
			defer s.close()
			for _, key := range k.all {
				cmd := check.Command("GET", key)
				if key[:1] == listKeys {
					cmd = check.Command("LRANGE", key, "0", "-1")
				}
				read := false
				for tries := 0; tries < 2 && !read; tries++ {
					read = s.do(rec, check.FinalReader, node, finalTimeout, false, cmd)
				}
				if !read {
					errs[at] = fmt.Errorf("final read of %s through node %d failed", key, node+1)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

const finalTimeout = 10 * time.Second
