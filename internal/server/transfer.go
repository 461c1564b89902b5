package server

import (
	"slices"

	"tutti/internal/server/epoll"
)

// What many clients have sent is read with one call of the kernel, and what many are
// answered is written with one.

// transfer is what a loop reads and writes together.
type transfer struct {
	batch    *epoll.Batch
	due      []*conn // those that have something to read
	answered []*conn // those whose replies are to be written
	ops      []epoll.Op
	whose    []*conn // of ops
	space    []byte  // for what is read, until its client's turn
}

const (
	// transferMin is for how many clients one call is worth its preparation.
	transferMin = 3
	// earlyMax is how much of each client is read with the others: a pipeline of small
	// commands. Who has sent more is read alone the next time, into where it is to lie.
	earlyMax = 4 << 10
)

// turns gives each client that has sent something its turn.
func turns(l *loop) {
	x := &l.transfer
	for some := range slices.Chunk(x.due, epoll.BatchMax) {
		x.readEarly(some)
		for _, c := range some {
			if c.seat.due = false; c.seat.here && !c.seat.busy {
				c.out.hold()
				l.turn(c)
			}
		}
	}
	clear(x.due)
	x.due = x.due[:0]
}

// readEarly reads what clients have sent, if they are several, for seat.Read.
func (x *transfer) readEarly(clients []*conn) {
	if len(clients) < transferMin {
		return
	}
	if x.space == nil {
		x.space = make([]byte, epoll.BatchMax*earlyMax)
	}
	x.begin()
	for i, c := range clients {
		t, space := &c.seat, x.space[i*earlyMax:][:earlyMax]
		if !t.here || t.busy || t.taken >= earlyMax {
			continue
		}
		if socket, ok := t.sock.(*tcpSocket); ok {
			x.add(c, socket, space)
			continue
		}
		n, err := t.sock.Read(space)
		t.comesEarly(space, n, err)
	}
	x.batch.Read(x.ops)
	for i := range x.ops {
		op := &x.ops[i]
		x.whose[i].seat.comesEarly(op.Buf, op.N, op.Err)
	}
}

// reply writes the replies of the clients that have been answered, and goes on with
// them.
func reply(l *loop) {
	x := &l.transfer
	for some := range slices.Chunk(x.answered, epoll.BatchMax) {
		if len(some) >= transferMin {
			x.write(some)
		}
		for _, c := range some {
			if c.seat.here {
				replied(l, c)
			}
		}
	}
	clear(x.answered)
	x.answered = x.answered[:0]
}

// write writes with one call what flushNow would write with one for each client. What is
// left of it, and what is wrong, flushNow finds.
func (x *transfer) write(clients []*conn) {
	x.begin()
	for _, c := range clients {
		if socket, ok := c.seat.sock.(*tcpSocket); ok && c.seat.here && c.out.alone() {
			x.add(c, socket, c.out.replies)
		}
	}
	x.batch.Write(x.ops)
	for i := range x.ops {
		x.whose[i].out.wrote(x.ops[i].N)
	}
}

// begin and add make the ops of a call.
func (x *transfer) begin() {
	clear(x.ops)
	clear(x.whose)
	x.ops, x.whose = x.ops[:0], x.whose[:0]
}

func (x *transfer) add(c *conn, socket *tcpSocket, p []byte) {
	x.ops = append(x.ops, epoll.Op{Socket: socket.Socket, Buf: p})
	x.whose = append(x.whose, c)
}
