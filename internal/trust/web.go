package trust

import "crypto/tls"

// WebConfig returns the configuration of a listener for HTTP: it proves who the
// node is, by its host if it has a certificate for clients, and asks nobody for
// one. Whoever watches the node checks it against ca.pem.
func WebConfig(h *Holder) *tls.Config {
	config := h.config()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if cert, ok := h.Identity().Service(); ok {
			return cert, nil
		}
		return h.Identity().certificate(), nil
	}
	return config
}
