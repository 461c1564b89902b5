package sim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// inTurn has what may happen to a leader happen, one after the other in some order: it
// dies, loses its power, freezes, is cut off, hears another node badly, and, if clocks may
// jump, dies with clocks an hour off. calm is between two of them.
func inTurn(c *Cluster, calm time.Duration, clocks bool) {
	troubles := []func(lead, other int){
		func(lead, _ int) { c.Kill(lead) },
		func(lead, _ int) { c.Crash(lead) },
		func(lead, _ int) { c.Pause(lead) },
		func(lead, other int) {
			c.Cut(c.Name(lead), c.Name(other))
			c.Cut(c.Name(lead), c.Name(6-lead-other))
		},
		func(lead, other int) {
			c.Net.Set(c.Name(lead), c.Name(other), func(p *Path) { p.Frames = Frames{Drop: 0.05, Duplicate: 0.1, Reorder: 0.1} })
		},
	}
	if clocks {
		troubles = append(troubles, func(lead, other int) {
			c.Clock(lead).Jump(time.Duration(c.Rand.IntN(7200)-3600) * time.Second)
			c.Clock(other).Jump(time.Duration(c.Rand.IntN(7200)-3600) * time.Second)
			c.Kill(lead)
		})
	}
	for _, i := range c.Rand.Perm(len(troubles)) {
		time.Sleep(calm)
		lead := c.WaitLeader(1)
		troubles[i](lead, 1+lead%3)
		time.Sleep(time.Duration(1+c.Rand.IntN(3)) * time.Second)
		c.Recover()
	}
}

// Groups work through streams while leaders die, freeze, are cut off, and hear each other
// badly: what all clients were told is what one stream with one group says.
func TestGroupsOfStreamsUnderFaults(t *testing.T) {
	load := LoadOptions{Clients: 6, Kinds: []string{"stream"}, Timeout: 3 * time.Second, Think: 40 * time.Millisecond}
	bubbleLoad(t, Options{Seed: env("TUTTI_SIM_SEED", 4500)}, load, func(c *Cluster) { inTurn(c, time.Second, true) })
}

// crew is what became of the entries of one stream: many add, and many work in a group,
// wait for entries, and sometimes leave what they were given to others.
type crew struct {
	mu     sync.Mutex
	added  map[string]bool // acknowledged
	maybe  map[string]bool // added, with an outcome that nobody knows
	ids    map[string]string
	given  map[string]int // as new
	acked  map[string]int // with 1
	ended  map[string]int // what the count of events was then
	events int
	unsure map[string]bool
	taken  int // by XAUTOCLAIM
}

func newCrew() *crew {
	return &crew{added: map[string]bool{}, maybe: map[string]bool{}, ids: map[string]string{}, given: map[string]int{}, acked: map[string]int{}, ended: map[string]int{}, unsure: map[string]bool{}}
}

// crewIdle is after what others take an entry over.
const crewIdle = "1500"

func (w *crew) produce(t *testing.T, k *Client, id int, r *rand.Rand, stop <-chan struct{}) {
	defer k.Close()
	last := ""
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(r.IntN(60)) * time.Millisecond):
		}
		val := fmt.Sprintf("%d.%d", id, n)
		v, err := k.Do("XADD", "stream", "*", "v", val)
		w.mu.Lock()
		if err == nil && respclient.Err(v) == nil {
			if !newer(string(v.Str), last) {
				t.Errorf("%s entry %s has the id %s, the one before %s", stamp(), val, v.Str, last)
			}
			last = string(v.Str)
			w.added[val], w.ids[val] = true, last
		} else {
			w.maybe[val] = true
			k.At(1 + r.IntN(3))
		}
		w.mu.Unlock()
	}
}

// newer reports whether the id a comes behind b; all come behind "".
func newer(a, b string) bool {
	var am, as, bm, bs uint64
	_, _ = fmt.Sscanf(a, "%d-%d", &am, &as)
	if b == "" {
		return am > 0
	}
	_, _ = fmt.Sscanf(b, "%d-%d", &bm, &bs)
	return am > bm || am == bm && as > bs
}

func (w *crew) work(t *testing.T, k *Client, name string, r *rand.Rand, stop <-chan struct{}) {
	defer k.Close()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		cmd := []string{"XREADGROUP", "GROUP", streamGroup, name, "COUNT", "3", "BLOCK", "500", "STREAMS", "stream", ">"}
		if n%5 == 4 {
			cmd = []string{"XAUTOCLAIM", "stream", streamGroup, name, crewIdle, "0", "COUNT", "10"}
		}
		w.mu.Lock()
		asked := w.events
		w.mu.Unlock()
		v, err := k.Do(cmd...)
		if err != nil || respclient.Err(v) != nil {
			k.Close()
			k.At(1 + r.IntN(3))
			continue
		}
		w.take(t, k, v, cmd[0] == "XREADGROUP", asked, r)
	}
}

// take acknowledges what a worker was given that asked after so many events, and sometimes
// leaves it to others.
func (w *crew) take(t *testing.T, k *Client, v resp.Value, asNew bool, asked int, r *rand.Rand) {
	list := v
	switch {
	case asNew && len(v.Elems) == 1:
		list = v.Elems[0].Elems[1]
	case !asNew:
		list = v.Elems[1]
	}
	last := ""
	for _, e := range list.Elems {
		id, val := string(e.Elems[0].Str), string(e.Elems[1].Elems[1].Str)
		w.mu.Lock()
		if asNew {
			if w.given[id]++; w.given[id] > 1 {
				t.Errorf("%s %s was given as new %d times", stamp(), id, w.given[id])
			}
		} else {
			w.taken++
		}
		if !newer(id, last) {
			t.Errorf("%s %s was given behind %s", stamp(), id, last)
		}
		if known := w.ids[val]; known != "" && known != id {
			t.Errorf("%s %s is %s, which was added as %s", stamp(), id, val, known)
		}
		if last = id; w.acked[id] > 0 && w.ended[id] <= asked {
			t.Errorf("%s %s was given though it had been acknowledged", stamp(), id)
		}
		w.mu.Unlock()
		if r.IntN(8) != 0 {
			w.acknowledge(t, k, id)
		}
	}
}

func (w *crew) acknowledge(t *testing.T, k *Client, id string) {
	v, err := k.Do("XACK", "stream", streamGroup, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil || respclient.Err(v) != nil:
		w.unsure[id] = true
	case v.Int == 1:
		w.events++
		w.ended[id] = w.events
		if w.acked[id]++; w.acked[id] > 1 {
			t.Errorf("%s %s was acknowledged with 1 %d times", stamp(), id, w.acked[id])
		}
	case w.acked[id] == 0 && !w.unsure[id]:
		// Somebody else's XACK may be on its way, so who is right shows at the end only.
		w.unsure[id] = true
	}
}

// finish works until nothing is left, and compares what is there with what was told.
func (w *crew) finish(t *testing.T, k *Client) {
	pending := k.Must("XPENDING", "stream", streamGroup, "-", "+", "100000")
	for _, p := range pending.Elems {
		if id := string(p.Elems[0].Str); w.acked[id] > 0 {
			t.Errorf("%s is not acknowledged, though it was answered with 1", id)
		}
	}
	held := len(pending.Elems)
	seen, last := map[string]bool{}, ""
	for _, e := range k.Must("XRANGE", "stream", "-", "+").Elems {
		id, val := string(e.Elems[0].Str), string(e.Elems[1].Elems[1].Str)
		if seen[val] || !w.added[val] && !w.maybe[val] || w.added[val] && w.ids[val] != id || !newer(id, last) {
			t.Errorf("entry %s is %s behind %s; it was added as %q", id, val, last, w.ids[val])
		}
		seen[val], last = true, id
	}
	for val := range w.added {
		if !seen[val] {
			t.Errorf("%s was added as %s and is not there", val, w.ids[val])
		}
	}
	w.drain(t, k, len(seen))
	t.Logf("%d added, %d given as new, %d acknowledged, %d taken over, %d left to the end", len(seen), len(w.given), len(w.acked), w.taken, held)
	if len(w.acked) == 0 || w.taken == 0 {
		t.Error("nobody has done anything")
	}
}

// drain takes all that is left in the group: with what was acknowledged that is
// everything, but for what an acknowledgement that was not answered has taken.
func (w *crew) drain(t *testing.T, k *Client, total int) {
	count := func(v resp.Value) {
		for _, e := range v.Elems {
			id := string(e.Elems[0].Str)
			if w.acked[id]++; w.acked[id] > 1 {
				t.Errorf("%s is given again though it was acknowledged", id)
			}
		}
	}
	count(k.Must("XAUTOCLAIM", "stream", streamGroup, "last", "0", "0", "COUNT", "100000").Elems[1])
	if v := k.Must("XREADGROUP", "GROUP", streamGroup, "last", "COUNT", "100000", "STREAMS", "stream", ">"); len(v.Elems) == 1 {
		count(v.Elems[0].Elems[1])
	}
	lost := total - len(w.acked)
	for id := range w.unsure {
		if w.acked[id] == 0 {
			lost--
		}
	}
	if lost != 0 {
		t.Errorf("of %d entries %d were neither acknowledged nor delivered", total, lost)
	}
}

// Crews wait for the entries of a stream through all nodes: each is one's until it is
// acknowledged, which happens once, whatever becomes of those who have it; the ids that
// the cluster gives grow, whatever clocks say.
func TestCrewsOfStreamsUnderFaults(t *testing.T) {
	bubble(t, Options{Seed: env("TUTTI_SIM_SEED", 4600)}, func(t *testing.T, c *Cluster) {
		c.WaitLeader(1)
		c.Client("").Must("XGROUP", "CREATE", "stream", streamGroup, "0", "MKSTREAM")
		w, stop := newCrew(), make(chan struct{})
		var wg sync.WaitGroup
		for n := range 6 {
			k, r := c.Client("").At(1+n%3), rand.New(rand.NewPCG(c.Rand.Uint64(), uint64(n)))
			if n < 2 {
				wg.Go(func() { w.produce(t, k, n, r, stop) })
			} else {
				wg.Go(func() { w.work(t, k, fmt.Sprint("worker", n), r, stop) })
			}
		}
		inTurn(c, 2*time.Second, true)
		operator{c}.Settle()
		time.Sleep(time.Second)
		close(stop)
		wg.Wait()
		time.Sleep(settleTime) // what was given up takes effect by then, or not at all
		w.finish(t, c.Client(""))
	})
}
