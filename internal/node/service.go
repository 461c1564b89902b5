package node

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"tutti/internal/acl"
	"tutti/internal/trust"
)

// What the node shows to clients that speak TLS.

// ErrExposed says that a node would serve clients of other machines without
// protection.
var ErrExposed = errors.New("not a loopback address: clients of other machines need TLS and users")

// setService takes over what the configuration says of it.
func (s *Self) setService(cfg Config) error {
	if cfg.Service == nil || *cfg.Service == s.Service {
		return nil
	}
	next := *s
	next.Service = *cfg.Service
	if err := next.servable(cfg); err != nil {
		return err
	}
	*s = next
	return s.write(cfg.FS, cfg.Dir)
}

// servable refuses what the node could not serve its clients with: it would be kept,
// and every later start would fail as well.
func (s Self) servable(cfg Config) error {
	if err := s.Service.check(); err != nil {
		return err
	}
	if !s.TLS && cfg.ListenClients == nil && !isLoopback(s.listens()) {
		return fmt.Errorf("%s is %w", s.listens(), ErrExposed)
	}
	if s.Cert == "" {
		return nil
	}
	if _, err := trust.LoadPair(s.Cert, s.Key); err != nil {
		return fmt.Errorf("the certificate for clients: %w: %w", ErrPair, err)
	}
	return nil
}

// ErrPair says that the certificate that the node's user brings can't be used.
var ErrPair = errors.New("it can't be used")

// listenClients takes the port for clients. It refuses to serve other machines
// without TLS, or without users: whoever can reach the address could read and
// change everything. A node that does not know the users yet lets nobody in.
func (s Self) listenClients(cfg Config, users *acl.Set) (net.Listener, error) {
	addr := s.listens()
	switch {
	case cfg.ListenClients != nil:
		return cfg.ListenClients(addr)
	case isLoopback(addr):
	case !s.TLS:
		return nil, fmt.Errorf("%s is %w; this node has no TLS, start it with --tls", addr, ErrExposed)
	case users.Open():
		return nil, fmt.Errorf("%s is %w; in this cluster everybody may do everything without a password, see ACL SETUSER default", addr, ErrExposed)
	}
	return net.Listen("tcp", addr)
}

// listens is where the node listens for clients.
func (s Self) listens() string { return cmp.Or(s.ListenClient, s.Client) }

// isLoopback reports whether only processes of this machine can reach addr.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// serviceConfig returns what clients are to speak; nil: plain RESP. A handshake
// fails as long as the node has nothing to show, which the first answer of meta ends.
func (s Self) serviceConfig(h *trust.Holder, log *slog.Logger) (*tls.Config, error) {
	if !s.TLS {
		return nil, nil
	}
	if s.Cert != "" {
		failed := func(err error) {
			log.Error("the certificate for clients has changed and can't be used: the one before is used on", slog.Any("error", err))
		}
		pair, err := trust.OpenPair(s.Cert, s.Key, failed)
		if err != nil {
			return nil, fmt.Errorf("the certificate for clients: %w: %w", ErrPair, err)
		}
		return trust.ServiceConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Current(), nil }), nil
	}
	return trust.ServiceConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if pair, ok := h.Identity().Service(); ok {
			return pair, nil
		}
		return nil, ErrNoService
	}), nil
}

// ErrNoService says that a node has nothing to show to clients that speak TLS: the
// cluster has not signed it yet.
var ErrNoService = errors.New("no certificate for clients")

// signService adds what a node shows to clients to the identity of a new node.
func signService(ca *trust.CA, id *trust.Identity, hosts []string) (*trust.Identity, error) {
	request, err := id.Renewal(rand.Reader)
	if err != nil {
		return nil, err
	}
	service, err := ca.SignService(request.Bytes(), id.NodeID, hosts, time.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return id.WithService(service)
}

// hosts is where clients may look for the node: its address, every address of
// the machine if it listens on all of them, and the machine's own names.
func (s Self) hosts() []string {
	list := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		if trust.IsHost(host) && !slices.Contains(list, host) && len(list) < trust.HostsMax {
			list = append(list, host)
		}
	}
	for _, addr := range []string{s.Client, s.ListenClient} {
		if host := hostOf(addr); !isEverywhere(host) {
			add(host)
		}
	}
	if !isEverywhere(hostOf(s.listens())) {
		return list
	}
	if name, err := os.Hostname(); err == nil {
		add(name)
	}
	addrs, _ := net.InterfaceAddrs() // without them the names are left
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLinkLocalUnicast() {
			add(ip.IP.String())
		}
	}
	return list
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// isEverywhere reports whether a host means all addresses of the machine.
func isEverywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
