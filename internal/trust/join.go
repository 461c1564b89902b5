package trust

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"tutti/internal/cluster"
)

// JoinProtocol is the ALPN name by which the peer port tells machines that want
// to join, which have no certificate, from nodes.
const JoinProtocol = "tutti-join/1"

const (
	joinVersion = 1
	// joinRequestMax and joinAnswerMax bound what either side reads. A request
	// has some 400 bytes; an answer has the map in it.
	joinRequestMax = 16 << 10
	joinAnswerMax  = 16 << 20
	exporterLabel  = "EXPORTER-tutti-join"
	exporterLen    = 32
)

var (
	// ErrJoin says that a request or an answer can't be read.
	ErrJoin = errors.New("trust: not what is said when a node joins")
	// ErrPin says that the cluster that answers is not the one of the token.
	ErrPin = errors.New("trust: the authority of this cluster is not the one of the token")
	// ErrNotPeerPort says that a TLS server answers that takes no nodes in.
	ErrNotPeerPort = errors.New("trust: a port that takes no nodes in")
)

// JoinRequest is what a machine asks that wants to become a node:
//
//	version:1 token:5 role:1 formats:8 proof:32
//	and each with its length:2: request, name, zone, peer address, client address,
//	hosts, which is names with a comma between
//
// Integers are big-endian, here and in JoinAnswer.
type JoinRequest struct {
	Token        TokenID
	Request      []byte // of its certificate, see Request
	Name, Zone   string
	Peer, Client string // where it is reached
	// Hosts are what the certificate that it shows to clients is to name.
	Hosts   []string
	Role    cluster.Role
	Version cluster.Version // the newest formats that it reads
	Proof   Proof
}

// Encode appends the record of the request.
func (r JoinRequest) Encode(b []byte) []byte {
	b = append(b, joinVersion)
	b = append(b, r.Token[:]...)
	b = append(b, byte(r.Role))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Version))
	b = append(b, r.Proof[:]...)
	b = appendField(b, r.Request)
	for _, s := range [...]string{r.Name, r.Zone, r.Peer, r.Client, strings.Join(r.Hosts, ",")} {
		b = appendField(b, []byte(s))
	}
	return b
}

const joinFixed = 1 + tokenIDLen + 1 + 8 + sha256.Size

// DecodeJoinRequest reads what Encode wrote.
func DecodeJoinRequest(b []byte) (r JoinRequest, err error) {
	switch {
	case len(b) == 0 || len(b) > joinRequestMax:
		return r, fmt.Errorf("%w: a request of %d bytes", ErrJoin, len(b))
	case b[0] != joinVersion:
		return r, fmt.Errorf("%w: a request of version %d, this node reads %d", ErrVersion, b[0], joinVersion)
	case len(b) < joinFixed:
		return r, fmt.Errorf("%w: a request of %d bytes", ErrJoin, len(b))
	}
	at := 1 + copy(r.Token[:], b[1:])
	r.Role = cluster.Role(b[at])
	r.Version = cluster.Version(binary.BigEndian.Uint64(b[at+1:]))
	copy(r.Proof[:], b[at+9:])
	var fields [6][]byte
	b = b[joinFixed:]
	for i := range fields {
		if fields[i], b, err = cutField(b); err != nil {
			return JoinRequest{}, err
		}
	}
	if len(b) > 0 {
		return JoinRequest{}, fmt.Errorf("%w: %d bytes behind the request", ErrJoin, len(b))
	}
	r.Request, r.Name, r.Zone, r.Peer, r.Client = fields[0], string(fields[1]), string(fields[2]), string(fields[3]), string(fields[4])
	if len(fields[5]) > 0 {
		r.Hosts = strings.Split(string(fields[5]), ",")
	}
	return r, nil
}

func appendField(b, field []byte) []byte {
	if len(field) > joinRequestMax {
		panic(fmt.Sprintf("trust: a field of %d bytes", len(field)))
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(field))), field...)
}

func cutField(b []byte) (field, rest []byte, err error) {
	if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
		return nil, nil, fmt.Errorf("%w: a field is cut off", ErrJoin)
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}

// JoinAnswer is what the cluster says to a request:
//
//	version:1 node:8 time:8
//	and each with its length:4: refusal, authorities, certificate, certificate for
//	clients, map
//
// A refusal says why, as the error of a command does; all else is zero then.
type JoinAnswer struct {
	Refusal string
	Node    cluster.NodeID
	Time    int64  // of the cluster, in milliseconds
	CA      []byte // the authorities to trust, PEM
	Cert    []byte // of the node, PEM
	Service []byte // what the node shows to clients, PEM; empty: nothing
	Map     []byte // record of the map, see package cluster
}

const joinAnswerFixed = 17

// Encode appends the record of the answer.
func (a JoinAnswer) Encode(b []byte) []byte {
	b = append(b, joinVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(a.Node))
	b = binary.BigEndian.AppendUint64(b, uint64(a.Time))
	for _, f := range [...][]byte{[]byte(a.Refusal), a.CA, a.Cert, a.Service, a.Map} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// DecodeJoinAnswer reads what Encode wrote.
func DecodeJoinAnswer(b []byte) (a JoinAnswer, err error) {
	switch {
	case len(b) > 0 && b[0] != joinVersion:
		return a, fmt.Errorf("%w: an answer of version %d, this one reads %d", ErrVersion, b[0], joinVersion)
	case len(b) < joinAnswerFixed:
		return a, fmt.Errorf("%w: an answer of %d bytes", ErrJoin, len(b))
	}
	var fields [5][]byte
	rest := b[joinAnswerFixed:]
	for i := range fields {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.BigEndian.Uint32(rest)) {
			return a, fmt.Errorf("%w: an answer that is cut off", ErrJoin)
		}
		n := 4 + int(binary.BigEndian.Uint32(rest))
		fields[i], rest = rest[4:n], rest[n:]
	}
	if len(rest) > 0 {
		return a, fmt.Errorf("%w: %d bytes behind the answer", ErrJoin, len(rest))
	}
	return JoinAnswer{Refusal: string(fields[0]), Node: cluster.NodeID(binary.BigEndian.Uint64(b[1:])), Time: int64(binary.BigEndian.Uint64(b[9:])),
		CA: fields[1], Cert: fields[2], Service: fields[3], Map: fields[4]}, nil
}

// ReadJoinRequest reads the request of a connection: length:4, then the record.
func ReadJoinRequest(r io.Reader) (JoinRequest, error) {
	b, err := readSized(r, joinRequestMax)
	if err != nil {
		return JoinRequest{}, err
	}
	return DecodeJoinRequest(b)
}

// ReadJoinAnswer reads the answer of a connection: length:4, then the record.
func ReadJoinAnswer(r io.Reader) (JoinAnswer, error) {
	b, err := readSized(r, joinAnswerMax)
	if err != nil {
		return JoinAnswer{}, err
	}
	return DecodeJoinAnswer(b)
}

// WriteJoin writes a record with its length before it.
func WriteJoin(w io.Writer, record []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(record))), record...))
	return err
}

func readSized(r io.Reader, most uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > most {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrJoin, n, most)
	}
	// Read as it comes: a length is no reason to take memory.
	b, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(b) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// JoinServer returns the configuration for a connection of a machine that wants
// to join. It shows the authorities beside the node's own certificate, so that
// the machine can find the one it looks for.
func JoinServer(ident *Identity) *tls.Config {
	shown := *ident.certificate()
	for _, root := range ident.roots {
		shown.Certificate = append(shown.Certificate, root.Raw)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{shown},
		NextProtos:             []string{JoinProtocol},
		SessionTicketsDisabled: true,
	}
}

// WantsJoin reports whether the client that says hello wants to join.
func WantsJoin(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == JoinProtocol
}

// Joins reports whether a connection is one of a machine that wants to join.
func Joins(state tls.ConnectionState) bool { return state.NegotiatedProtocol == JoinProtocol }

// JoinClient returns the configuration to dial a cluster with a token. The
// handshake fails unless a node answers whose certificate the authority of the
// token has signed; nothing has been revealed then.
func JoinClient(pin Pin) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{JoinProtocol},
		SessionTicketsDisabled: true,
		// Names and periods don't matter, as between nodes; VerifyConnection
		// always runs.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if !Joins(state) {
				return ErrNotPeerPort
			}
			return verifyPinned(state.PeerCertificates, pin)
		},
	}
}

// verifyPinned checks that the first certificate is one of a node, signed by the
// authority with the pin, which is among the others.
func verifyPinned(chain []*x509.Certificate, pin Pin) error {
	for _, cert := range chain {
		if !cert.IsCA || pinOf(cert) != pin {
			continue
		}
		pinned := Identity{roots: []*x509.Certificate{cert}}
		if err := pinned.verifyChain(chain[0], x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		_, _, err := nodeName(chain[0])
		return err
	}
	return ErrPin
}

// Exporter returns what both ends of a connection know, and nobody between them.
func Exporter(state tls.ConnectionState) ([]byte, error) {
	return state.ExportKeyingMaterial(exporterLabel, nil, exporterLen)
}

// KeyHash returns what tells the key of a request from others, once it is shown
// that the sender has it.
func KeyHash(request []byte) ([sha256.Size]byte, error) {
	key, err := requestKey(request)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return keyHash(key)
}

// KeyHash returns the hash of the identity's public key, as that of a request for
// the same key.
func (i *Identity) KeyHash() ([sha256.Size]byte, error) { return keyHash(&i.key.PublicKey) }

func keyHash(key *ecdsa.PublicKey) ([sha256.Size]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	return sha256.Sum256(der), err
}
