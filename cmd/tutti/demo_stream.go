package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"tutti/internal/resp"
)

// The stream of the messages claim.
const (
	streamEntries   = 10_000
	streamBatch     = 250
	streamKey       = "demo:stream"
	streamProcessed = "demo:stream:processed"
	streamGroup     = "workers"
	streamMortal    = "mortal" // the consumer that is killed
	streamIdleMs    = "400"    // of an entry that somebody else takes over
	streamBlockMs   = "100"
	streamDeathFrom = streamEntries / 4 // entries are processed before it is killed
)

// processScript acknowledges entries and writes down what came of them, in one step: an
// entry that was acknowledged before is not processed again. ARGV has the group, and an
// id and a value for each entry.
const processScript = `local n = 0
for i = 2, #ARGV, 2 do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[i]) == 1 then
    redis.call('RPUSH', KEYS[2], ARGV[i + 1])
    n = n + 1
  end
end
return n`

// streamRun writes entries into a stream, and has a group of two consumers work through
// it, one of which is killed. The second half is written when goOn was called.
type streamRun struct {
	nodes     []target
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	second    chan struct{} // closed by goOn
	produced  chan struct{} // closed when all entries are in
	killed    chan struct{} // closed when one of the consumers is
	processed atomic.Int64  // as far as consumers were told

	mu        sync.Mutex // guards the rest
	delivered [streamEntries + 1]bool
	takenOver int
	problems  []string
	err       error
}

func startStreamRun(ctx context.Context, nodes []target) *streamRun {
	s := &streamRun{nodes: nodes, second: make(chan struct{}), produced: make(chan struct{}), killed: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(ctx)
	if _, err := askAny(ctx, nodes, "XGROUP", "CREATE", streamKey, streamGroup, "0", "MKSTREAM"); err != nil && !strings.Contains(err.Error(), "BUSYGROUP") {
		s.fail(err)
	}
	s.wg.Go(func() { s.produce(ctx) })
	for i, name := range []string{streamMortal, "heir"} {
		s.wg.Go(func() {
			c := &streamConsumer{streamRun: s, name: name, conns: newClients(nodes, probeTimeout), node: i + 1}
			defer c.conns.close()
			c.run(ctx)
		})
	}
	return s
}

func (s *streamRun) goOn() { close(s.second) }

func (s *streamRun) stop() {
	s.cancel()
	s.wg.Wait()
}

func (s *streamRun) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
	s.cancel()
}

// produce writes the entries, a batch at a time in one transaction, whose ids are its
// numbers: one that was not answered is sent again, and then is there already or not.
func (s *streamRun) produce(ctx context.Context) {
	conns := newClients(s.nodes, probeTimeout)
	defer conns.close()
	for first, node := 1, 0; first <= streamEntries; {
		if first == streamEntries/2+1 {
			select {
			case <-s.second:
			case <-ctx.Done():
				return
			}
		}
		commands := [][]string{{"MULTI"}}
		for n := range streamBatch {
			id := strconv.Itoa(first + n)
			commands = append(commands, []string{"XADD", streamKey, id + "-0", "n", id})
		}
		replies, _, err := conns.call(node, append(commands, []string{"EXEC"})...)
		if err == nil && len(replies[len(replies)-1].Elems) == streamBatch { // its ids, or that they are there
			first += streamBatch
			continue
		}
		node = (node + 1) % len(s.nodes)
		if pause(ctx, lookEvery) != nil {
			return
		}
	}
	close(s.produced)
}

// wait waits for the end, and compares what was processed with what was written.
func (s *streamRun) wait(ctx context.Context, record *messagesClaim) ([]string, error) {
	s.wg.Wait()
	if s.err != nil {
		return nil, s.err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%d of %d entries were processed: %w", s.processed.Load(), streamEntries, err)
	}
	if err := s.readBack(ctx); err != nil {
		return nil, err
	}
	var seen [streamEntries + 1]int
	for from := 0; from < streamEntries; from += listPage {
		v, err := askAny(ctx, s.nodes, "LRANGE", streamProcessed, strconv.Itoa(from), strconv.Itoa(from+listPage-1))
		if err != nil {
			return nil, err
		}
		for _, e := range v.Elems {
			if n, err := strconv.Atoi(string(e.Str)); err == nil && n > 0 && n <= streamEntries {
				seen[n]++
			}
		}
	}
	for n, times := range seen[1:] {
		if times == 1 {
			record.Processed++
		} else {
			s.problems = append(s.problems, fmt.Sprintf("entry %d was processed %d times", n+1, times))
		}
	}
	if record.TakenOver = s.takenOver; s.takenOver == 0 {
		s.problems = append(s.problems, "nothing was taken over from the consumer that was killed")
	}
	return s.problems, nil
}

// readBack reads the whole stream, which must have all entries in their order.
func (s *streamRun) readBack(ctx context.Context) error {
	next := 1
	for begin := "-"; ; {
		v, err := askAny(ctx, s.nodes, "XRANGE", streamKey, begin, "+", "COUNT", strconv.Itoa(listPage))
		if err != nil {
			return err
		}
		for _, e := range streamEntriesOf(v) {
			if e.n != next {
				s.problems = append(s.problems, fmt.Sprintf("in the place of entry %d of the stream is %s with %d", next, e.id, e.n))
			}
			next, begin = next+1, "("+e.id
		}
		if len(v.Elems) == 0 {
			break
		}
	}
	if next != streamEntries+1 {
		s.problems = append(s.problems, fmt.Sprintf("the stream has %d entries, not %d", next-1, streamEntries))
	}
	return nil
}

// streamEntry is one that was read: its id, and the number that it has.
type streamEntry struct {
	id string
	n  int
}

func streamEntriesOf(list resp.Value) (entries []streamEntry) {
	for _, e := range list.Elems {
		if len(e.Elems) != 2 || len(e.Elems[1].Elems) != 2 {
			continue
		}
		n, _ := strconv.Atoi(string(e.Elems[1].Elems[1].Str))
		entries = append(entries, streamEntry{string(e.Elems[0].Str), n})
	}
	return entries
}

// streamConsumer is one consumer of the group.
type streamConsumer struct {
	*streamRun
	name  string
	conns *clients
	node  int // that it asks
	last  int // newest entry that it was given
}

// run works until everything is processed. What it was given and can't know about it
// asks for again. The one that is killed ends with what it has just been given.
func (c *streamConsumer) run(ctx context.Context) {
	for again := true; ctx.Err() == nil; {
		id := ">"
		if again {
			id = "0"
		}
		v, ok := c.ask(ctx, "XREADGROUP", "GROUP", streamGroup, c.name, "COUNT", strconv.Itoa(streamBatch), "BLOCK", streamBlockMs, "STREAMS", streamKey, id)
		if !ok {
			again = true
			continue
		}
		var given []streamEntry
		if len(v.Elems) == 1 && len(v.Elems[0].Elems) == 2 {
			given = streamEntriesOf(v.Elems[0].Elems[1])
		}
		if !again {
			c.deliver(given)
			if len(given) > 0 && c.ends(ctx) {
				return // with all these in hand
			}
		}
		if len(given) > 0 {
			_, answered := c.process(ctx, given)
			again = again || !answered
			continue
		}
		if !again && c.takeOver(ctx) {
			return
		}
		again = false
	}
}

// ends reports whether it is killed now. The other one waits for that, and so takes over
// what this one has.
func (c *streamConsumer) ends(ctx context.Context) bool {
	if c.processed.Load() < streamDeathFrom {
		return false
	}
	if c.name == streamMortal {
		close(c.killed)
		return true
	}
	select {
	case <-c.killed:
	case <-ctx.Done():
	}
	return false
}

// ask asks its node, and another one from then on if that does not answer.
func (c *streamConsumer) ask(ctx context.Context, args ...string) (resp.Value, bool) {
	replies, _, err := c.conns.call(c.node, args)
	if err := firstError(err, replies...); err != nil {
		c.node = (c.node + 1) % len(c.nodes)
		_ = pause(ctx, lookEvery)
		return resp.Value{}, false
	}
	return replies[0], true
}

// deliver notes what the group has given to the consumer as new: nothing twice, and all
// in order.
func (c *streamConsumer) deliver(given []streamEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range given {
		switch {
		case e.n <= c.last:
			c.problems = append(c.problems, fmt.Sprintf("%s was given entry %d after %d", c.name, e.n, c.last))
		case e.n > streamEntries || c.delivered[e.n]:
			c.problems = append(c.problems, fmt.Sprintf("%s was given entry %d as new, which another had", c.name, e.n))
			continue
		}
		c.last, c.delivered[e.n] = e.n, true
	}
}

func (c *streamConsumer) process(ctx context.Context, given []streamEntry) (n int, answered bool) {
	args := []string{"EVAL", processScript, "2", streamKey, streamProcessed, streamGroup}
	for _, e := range given {
		args = append(args, e.id, strconv.Itoa(e.n))
	}
	v, ok := c.ask(ctx, args...)
	c.processed.Add(v.Int)
	return int(v.Int), ok
}

// takeOver takes what another has had for too long, and reports whether everything is
// processed.
func (c *streamConsumer) takeOver(ctx context.Context) (over bool) {
	if c.name == streamMortal {
		return false
	}
	v, ok := c.ask(ctx, "XAUTOCLAIM", streamKey, streamGroup, c.name, streamIdleMs, "0", "COUNT", strconv.Itoa(streamBatch))
	if !ok || len(v.Elems) != 3 {
		return false
	}
	if given := streamEntriesOf(v.Elems[1]); len(given) > 0 {
		n, _ := c.process(ctx, given)
		c.mu.Lock()
		c.takenOver += n
		c.mu.Unlock()
		return false
	}
	select {
	case <-c.produced:
	default:
		return false
	}
	v, ok = c.ask(ctx, "LLEN", streamProcessed)
	if !ok || v.Int < streamEntries {
		return false
	}
	v, ok = c.ask(ctx, "XPENDING", streamKey, streamGroup)
	return ok && len(v.Elems) == 4 && v.Elems[0].Int == 0
}
