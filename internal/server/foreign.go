package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"tutti/internal/resp"
)

// What is said to who speaks another protocol than the port: to a person who has
// taken it for a web server's, or has forgotten to ask for TLS, or asks for it where
// there is none. The answers are always the same: nothing of what was sent is in them,
// nothing was executed, and the connection ends.

const (
	errNeedTLS = "-NEEDTLS this port speaks TLS. Use rediss:// (redis-cli --tls --cacert ca.pem, with the file ca.pem of the node's folder). Nothing was executed.\r\n"
	// errNoTLS is what libraries of TLS show as "wrong version number", by which people
	// know a port without TLS; an alert, or no answer, they take for something else.
	errNoTLS = "ERR this port does not speak TLS. Use redis://, or start the node with --tls. Nothing was executed."

	aboutClients = "This port speaks the Redis protocol, not HTTP. Nothing was executed.\n" +
		"Health and metrics, /health/ready and /metrics, are at the address that tutti start --http-listen names.\n"
)

// overHTTP is an answer of HTTP that says text. No page of a browser may read or show
// it, but one that has the same origin.
func overHTTP(text string) string {
	return fmt.Sprintf("HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"+
		"Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
}

// looksLikeHTTP reports whether the first bytes of a connection, five of them, are
// those of HTTP.
func looksLikeHTTP(begin []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH", "CONNE", "TRACE", "PRI *", "host:"} {
		if len(begin) >= len(method) && bytes.EqualFold(begin[:len(method)], []byte(method)) {
			return true
		}
	}
	return false
}

// requestOfHTTP reports whether what can't be executed is a line of HTTP. What
// follows in its request must not be executed. A line of a request has three words;
// the last one no command takes that is written in a line and refused for their number.
func (r *reader) requestOfHTTP(args [][]byte) bool {
	if resp.IsWord(args[0], "post") || resp.IsWord(args[0], "host:") {
		return true
	}
	return r.inline && len(args) == 3 && bytes.HasPrefix(args[2], []byte("HTTP/"))
}

// refuseHTTP ends the connection of who speaks HTTP. A page in a browser may have been
// made to: replies to what it has smuggled in are not sent.
func refuseHTTP(c *conn) {
	c.out.replies, c.closed = c.out.replies[:0], true
	c.s.logs.foreign.heard(c.s.cfg.Logger, foreignHTTP, c.nc)
	if c.in.inline {
		c.out.replies, c.in.foreign = append(c.out.replies, overHTTP(aboutClients)...), true
	}
}

// foreignKind is what somebody speaks on a port that does not.
type foreignKind int

const (
	foreignHTTP foreignKind = iota
	foreignTLS
	foreignPlain  // no TLS
	foreignNobody // TLS, without a certificate, where one is asked for
	foreignKinds
)

var foreignTexts = [foreignKinds]string{
	foreignHTTP: "HTTP on a port that does not speak it: answered so, connection closed, nothing executed. A probe should ask the address of --http-listen; " +
		"a page in a browser that does this tries what it must not",
	foreignTLS:    "connection closed: a client speaks TLS, this port does not; it must use redis://, or the node TLS",
	foreignPlain:  "connection closed: somebody speaks without TLS, this port does not; clients must use rediss:// and the port for clients",
	foreignNobody: "connection closed: somebody without a certificate has tried the port for nodes; clients use the other one",
}

// foreignEvery is how often one kind is logged at most.
const foreignEvery = time.Minute

// Foreign tells the log who speaks another protocol than a port, without filling it:
// a probe may do so each second.
type Foreign struct {
	mu   sync.Mutex // guards what follows
	next [foreignKinds]time.Time
	more [foreignKinds]uint64 // not logged since the last one that was
}

func (f *Foreign) heard(log *slog.Logger, kind foreignKind, nc net.Conn) {
	f.mu.Lock()
	now := time.Now()
	if now.Before(f.next[kind]) {
		f.more[kind]++
		f.mu.Unlock()
		return
	}
	more := f.more[kind]
	f.next[kind], f.more[kind] = now.Add(foreignEvery), 0
	f.mu.Unlock()
	log.Warn(foreignTexts[kind], slog.String("remote", nc.RemoteAddr().String()), slog.String("port", nc.LocalAddr().String()), slog.Uint64("others_since_the_last_line", more))
}

// Nobody says that somebody without a certificate has come where one is asked for.
func (f *Foreign) Nobody(log *slog.Logger, nc net.Conn) { f.heard(log, foreignNobody, nc) }

// TurnAway answers somebody without TLS on a port that speaks nothing else, and waits
// until they have it, for a second at most: begin is what they have begun with, about
// what the port is, in a line of text. The caller closes the connection.
func (f *Foreign) TurnAway(log *slog.Logger, nc net.Conn, begin []byte, plain, about string) {
	kind, answer := foreignPlain, plain
	if looksLikeHTTP(begin) {
		kind, answer = foreignHTTP, overHTTP(about)
	}
	f.heard(log, kind, nc)
	_ = nc.SetWriteDeadline(time.Now().Add(lingerMax))
	if _, err := nc.Write([]byte(answer)); err == nil {
		linger(nc, lingerMax)
	}
}
