package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/peer"
)

// net is several hubs and what is under way between them. Nothing arrives before pump.
type net struct {
	t    *testing.T
	hubs map[cluster.NodeID]*Hub

	mu    sync.Mutex                 // guards all below, for who is told later
	down  map[[2]cluster.NodeID]bool // from, to
	full  map[[2]cluster.NodeID]bool
	queue []sent
	log   []sent // what arrived
}

type sent struct {
	from, to cluster.NodeID
	kind     peer.Kind
	frame    []byte
}

func newNet(t *testing.T, nodes ...cluster.NodeID) *net {
	n := &net{t: t, hubs: map[cluster.NodeID]*Hub{}, down: map[[2]cluster.NodeID]bool{}, full: map[[2]cluster.NodeID]bool{}}
	members := make([]cluster.Member, len(nodes))
	for i, id := range nodes {
		members[i] = cluster.Member{ID: id, Name: fmt.Sprint(id), Version: 1}
	}
	m, err := cluster.NewMap(cluster.Map{Epoch: 1, Name: "c", Version: 1, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range nodes {
		n.start(id, m)
	}
	return n
}

func (n *net) start(id cluster.NodeID, m *cluster.Map) {
	send := func(to cluster.NodeID, kind peer.Kind, build func([]byte) []byte) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if way := [2]cluster.NodeID{id, to}; n.down[way] || n.full[way] {
			return false
		}
		n.queue = append(n.queue, sent{id, to, kind, build(nil)})
		return true
	}
	h := New(Config{Node: id, Start: uint64(id)<<8 + uint64(len(n.log)), Map: cluster.NewHolder(m, nil), Send: send, Offer: send})
	h.Run()
	n.t.Cleanup(h.Close)
	n.hubs[id] = h
}

// link says that the way from one node to another stands, or not any more.
func (n *net) link(from, to cluster.NodeID, up bool) {
	n.mu.Lock()
	n.down[[2]cluster.NodeID{from, to}] = !up
	if !up {
		n.queue = slices.DeleteFunc(n.queue, func(s sent) bool { return s.from == from && s.to == to })
	}
	n.mu.Unlock()
	n.hubs[from].LinkChanged(to, up)
}

func (n *net) linkAll() {
	for from := range n.hubs {
		for to := range n.hubs {
			if from != to {
				n.link(from, to, true)
			}
		}
	}
	n.pump()
}

// pump has arrive what is under way, and what comes of it.
func (n *net) pump() {
	for {
		n.mu.Lock()
		if len(n.queue) == 0 {
			n.mu.Unlock()
			return
		}
		s := n.queue[0]
		n.queue = n.queue[1:]
		n.log = append(n.log, s)
		n.mu.Unlock()
		h := n.hubs[s.to]
		switch s.kind {
		case KindInterest:
			h.Interest(s.from, s.frame)
		case KindHeard:
			h.Heard(s.from, s.frame)
		case KindAsk:
			h.Ask(s.from, s.frame)
		case KindMessage:
			h.Message(s.from, s.frame)
		}
	}
}

// arrived counts the frames of a kind that have arrived at a node.
func (n *net) arrived(kind peer.Kind, to cluster.NodeID) (count int) {
	for _, s := range n.log {
		if s.kind == kind && s.to == to {
			count++
		}
	}
	return count
}

// listener is a subscriber that keeps what it is sent.
type listener struct {
	*Subscriber
	got chan string
}

func newListener() *listener {
	l := &listener{got: make(chan string, 1000)}
	l.Subscriber = NewSubscriber(func(m *Message) { l.got <- strings.ReplaceAll(string(m.Encode(2)), "\r\n", " ") })
	return l
}

func (l *listener) next(t *testing.T, want string) {
	t.Helper()
	if got := <-l.got; got != want {
		t.Fatalf("%q, not %q", got, want)
	}
}

func publish(t *testing.T, h *Hub, kind Kind, channel, payload string, want int) {
	t.Helper()
	if got := h.Publish(kind, []byte(channel), []byte(payload)); got != want {
		t.Errorf("%s on %s has %d receivers, not %d", payload, channel, got, want)
	}
}

func TestMessagesGoToWhoeverHasSubscribedAndNowhereElse(t *testing.T) {
	n := newNet(t, 1, 2, 3)
	n.linkAll()
	a, b, here := newListener(), newListener(), newListener()
	n.hubs[2].Subscribe(a.Subscriber, Channel, "x")
	n.hubs[2].Subscribe(b.Subscriber, Pattern, "x*")
	n.hubs[1].Subscribe(here.Subscriber, Channel, "x")
	n.pump()
	publish(t, n.hubs[1], Channel, "x", "1", 3)
	publish(t, n.hubs[1], Channel, "xy", "2", 1)
	publish(t, n.hubs[3], Channel, "x", "3", 3)
	publish(t, n.hubs[1], ShardChannel, "x", "4", 0)
	n.pump()
	here.next(t, "*3 $7 message $1 x $1 1 ")
	here.next(t, "*3 $7 message $1 x $1 3 ")
	a.next(t, "*3 $7 message $1 x $1 1 ")
	a.next(t, "*3 $7 message $1 x $1 3 ")
	b.next(t, "*4 $8 pmessage $2 x* $1 x $1 1 ")
	b.next(t, "*4 $8 pmessage $2 x* $2 xy $1 2 ")
	b.next(t, "*4 $8 pmessage $2 x* $1 x $1 3 ")
	if n.arrived(KindMessage, 3) != 0 || n.arrived(KindMessage, 2) != 3 || n.arrived(KindMessage, 1) != 1 {
		t.Errorf("messages went to %d, %d and %d", n.arrived(KindMessage, 1), n.arrived(KindMessage, 2), n.arrived(KindMessage, 3))
	}
	n.hubs[2].Leave(a.Subscriber)
	n.hubs[2].Unsubscribe(b.Subscriber, Pattern, "x*")
	n.pump()
	publish(t, n.hubs[3], Channel, "x", "5", 1)
	if names := n.hubs[3].Names(Channel, nil); fmt.Sprint(names) != "[x]" {
		t.Error(names)
	}
}

// What is known of a peer is whole again when its link comes back, however it was lost.
func TestTablesAreWholeAgain(t *testing.T) {
	n := newNet(t, 1, 2)
	n.linkAll()
	s := newListener()
	far, near := n.hubs[2], n.hubs[1]
	for i := range 30 {
		// Large enough for several parts.
		far.Subscribe(s.Subscriber, Channel, fmt.Sprint(i, strings.Repeat("x", 20<<10)))
	}
	n.pump()
	known := func(want int) {
		t.Helper()
		n.pump()
		if got := len(near.Names(Channel, nil)); got != want {
			t.Fatalf("%d channels are known, not %d", got, want)
		}
	}
	known(30)
	n.link(1, 2, false) // the near one can't send: whoever it knows of can't be reached
	known(0)
	far.Subscribe(s.Subscriber, Channel, "meanwhile")
	known(0)
	n.link(1, 2, true)
	known(31)
	n.link(2, 1, false) // the far one can't tell
	far.Subscribe(s.Subscriber, Channel, "more")
	known(31)
	n.link(2, 1, true)
	known(32)
	n.queue = nil
	far.Subscribe(s.Subscriber, Channel, "lost")
	n.queue = nil
	far.Subscribe(s.Subscriber, Channel, "after it")
	known(34)
	asks := n.arrived(KindAsk, 2)
	far.Unsubscribe(s.Subscriber, Channel, "lost")
	n.queue = nil
	for i := range 10 { // all of which show that something is missing
		far.Subscribe(s.Subscriber, Channel, fmt.Sprint("one more ", i))
	}
	known(43)
	if more := n.arrived(KindAsk, 2) - asks; more != 1 {
		t.Errorf("asked %d times", more)
	}
}

// A peer without room for a change is told all, later.
func TestWhoHadNoRoomIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, 1, 2)
		n.linkAll()
		room := func(full bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.full[[2]cluster.NodeID{2, 1}] = full
		}
		room(true)
		s := newListener()
		n.hubs[2].Subscribe(s.Subscriber, Channel, "x")
		n.pump()
		publish(t, n.hubs[1], Channel, "x", "1", 0)
		room(false)
		time.Sleep(retryAfter)
		synctest.Wait()
		n.pump()
		publish(t, n.hubs[1], Channel, "x", "2", 1)
	})
}

func settled(w *Settling) bool {
	if w == nil {
		return true
	}
	select {
	case <-w.Done:
		return true
	default:
		return false
	}
}

func TestASubscriptionSettlesWhenAllPeersKnow(t *testing.T) {
	n := newNet(t, 1, 2, 3)
	n.linkAll()
	s := newListener()
	h := n.hubs[1]
	subscribe := func(name string) *Settling {
		h.Subscribe(s.Subscriber, Channel, name)
		return h.Settle()
	}
	w := subscribe("x")
	if settled(w) {
		t.Fatal("settled before anybody was told")
	}
	n.pump()
	if !settled(w) || h.Settle() != nil {
		t.Fatal("not settled though all have heard")
	}
	w = subscribe("y")
	n.queue = slices.DeleteFunc(n.queue, func(s sent) bool { return s.to == 3 })
	n.pump()
	if settled(w) {
		t.Fatal("settled, and node 3 does not know")
	}
	h.GiveUp(w) // node 3 is frozen: the next one does not wait for it
	w = subscribe("z")
	frozen := n.queue
	n.queue = slices.DeleteFunc(slices.Clone(n.queue), func(s sent) bool { return s.to == 3 })
	if n.pump(); !settled(w) {
		t.Fatal("waits for a node that was given up")
	}
	n.queue = slices.DeleteFunc(frozen, func(s sent) bool { return s.to == 2 })
	n.pump() // it goes on, finds that something is missing, and has all again
	w = subscribe("last")
	n.queue = slices.DeleteFunc(n.queue, func(s sent) bool { return s.to == 3 })
	if n.pump(); settled(w) {
		t.Fatal("does not wait for a node that answers again")
	}
	if n.link(1, 3, false); !settled(w) {
		t.Fatal("waits for a node that can't be reached")
	}
}

// Who has just started waits for the tables of the others, who are maybe gone.
func TestWhatIsWorthWaitingFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNet(t, 1, 2)
		h := n.hubs[1]
		more, until := h.Unheard()
		if more == nil || time.Until(until) != arrivalMax {
			t.Fatalf("a new node waits until %v", time.Until(until))
		}
		n.link(1, 2, true)
		<-more
		more, until = h.Unheard()
		if more == nil || time.Until(until) != tableMax {
			t.Fatalf("with a link it waits until %v", time.Until(until))
		}
		n.link(2, 1, true)
		n.pump()
		<-more
		if more, _ := h.Unheard(); more != nil {
			t.Fatal("it waits, and knows all")
		}
		// The other one may not have noticed yet that this is another start, and then
		// breaks the link again.
		n.link(1, 2, false)
		if more, until := h.Unheard(); more == nil || time.Until(until) != arrivalMax {
			t.Fatal("a new node does not wait for a link that was lost at once")
		}
		time.Sleep(arrivalMax)
		if more, _ := h.Unheard(); more != nil {
			t.Fatal("it waits for a node that can't be reached")
		}
		alone := newNet(t, 1, 2).hubs[1]
		time.Sleep(arrivalMax)
		if more, _ := alone.Unheard(); more != nil {
			t.Fatal("it waits for a node that never came")
		}
	})
}

// What a node can't hand over fast enough is lost beyond a bound, and counted.
func TestTheInboxIsBounded(t *testing.T) {
	h := New(Config{}) // does not run: nothing is handed over
	m := envelope{kind: Channel, channel: []byte("x"), payload: make([]byte, 1<<20)}
	for range 100 {
		m.seq++
		h.Message(2, m.encode(nil))
	}
	lost := h.Counts().LostInInbox
	if kept := len(h.inbox.take()); kept != inboxMax>>20-1 || int(lost) != 100-kept {
		t.Errorf("%d are kept and %d lost", kept, lost)
	}
}

func TestEventsAreThoseOfAllNodes(t *testing.T) {
	n := newNet(t, 1, 2)
	n.linkAll()
	n.hubs[1].SetEvents(1)
	n.hubs[2].SetEvents(4)
	n.pump()
	if a, b := n.hubs[1].Events(), n.hubs[2].Events(); a != 5 || b != 5 {
		t.Errorf("%d and %d", a, b)
	}
}

// Links lose and repeat nothing within a connection, but two of them may overlap.
func TestNothingIsHandedOverTwice(t *testing.T) {
	n := newNet(t, 1, 2)
	n.linkAll()
	s := newListener()
	n.hubs[2].Subscribe(s.Subscriber, Channel, "x")
	n.pump()
	publish(t, n.hubs[1], Channel, "x", "1", 1)
	publish(t, n.hubs[1], Channel, "x", "2", 1)
	n.queue = append(n.queue, n.queue...)
	n.pump()
	publish(t, n.hubs[1], Channel, "x", "3", 1)
	n.pump()
	for _, want := range []string{"1", "2", "3"} {
		s.next(t, "*3 $7 message $1 x $1 "+want+" ")
	}
	// Nor does a change of what is wanted that comes twice, or late, do any harm.
	n.hubs[2].Subscribe(s.Subscriber, Channel, "y")
	n.queue = append(n.queue, n.queue...)
	n.hubs[2].Subscribe(s.Subscriber, Channel, "z")
	n.queue = append(n.queue, n.queue[0])
	asks := n.arrived(KindAsk, 2)
	n.pump()
	if got := len(n.hubs[1].Names(Channel, nil)); got != 3 || n.arrived(KindAsk, 2) != asks {
		t.Errorf("%d channels are known, after %d questions", got, n.arrived(KindAsk, 2)-asks)
	}
	// While a change is missing the others are known all the same.
	n.hubs[2].Subscribe(s.Subscriber, Channel, "lost")
	n.queue = nil
	n.hubs[2].Subscribe(s.Subscriber, Channel, "after it")
	late := n.queue
	n.queue = nil
	n.hubs[1].Interest(2, late[0].frame)
	publish(t, n.hubs[1], Channel, "x", "4", 1)
}
