package waiter

import (
	"cmp"
	"maps"
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/group"
)

// PerSessionMax is how many commands of one entry node may wait at a shard.
const PerSessionMax = 1 << 16

// ID names a waiter: the session and sequence of the group that registered it
// first.
type ID struct{ Session, Seq uint64 }

// Waiter is one command that waits.
type Waiter struct {
	ID
	Kind  string       // of the command: what is not there for one is not there for the next
	Order uint64       // its place in all lines
	Round uint64       // of its entry node, see Registry.Enter
	Group *group.Group // with the one command, and who takes the answer

	topics []string
}

// Registry is the waiters of a shard.
type Registry struct {
	byID    map[ID]*Waiter
	lines   map[string]line     // by topic
	perNode map[uint64]*entries // session -> what is known of its waiters
	silent  map[cluster.NodeID]bool
	count   uint64   // of orders given out in this term
	journal []func() // undoes what has not been kept, newest last
}

// entries is what is known of the waiters of one session.
type entries struct {
	count int
	round uint64 // newest
}

// New returns an empty registry.
func New() *Registry {
	return &Registry{byID: make(map[ID]*Waiter), lines: make(map[string]line), perNode: make(map[uint64]*entries), silent: make(map[cluster.NodeID]bool)}
}

// Len is how many commands wait.
func (r *Registry) Len() int { return len(r.byID) }

// Awaited reports whether somebody waits for a topic.
func (r *Registry) Awaited(topic []byte) bool { return len(r.lines[string(topic)]) > 0 }

// Waiting is how many wait for a topic.
func (r *Registry) Waiting(topic []byte) (n int) {
	for _, kind := range r.lines[string(topic)] {
		n += len(kind.list)
	}
	return n
}

// Topics lists the topics that somebody waits for and of which want is true.
func (r *Registry) Topics(want func(topic string) bool) []string {
	var list []string
	for t := range r.lines {
		if want(t) {
			list = append(list, t)
		}
	}
	slices.Sort(list) // whatever the order of a map, a replay does the same
	return list
}

// IDs lists the names of all, in their order.
func (r *Registry) IDs() []ID {
	all := slices.SortedFunc(maps.Values(r.byID), byOrder)
	list := make([]ID, len(all))
	for i, w := range all {
		list[i] = w.ID
	}
	return list
}

// Find returns a waiter, or nil.
func (r *Registry) Find(id ID) *Waiter { return r.byID[id] }

// Enter tells in which round of its registrations an entry node speaks. A node
// begins a new one whenever frames that it sent may still lie somewhere though
// newer ones have overtaken them: with a new connection. What belongs to an older
// round than the newest that was seen is refused, or a waiter that has been
// cancelled could come back and take an element that nobody receives. Waiters of
// older rounds are gone: their node registers them again.
func (r *Registry) Enter(session, round uint64) bool {
	e := r.perNode[session]
	if e == nil {
		e = &entries{}
		r.perNode[session] = e
	}
	if round < e.round {
		return false
	}
	if round > e.round {
		e.round = round
		r.dropWhere(func(w *Waiter) bool { return w.Session == session && w.Round < round })
	}
	return true
}

// Full reports whether an entry node has as many waiters as it may.
func (r *Registry) Full(session uint64) bool {
	e := r.perNode[session]
	return e != nil && e.count >= PerSessionMax
}

// Add puts a waiter into the lines of its topics. If it has no place yet it gets
// the last one, in this term.
func (r *Registry) Add(w *Waiter, term uint64, topics [][]byte) {
	if old := r.byID[w.ID]; old != nil {
		w.Order = old.Order
		r.Remove(old)
	}
	if w.Order == 0 {
		r.count++
		w.Order = term<<32 | r.count
	}
	w.topics = make([]string, 0, len(topics))
	for _, t := range topics {
		if s := string(t); !slices.Contains(w.topics, s) {
			w.topics = append(w.topics, s)
		}
	}
	r.put(w)
	r.journal = append(r.journal, func() { r.take(w) })
}

// Stale reports whether an entry node has begun a newer round since.
func (r *Registry) Stale(session, round uint64) bool {
	e := r.perNode[session]
	return e != nil && round < e.round
}

// Remove takes a waiter out.
func (r *Registry) Remove(w *Waiter) {
	if r.byID[w.ID] != w {
		return
	}
	r.take(w)
	r.journal = append(r.journal, func() { r.put(w) })
}

func (r *Registry) put(w *Waiter) {
	if r.byID[w.ID] != nil {
		return
	}
	r.byID[w.ID] = w
	e := r.perNode[w.Session]
	if e == nil {
		e = &entries{round: w.Round}
		r.perNode[w.Session] = e
	}
	e.count++
	for _, t := range w.topics {
		r.lines[t] = r.lines[t].insert(w)
	}
}

func (r *Registry) take(w *Waiter) {
	if r.byID[w.ID] != w {
		return
	}
	delete(r.byID, w.ID)
	if e := r.perNode[w.Session]; e != nil {
		e.count--
	}
	for _, t := range w.topics {
		if l := r.lines[t].remove(w); len(l) == 0 {
			delete(r.lines, t)
		} else {
			r.lines[t] = l
		}
	}
}

func byOrder(a, b *Waiter) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Session, b.Session), cmp.Compare(a.Seq, b.Seq))
}

// Keep makes what was done since the last Keep or Undo count.
func (r *Registry) Keep() {
	clear(r.journal)
	r.journal = r.journal[:0]
}

// Undo takes it back.
func (r *Registry) Undo() {
	for i := len(r.journal) - 1; i >= 0; i-- {
		r.journal[i]()
	}
	r.Keep()
}

// Silence says whether an entry node can be reached. Who can't be told is not
// served: what he was given nobody would get. It returns the topics for which
// waiters can be told again.
func (r *Registry) Silence(node cluster.NodeID, silent bool) (back []string) {
	if silent {
		r.silent[node] = true
		return nil
	}
	if !r.silent[node] {
		return nil
	}
	delete(r.silent, node)
	for _, w := range r.byID {
		if group.SessionNode(w.Session) == node {
			back = append(back, w.topics...)
		}
	}
	slices.Sort(back)
	return slices.Compact(back)
}

// EndBefore removes the waiters of older incarnations of a session's node: nobody
// is there to be told.
func (r *Registry) EndBefore(session uint64) {
	older := func(id uint64) bool {
		return group.SessionNode(id) == group.SessionNode(session) && group.SessionIncarnation(id) < group.SessionIncarnation(session)
	}
	r.dropWhere(func(w *Waiter) bool { return older(w.Session) })
	for id := range r.perNode {
		if older(id) {
			delete(r.perNode, id)
		}
	}
}

// dropWhere removes waiters for good.
func (r *Registry) dropWhere(drop func(w *Waiter) bool) {
	for _, w := range r.byID {
		if drop(w) {
			r.take(w)
		}
	}
}
