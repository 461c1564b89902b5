package node

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

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
	if err := cfg.Service.check(); err != nil {
		return err
	}
	s.Service = *cfg.Service
	return s.write(cfg.FS, cfg.Dir)
}

// listenClients takes the port for clients. It refuses to serve other machines
// without TLS or without users: whoever can reach the address could read and
// change everything.
func (s Self) listenClients(cfg Config) (net.Listener, error) {
	addr := s.Client
	switch {
	case cfg.ListenClients != nil:
		return cfg.ListenClients(addr)
	case isLoopback(addr):
	case !s.TLS:
		return nil, fmt.Errorf("%s is %w; this node has no TLS, start it with --tls", addr, ErrExposed)
	case !s.loginNeeded():
		return nil, fmt.Errorf("%s is %w; this cluster has no users, everybody may do everything", addr, ErrExposed)
	}
	return net.Listen("tcp", addr)
}

// loginNeeded reports whether a client has to log in before it may do anything.
// There are no users yet.
func (s Self) loginNeeded() bool { return false }

// isLoopback reports whether only processes of this machine can reach addr.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// serviceConfig returns what clients are to speak; nil: plain RESP.
func (s Self) serviceConfig(cfg Config, id *trust.Identity) (*tls.Config, error) {
	if !s.TLS {
		return nil, nil
	}
	if s.Cert != "" {
		pair, err := trust.LoadPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("the certificate for clients: %w", err)
		}
		return trust.ServiceConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair, nil }), nil
	}
	if !id.Serves(s.hosts()) {
		var err error
		if id, err = s.signService(cfg, id); err != nil {
			return nil, fmt.Errorf("the certificate for clients: %w", err)
		}
	}
	return trust.ServiceConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, _ := id.Service()
		return pair, nil
	}), nil
}

// signService makes the certificate for clients with the authority that lies in
// the node's folder.
func (s Self) signService(cfg Config, id *trust.Identity) (*trust.Identity, error) {
	ca, err := trust.LoadCA(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	request, err := id.Renewal(rand.Reader)
	if err != nil {
		return nil, err
	}
	service, err := ca.SignService(request.Bytes(), s.Node, s.hosts(), time.UnixMilli(cfg.Clock.Wall()), rand.Reader)
	if err != nil {
		return nil, err
	}
	if id, err = id.WithService(service); err != nil {
		return nil, err
	}
	return id, id.Save(cfg.FS, cfg.Dir)
}

// hosts is where clients may look for the node: its address, every address of
// the machine if it listens on all of them, and the machine's own names.
func (s Self) hosts() []string {
	list := []string{"localhost", "127.0.0.1", "::1"}
	add := func(host string) {
		if host != "" && !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	host, _, err := net.SplitHostPort(s.Client)
	if err != nil {
		host = s.Client
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		add(host)
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
