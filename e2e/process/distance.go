package process

import (
	"errors"
	"io"
	"net"
	"time"
)

// Distance stands before a server as a network would whose every packet takes a while: what
// arrives goes on so much later, in order, each way.
type Distance struct {
	l   net.Listener
	to  string
	way time.Duration
}

// distanceChunks is how many pieces of a connection may be on their way.
const distanceChunks = 1024

// chunk is what is on its way, and when it arrives.
type chunk struct {
	data []byte
	due  time.Time
}

// Away listens on an address from which a server is so far away.
func Away(to string, way time.Duration) (*Distance, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Distance{l, to, way}
	go d.accept()
	return d, nil
}

// Addr is where it listens.
func (d *Distance) Addr() string { return d.l.Addr().String() }

// Close ends it for those who come; who is connected stays.
func (d *Distance) Close() error { return d.l.Close() }

func (d *Distance) accept() {
	for {
		client, err := d.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		server, err := net.Dial("tcp", d.to)
		if err != nil {
			client.Close()
			continue
		}
		go d.carry(server, client)
		go d.carry(client, server)
	}
}

// carry brings to one end what the other one sends, and that it has closed.
func (d *Distance) carry(to, from net.Conn) {
	under := make(chan chunk, distanceChunks)
	go func() {
		defer to.Close()
		for c := range under {
			time.Sleep(time.Until(c.due))
			if _, err := to.Write(c.data); err != nil {
				break
			}
		}
		for range under { // nobody takes it any more
		}
	}()
	defer close(under)
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		under <- chunk{b[:n], time.Now().Add(d.way)}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				from.Close()
			}
			return
		}
	}
}
