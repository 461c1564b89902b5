package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"tutti/internal/cluster"
)

// ServerConfig returns the configuration of the peer port: it lets in the nodes
// of the cluster that are members now, for which isMember reports true. It is
// asked anew during each handshake, from the goroutine of the connection. A
// connection that is already open when its node is removed has to be closed by
// its owner, as peer.Links.Forget does.
func ServerConfig(h *Holder, isMember func(id cluster.NodeID) bool) *tls.Config {
	if isMember == nil {
		panic("trust: no member list")
	}
	config := h.config()
	// Any certificate, since the checks of crypto/tls look at the clock; ours in
	// VerifyConnection take their place. That the peer has the key of the
	// certificate is still checked by crypto/tls.
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		id, err := h.Identity().verifyPeer(state, x509.ExtKeyUsageClientAuth)
		if err != nil {
			return err
		}
		if !isMember(id) {
			return fmt.Errorf("%w: node %d", ErrNotMember, id)
		}
		return nil
	}
	return config
}

// ClientConfig returns the configuration to dial the node peerID. The handshake
// fails if another node answers, so an old address cannot mislead, and if
// isMember, asked as in ServerConfig, no longer knows the node. With TLS 1.3 the
// refusal of the other side arrives with the first Read, not with the handshake.
func ClientConfig(h *Holder, peerID cluster.NodeID, isMember func(id cluster.NodeID) bool) *tls.Config {
	if isMember == nil {
		panic("trust: no member list")
	}
	config := h.config()
	// This switches off the checks of host name and period only to have them
	// replaced: nodes are known by id, and VerifyConnection always runs.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		id, err := h.Identity().verifyPeer(state, x509.ExtKeyUsageServerAuth)
		if err != nil {
			return err
		}
		if id != peerID {
			return fmt.Errorf("%w: node %d instead of %d", ErrWrongPeer, id, peerID)
		}
		if !isMember(id) {
			return fmt.Errorf("%w: node %d", ErrNotMember, id)
		}
		return nil
	}
	return config
}

// PeerID returns the id of the node at the other end of a connection that was
// made with ServerConfig or ClientConfig, and has checked it.
func PeerID(state tls.ConnectionState) (cluster.NodeID, error) {
	if !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return 0, fmt.Errorf("%w: no certificate received", ErrNoIdentity)
	}
	_, id, err := nodeName(state.PeerCertificates[0])
	return id, err
}

// verifyPeer returns the id of the peer if its certificate is one of a node of
// our cluster.
func (i *Identity) verifyPeer(state tls.ConnectionState, usage x509.ExtKeyUsage) (cluster.NodeID, error) {
	if len(state.PeerCertificates) == 0 {
		return 0, fmt.Errorf("%w: no certificate received", ErrNoIdentity)
	}
	leaf := state.PeerCertificates[0]
	if err := i.verifyChain(leaf, usage); err != nil {
		return 0, err
	}
	cluster, id, err := nodeName(leaf)
	if err != nil {
		return 0, err
	}
	if cluster != i.Cluster {
		return 0, fmt.Errorf("%w: node %d of %q, not of %q", ErrWrongCluster, id, cluster, i.Cluster)
	}
	return id, nil
}

// verifyChain checks that the CA signed leaf itself, for the given use. It
// checks at a moment inside the period of the leaf, whatever the clock says;
// the package comment has the reason. Certificates between the two are not
// looked at.
func (i *Identity) verifyChain(leaf *x509.Certificate, usage x509.ExtKeyUsage) error {
	if leaf.IsCA {
		return fmt.Errorf("%w: it is a CA", ErrUntrusted)
	}
	roots := x509.NewCertPool()
	for _, root := range i.roots {
		roots.AddCert(root)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: leaf.NotBefore,
		KeyUsages:   []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return errors.Join(ErrUntrusted, err)
	}
	return nil
}
