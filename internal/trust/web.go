package trust

import "crypto/tls"

// WebConfig returns the configuration of a listener for HTTP: it proves who the
// node is, and asks nobody for a certificate. Whoever watches the node checks it
// against ca.pem.
func WebConfig(ident *Identity) *tls.Config {
	config := ident.config()
	config.NextProtos = []string{"h2", "http/1.1"}
	return config
}
