package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// MapProtocol is the ALPN name by which a node asks for the map that others
// refuse as a peer: it was removed while it was away, or does not know it yet.
// The answer is one record of a map with its length before it, see WriteJoin.
const MapProtocol = "tutti-map/1"

// MapServer returns the configuration for a connection of a node that asks for
// the map: any that has a certificate of this cluster, member or not.
func MapServer(h *Holder) *tls.Config {
	config := h.config()
	config.NextProtos = []string{MapProtocol}
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := h.Identity().verifyPeer(state, x509.ExtKeyUsageClientAuth)
		return err
	}
	return config
}

// AsksForMap reports whether a connection is one of MapProtocol.
func AsksForMap(state tls.ConnectionState) bool { return state.NegotiatedProtocol == MapProtocol }

// Refused reports whether an error of a connection says that the other side has
// refused it.
func Refused(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error" // how crypto/tls tells of an alert
}

// StrangerServer returns the configuration for a client that says by the one
// protocol of its hello that it is no peer; nil: it does not.
func StrangerServer(h *Holder, hello *tls.ClientHelloInfo) *tls.Config {
	if len(hello.SupportedProtos) != 1 {
		return nil
	}
	switch hello.SupportedProtos[0] {
	case JoinProtocol:
		return JoinServer(h.Identity())
	case MapProtocol:
		return MapServer(h)
	}
	return nil
}
