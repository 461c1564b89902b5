package node

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/resp"
	"tutti/internal/router"
	"tutti/internal/store"
	"tutti/internal/trust"
)

const (
	// joinTimeout is what a join may take, from either side.
	joinTimeout = 15 * time.Second
	// handshakeTimeout is what the first words of a join may take: who does not
	// speak TLS may not answer at all.
	handshakeTimeout = 5 * time.Second
	// joinsMax is how many machines a node takes in at the same time.
	joinsMax = 8
	// strangersMax is how many connections of those who are no peers a node has.
	strangersMax = 64
)

// Meta runs a command of the table on the meta shard and returns its reply.
func (n *Node) Meta(ctx context.Context, args ...string) (resp.Value, error) {
	return askMeta(n.router, words(args...), ctx.Done())
}

// askMeta runs a command on the meta shard, unless it is told to give up. The
// arguments must not change any more.
func askMeta(to *router.Router, args [][]byte, giveUp <-chan struct{}) (resp.Value, error) {
	done := make(chan router.Result, 1) // room for the one result: who answers never waits
	to.Write(cluster.Meta, &group.Group{Proto: 2, Room: group.RepliesMax, Cmds: []group.Command{{Args: args}}}, func(r router.Result) { done <- r })
	select {
	case r := <-done:
		if r.Err != "" {
			return resp.Value{}, errors.New(r.Err)
		}
		if len(r.Reply.Replies) != 1 {
			return resp.Value{}, fmt.Errorf("%d replies to one command", len(r.Reply.Replies))
		}
		return resp.ReadValue(bufio.NewReader(bytes.NewReader(r.Reply.Replies[0])))
	case <-giveUp:
		return resp.Value{}, context.Canceled
	}
}

// admitter serves those who are no peers: it takes in machines that come with a
// token, and tells the map to nodes that are refused.
type admitter struct {
	maps *cluster.Holder
	ask  func(args [][]byte, giveUp <-chan struct{}) (resp.Value, error)
	took func(record []byte) // a map with a machine that was taken in
	log  *slog.Logger
	// room has room for as many machines as are taken in at the same time, doors
	// for as many as may be connected.
	room, doors chan struct{}
}

func newAdmitter(n *Node) *admitter {
	ask := func(args [][]byte, giveUp <-chan struct{}) (resp.Value, error) {
		return askMeta(n.router, args, giveUp)
	}
	return &admitter{maps: n.maps, ask: ask, took: n.keeper.hear, log: n.cfg.Logger, room: make(chan struct{}, joinsMax), doors: make(chan struct{}, strangersMax)}
}

// serve answers the one request of a connection.
func (a *admitter) serve(ctx context.Context, conn net.Conn) {
	select {
	case a.doors <- struct{}{}:
		defer func() { <-a.doors }()
	default:
		a.log.Warn("too many who are no peers", slog.String("remote", conn.RemoteAddr().String()))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	// Whoever has proved nothing yet must not stay for long.
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	if secured, ok := conn.(*tls.Conn); ok && trust.AsksForMap(secured.ConnectionState()) {
		if err := trust.WriteJoin(conn, a.maps.Map().Encode(nil)); err != nil {
			a.log.Debug("tell the map to a node that is no peer", slog.Any("error", err))
		}
		return
	}
	var answer trust.JoinAnswer
	r, err := trust.ReadJoinRequest(conn)
	_ = conn.SetDeadline(time.Now().Add(joinTimeout))
	if err == nil {
		answer, err = a.admit(ctx, conn, r)
	}
	remote := conn.RemoteAddr().String()
	if err != nil {
		a.log.Warn("a machine was not let in", slog.String("remote", remote), slog.String("token", r.Token.String()), slog.Any("error", err))
		answer = trust.JoinAnswer{Refusal: err.Error()}
	} else {
		a.log.Info("a machine has joined", slog.String("remote", remote), slog.String("token", r.Token.String()), slog.Uint64("node", uint64(answer.Node)))
	}
	if err := trust.WriteJoin(conn, answer.Encode(nil)); err != nil {
		a.log.Warn("answer a machine that joins", slog.String("remote", remote), slog.Any("error", err))
	}
}

func (a *admitter) admit(ctx context.Context, conn net.Conn, r trust.JoinRequest) (answer trust.JoinAnswer, err error) {
	select {
	case a.room <- struct{}{}:
		defer func() { <-a.room }()
	default:
		return answer, &RefusedError{fmt.Sprintf("BUSY %d machines are being taken in at the same time. Not applied, safe to retry.", joinsMax)}
	}
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return answer, &RefusedError{"ERR the connection is not secured. Not applied."}
	}
	exporter, err := trust.Exporter(secured.ConnectionState())
	if err != nil {
		return answer, &RefusedError{fmt.Sprintf("ERR %v. Not applied.", err)}
	}
	v, err := a.ask([][]byte{[]byte("TUTTI.JOIN"), exporter, r.Encode(nil)}, ctx.Done())
	switch {
	case errors.Is(err, context.Canceled):
		return answer, &RefusedError{fmt.Sprintf("UNCERTAIN the cluster has not decided within %v: it may have no majority. Join again from the same folder: a machine is taken in once.", joinTimeout)}
	case err != nil:
		return answer, err
	case v.IsError():
		return answer, &RefusedError{string(v.Str)}
	}
	if answer, err = trust.DecodeJoinAnswer(v.Str); err == nil {
		a.took(answer.Map) // so that this node knows the new one when it calls
	}
	return answer, err
}

// Place says where a new node lives: its folder and its addresses.
type Place struct {
	Dir string
	// Peer and Client are the addresses under which others reach the node.
	Peer, Client string
	// ListenPeer and ListenClient are where it listens, if that differs.
	ListenPeer, ListenClient string
	Small                    bool // little memory
	Service                       // what clients are to speak
}

func (p Place) self(cluster string, id cluster.NodeID) Self {
	return Self{Cluster: cluster, Node: id, Peer: p.Peer, Client: p.Client, ListenPeer: p.ListenPeer, ListenClient: p.ListenClient, Small: p.Small, Service: p.Service}
}

// Joining says how a machine becomes a node of a running cluster.
type Joining struct {
	Place
	Addr       string // of the peer port of any node
	Token      trust.Token
	Name, Zone string
	Role       cluster.Role
}

// RefusedError is why a cluster did not take a machine in: the error of a
// command, whose first word is its code.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// Code returns the code of the refusal.
func (e *RefusedError) Code() string {
	code, _, _ := strings.Cut(e.Text, " ")
	return code
}

// What returns the refusal without its code.
func (e *RefusedError) What() string {
	_, what, _ := strings.Cut(e.Text, " ")
	return what
}

// Joined tells of a join that succeeded.
type Joined struct {
	Self Self
	Map  *cluster.Map
	// Ahead is by how much this machine's clock is ahead of the cluster's time.
	// Nothing depends on it but the validity of certificates that others look at.
	Ahead time.Duration
}

// Join makes this machine a node of a cluster: it asks a node, and makes the
// folder of what that answers. If it was cut off, it goes on where it was when
// it is called again: with the same key, for which the cluster has one id only.
// Until the folder is complete it holds nothing that anybody relies on.
func Join(ctx context.Context, cfg Config, j Joining) (*Joined, error) {
	cfg.fill()
	if err := j.Service.check(); err != nil {
		return nil, err
	}
	fs := cfg.FS
	lock, err := beginFolder(fs, j.Dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	request, err := trust.LoadRequest(fs, j.Dir, rand.Reader)
	if isMissing(err) {
		if request, err = trust.NewRequest(rand.Reader); err == nil {
			err = request.Save(fs, j.Dir)
		}
	}
	if err != nil {
		return nil, err
	}
	answer, err := askToJoin(ctx, cfg.Dial, j, request)
	if err != nil {
		return nil, err
	}
	ident, err := request.Identity(answer.CA, answer.Cert)
	if err == nil && len(answer.Service) > 0 {
		ident, err = ident.WithService(answer.Service)
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate that the cluster has given: %w", err)
	}
	m, err := cluster.DecodeMap(answer.Map)
	if err != nil {
		return nil, fmt.Errorf("the map that the cluster has given: %w", err)
	}
	if _, ok := m.Member(ident.NodeID); !ok || m.Name != ident.Cluster {
		return nil, fmt.Errorf("the cluster has given a certificate of %s and a map of %s without that node", ident, m.Name)
	}
	if err := prepare(fs, m, j.Place, ident, nil, nil); err != nil {
		return nil, err
	}
	if err := errors.Join(trust.RemoveRequest(fs, j.Dir), store.RemoveTwice(fs, j.Dir, formingFile)); err != nil {
		return nil, err
	}
	ahead := time.Duration(cfg.Clock.Wall()-answer.Time) * time.Millisecond
	return &Joined{Self: j.self(m.Name, ident.NodeID), Map: m, Ahead: ahead}, nil
}

func dialToJoin(ctx context.Context, dial dialer, j Joining) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	return dial.secured(ctx, j.Addr, trust.JoinClient(j.Token.Pin))
}

// askToJoin asks the node at j.Addr to take this machine in.
func askToJoin(ctx context.Context, dial dialer, j Joining, request *trust.Request) (answer trust.JoinAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	conn, err := dialToJoin(ctx, dial, j)
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	exporter, err := trust.Exporter(conn.ConnectionState())
	if err != nil {
		return answer, err
	}
	r := trust.JoinRequest{Token: j.Token.ID, Request: request.Bytes(), Name: j.Name, Zone: j.Zone, Peer: j.Peer, Client: j.Client,
		Hosts: j.self("", 0).hosts(), Role: j.Role, Version: cluster.Newest}
	r.Proof = j.Token.Key().Prove(exporter, r)
	if err := trust.WriteJoin(conn, r.Encode(nil)); err != nil {
		return answer, err
	}
	if answer, err = trust.ReadJoinAnswer(conn); err != nil {
		return answer, err
	}
	if answer.Refusal != "" {
		return answer, &RefusedError{answer.Refusal}
	}
	return answer, nil
}
