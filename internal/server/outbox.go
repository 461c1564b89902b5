package server

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"tutti/internal/eval"
	"tutti/internal/server/epoll"
)

// From replies and pushes to bytes.

const (
	writeTimeout = 30 * time.Second
	// outKeep is the size of a reply buffer that is kept between pipelines.
	outKeep = 64 << 10
	// outMax is how much of replies gathers before it is written, and how much of
	// pushes is written at once.
	outMax = 1 << 20
)

// outBound is how much of a class may wait to be sent to one client: never more
// than hard bytes, and not for longer than softMax more than soft bytes. 0: any.
type outBound struct {
	hard, soft int64
	softMax    time.Duration
}

// outBounds is the bounds of all classes, which CONFIG SET calls
// client-output-buffer-limit normal and pubsub. Of replies only the hard bound
// counts: no more is made while a client takes those it has.
type outBounds struct{ replies, pushes outBound }

// parseOutBounds parses what the row of the setting has checked.
func parseOutBounds(value string) (b outBounds) {
	fields := strings.Fields(value)
	for ; len(fields) >= 4; fields = fields[4:] {
		var n [3]int64
		for i := range n {
			n[i], _ = strconv.ParseInt(fields[1+i], 10, 64)
		}
		bound := outBound{hard: n[0], soft: n[1], softMax: time.Duration(min(n[2], int64(timeoutMax/time.Second))) * time.Second}
		switch fields[0] {
		case "normal":
			b.replies = bound
		case "pubsub":
			b.pushes = bound
		}
	}
	return b
}

// outbox is what one client is still to be sent: the replies to its own commands,
// in order, and pushes, which anybody may add.
//
// The goroutine that serves the client writes the replies by itself, all of a
// pipeline with one call. While it executes commands (between hold and release)
// pushes wait: they go out behind the replies, with the same call, since a push may
// be about what a command before it has done or read. While it waits for commands
// a push is written by a goroutine of its own, which ends when there is none left.
//
// Nobody waits for a client that does not read: pushes gather up to the bounds of
// their class, then the client is cut off. Its own commands wait for it to take
// their replies, but not longer than writeTimeout.
type outbox struct {
	s   *Server
	nc  net.Conn
	cut func(why error) // ends the connection

	// replies belong to the goroutine that serves the client: whole ones, but for
	// the one that is being written.
	replies []byte
	memory  *eval.Memory // that the first of them are in; nil: none of those that are lent

	// writable is when the write deadline was last moved on; of whom writes.
	writable time.Time

	mu      sync.Mutex // guards all below
	turn    sync.Cond  // writing has become false
	writing bool       // the writer is at work
	held    bool       // commands are being executed
	closed  bool
	proto   int       // of messages that are pushed
	pushes  [][]byte  // each one whole message
	bytes   int64     // of pushes that wait or are being written
	crowded time.Time // since when bytes exceed the soft bound; zero: they don't
	writer  sync.WaitGroup
}

func (o *outbox) init(s *Server, nc net.Conn, cut func(why error)) {
	o.s, o.nc, o.cut, o.proto = s, nc, cut, 2
	o.turn.L = &o.mu
}

// hold says that commands are going to be executed.
func (o *outbox) hold() {
	o.mu.Lock()
	o.held = true
	o.mu.Unlock()
}

// release says that there is no command to execute.
func (o *outbox) release() {
	o.mu.Lock()
	o.held = false
	o.startWriter()
	o.mu.Unlock()
}

// flush writes the replies that have gathered, and pushes behind them.
func (o *outbox) flush() error {
	o.mu.Lock()
	for o.writing {
		o.turn.Wait()
	}
	pushes := o.take()
	o.mu.Unlock()
	if len(o.replies) == 0 && len(pushes) == 0 {
		return nil
	}
	defer o.giveBack()
	if o.tooMany() {
		o.replies = nil
		return errSlow
	}
	replies := o.replies
	if o.replies = o.replies[:0]; cap(o.replies) > outKeep {
		o.replies = nil
	}
	return o.write(replies, pushes)
}

// giveBack gives back what the replies were in: they are written, or will never be.
func (o *outbox) giveBack() {
	if o.memory != nil {
		o.s.config.held.memories.put(o.memory)
		o.memory, o.replies = nil, nil
	}
}

// flushNow writes the replies as far as the client takes them without being waited
// for. It reports false if flush is to write the rest, or what else there is.
func (o *outbox) flushNow(to socket) (done bool, err error) {
	switch {
	case o.pushing():
		return false, nil
	case len(o.replies) == 0:
		return true, nil
	case o.tooMany():
		return true, errSlow
	}
	n, err := to.Write(o.replies)
	o.wrote(n)
	if errors.Is(err, epoll.ErrAgain) {
		return false, nil
	}
	return err == nil, err
}

// alone reports whether there are replies that may be written as they are.
func (o *outbox) alone() bool { return len(o.replies) > 0 && !o.pushing() && !o.tooMany() }

// pushing reports whether there is something to write that is not a reply.
func (o *outbox) pushing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.writing || len(o.pushes) > 0
}

// tooMany reports whether there is more of replies than the client may leave lying.
func (o *outbox) tooMany() bool {
	bound := o.s.config.outBounds.Load().replies.hard
	return bound > 0 && int64(len(o.replies)) > bound
}

// wrote notes that so many bytes of the replies have been written.
func (o *outbox) wrote(n int) {
	o.s.stats.bytesOut.Add(int64(n))
	o.replies = o.replies[:copy(o.replies, o.replies[n:])]
}

// pushed is a message that a client did not ask for: one whole RESP value in the
// protocol that it speaks, which must not change any more.
type pushed interface{ Encode(proto int) []byte }

// push adds a message. It may be called on any goroutine and does not wait: a client
// that does not take its messages is cut off.
func (o *outbox) push(m pushed) {
	if !o.add(m) {
		o.cut(errSlow)
	}
}

// overtake moves the pushes that wait before the next reply: behind it the client
// would not understand them.
func (o *outbox) overtake(replies []byte) []byte { return o.speak(0, replies) }

// speak is overtake, and has messages encoded for another protocol from now on. 0: for
// the same.
func (o *outbox) speak(proto int, replies []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if proto != 0 {
		o.proto = proto
	}
	for o.writing {
		o.turn.Wait()
	}
	for _, p := range o.pushes {
		replies = append(replies, p...)
		o.bytes -= int64(len(p))
	}
	o.pushes = nil
	return replies
}

// add reports whether the client still takes its messages.
func (o *outbox) add(m pushed) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true // who closed it has cut it off
	}
	message := m.Encode(o.proto)
	o.pushes = append(o.pushes, message)
	o.bytes += int64(len(message))
	if o.exceeded(&o.s.config.outBounds.Load().pushes) {
		o.stop()
		return false
	}
	o.startWriter()
	return true
}

// exceeded reports whether too much waits. o.mu is held.
func (o *outbox) exceeded(b *outBound) bool {
	if b.hard > 0 && o.bytes > b.hard {
		return true
	}
	if b.soft == 0 || o.bytes <= b.soft {
		o.crowded = time.Time{}
		return false
	}
	now := time.Now()
	if o.crowded.IsZero() {
		o.crowded = now
	}
	return now.Sub(o.crowded) > b.softMax
}

// startWriter starts the writer if there is work for it. o.mu is held.
func (o *outbox) startWriter() {
	if o.closed || o.held || o.writing || len(o.pushes) == 0 {
		return
	}
	o.writing = true
	o.writer.Go(o.writePushes)
}

// writePushes writes pushes until none is left, or commands are executed, whose
// replies come first.
func (o *outbox) writePushes() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		var pushes [][]byte
		if !o.held {
			pushes = o.take()
		}
		if len(pushes) == 0 {
			break
		}
		o.mu.Unlock()
		err := o.write(nil, pushes)
		o.mu.Lock()
		if err != nil {
			o.stop()
			o.cut(err)
			break
		}
	}
	o.writing = false
	o.turn.Signal()
}

// take returns the pushes to write next. o.mu is held.
func (o *outbox) take() [][]byte {
	n, size := 0, 0
	for n < len(o.pushes) && size < outMax {
		size += len(o.pushes[n])
		n++
	}
	taken := o.pushes[:n:n]
	if o.pushes = o.pushes[n:]; len(o.pushes) == 0 {
		o.pushes = nil
	}
	return taken
}

// write sends replies and pushes in one call. Only one goroutine is in it.
func (o *outbox) write(replies []byte, pushes [][]byte) error {
	// Setting a deadline for every write would cost more than it gives: it is
	// moved on when half of it has passed.
	if now := time.Now(); now.Sub(o.writable) > writeTimeout/2 {
		o.writable = now
		_ = o.nc.SetWriteDeadline(now.Add(writeTimeout))
	}
	if len(pushes) == 0 {
		n, err := o.nc.Write(replies)
		o.s.stats.bytesOut.Add(int64(n))
		return err
	}
	all := make(net.Buffers, 0, 1+len(pushes))
	size := 0
	for _, p := range pushes {
		size += len(p)
	}
	if len(replies) > 0 {
		all = append(all, replies)
	}
	all = append(all, pushes...)
	n, err := all.WriteTo(o.nc)
	o.s.stats.bytesOut.Add(n)
	o.mu.Lock()
	if o.bytes -= int64(size); o.bytes <= o.s.config.outBounds.Load().pushes.soft {
		o.crowded = time.Time{}
	}
	o.mu.Unlock()
	return err
}

// waiting returns how many pushes wait, and the bytes of those and of what is
// being written of them.
func (o *outbox) waiting() (pushes int, bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pushes), o.bytes
}

// stop takes no push any more. o.mu is held.
func (o *outbox) stop() { o.closed, o.pushes = true, nil }

// close gives up what was not written and returns when the writer has ended. The
// connection must be closed.
func (o *outbox) close() {
	o.mu.Lock()
	o.stop()
	o.mu.Unlock()
	o.writer.Wait()
}
