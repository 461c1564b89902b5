package trust

import (
	"crypto/tls"
	"sync/atomic"
)

// Holder is the identity that a node has now. Whoever secures connections asks it
// during each handshake, so a certificate that was renewed is used without a
// restart; connections that stand are not touched, as the member list decides who
// belongs to the cluster, and not the certificate.
type Holder struct{ now atomic.Pointer[Identity] }

// NewHolder returns a holder of i.
func NewHolder(i *Identity) *Holder {
	h := &Holder{}
	h.Replace(i)
	return h
}

// Identity returns the newest identity.
func (h *Holder) Identity() *Identity { return h.now.Load() }

// Replace makes i the newest identity, which must be of the same node.
func (h *Holder) Replace(i *Identity) {
	if i.leaf == nil {
		panic("trust: identity without key: " + i.String())
	}
	if old := h.now.Swap(i); old != nil && (old.Cluster != i.Cluster || old.NodeID != i.NodeID) {
		panic("trust: " + old.String() + " is replaced by " + i.String())
	}
}

// config returns what both sides of a connection between nodes have in common.
func (h *Holder) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return h.Identity().certificate(), nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return h.Identity().certificate(), nil
		},
		// Connections between nodes are few and long, so resuming them saves
		// nothing, while without tickets each of them proves the key afresh.
		SessionTicketsDisabled: true,
	}
}

func (i *Identity) certificate() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{i.leaf.Raw}, PrivateKey: i.key, Leaf: i.leaf}
}
