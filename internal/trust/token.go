package trust

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A token lets machines join a cluster. It is one word to be copied:
//
//	tutti1.<id, 40 bits>.<pin, 256 bits>.<secret, 160 bits>
//
// each part in base32 of RFC 4648, lower case, without padding. The pin is the
// SHA-256 of the authority's public key, so the machine knows the cluster
// before it tells it anything; the secret never travels. Only the one spelling
// that String gives is a token: the last letters of a part have bits to spare.
const (
	tokenPrefix = "tutti1"
	tokenIDLen  = 5
	secretLen   = 20
)

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// TokenID names a token. It is no secret.
type TokenID [tokenIDLen]byte

// String returns the id as it is spelled in the token.
func (id TokenID) String() string { return tokenEncoding.EncodeToString(id[:]) }

// ParseTokenID reads what String wrote.
func ParseTokenID(s string) (id TokenID, err error) {
	return id, decodePart(id[:], s)
}

// Pin tells an authority by the SHA-256 of its public key, which stays when its
// certificate is renewed.
type Pin [sha256.Size]byte

func pinOf(cert *x509.Certificate) Pin { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// String returns the pin as it is spelled in a token.
func (p Pin) String() string { return tokenEncoding.EncodeToString(p[:]) }

// Pin returns the pin of the authority.
func (c *CA) Pin() Pin { return pinOf(c.cert) }

// Token lets machines join the cluster whose authority has the pin.
type Token struct {
	ID     TokenID
	Pin    Pin
	secret [secretLen]byte
}

// Errors of tokens.
var (
	// ErrToken says that a text is no token.
	ErrToken = errors.New("trust: not a token")
	// ErrTokenVersion says that a token is one of a later version of tutti.
	ErrTokenVersion = errors.New("trust: the token is of another version of tutti")
)

// NewToken makes a token of an authority. Its random numbers come from rand.
func NewToken(pin Pin, rand io.Reader) (Token, error) {
	t := Token{Pin: pin}
	for _, part := range [][]byte{t.ID[:], t.secret[:]} {
		if _, err := io.ReadFull(rand, part); err != nil {
			return Token{}, fmt.Errorf("draw a token: %w", err)
		}
	}
	return t, nil
}

// Text returns the token with its secret: what is given to who may join. There
// is no String, which would print the secret by mistake.
func (t Token) Text() string {
	return strings.Join([]string{tokenPrefix, t.ID.String(), t.Pin.String(), tokenEncoding.EncodeToString(t.secret[:])}, ".")
}

// ParseToken reads a token, spelled as Text does.
func ParseToken(s string) (t Token, err error) {
	parts := strings.Split(s, ".")
	if v, ok := strings.CutPrefix(parts[0], "tutti"); ok && parts[0] != tokenPrefix && v != "" && strings.Trim(v, "0123456789") == "" {
		return Token{}, fmt.Errorf("%w: it begins with %s, this one reads %s", ErrTokenVersion, parts[0], tokenPrefix)
	}
	if len(parts) != 4 || parts[0] != tokenPrefix {
		return Token{}, fmt.Errorf("%w: it has %d parts and %d characters, want %d and %d", ErrToken, len(parts), len(s), 4, len(Token{}.Text()))
	}
	for i, part := range [][]byte{t.ID[:], t.Pin[:], t.secret[:]} {
		if err := decodePart(part, parts[i+1]); err != nil {
			return Token{}, err
		}
	}
	return t, nil
}

// decodePart fills dst with what s spells. Errors don't show s, which may be the
// secret.
func decodePart(dst []byte, s string) error {
	if want := tokenEncoding.EncodedLen(len(dst)); len(s) != want {
		return fmt.Errorf("%w: a part has %d characters, want %d", ErrToken, len(s), want)
	}
	// The decoder skips line ends, so what it gives may be shorter than dst; what
	// is encoded again tells.
	b, err := tokenEncoding.DecodeString(s)
	if err != nil || len(b) != len(dst) || !bytes.Equal([]byte(tokenEncoding.EncodeToString(b)), []byte(s)) {
		return fmt.Errorf("%w: a part has other characters than a token", ErrToken)
	}
	copy(dst, b)
	return nil
}

// JoinKey is what the cluster keeps of a token's secret: enough to check a proof.
type JoinKey [sha256.Size]byte

// Key returns the key with which a machine proves that it has the token.
func (t Token) Key() JoinKey {
	b, err := hkdf.Key(sha256.New, t.secret[:], t.Pin[:], "tutti join key 1", sha256.Size)
	if err != nil {
		panic(err) // only a length that can't be made is an error
	}
	return JoinKey(b)
}

// Proof proves that its maker has a token, for one request over one connection.
type Proof [sha256.Size]byte

// proofContext keeps a proof from being one of anything else.
const proofContext = "tutti join proof 1\n"

// Prove returns the proof for a request that is sent over the connection which
// has the exporter. Somebody between the two ends has a connection, and an
// exporter, with each of them, so what is proved to him proves nothing to the
// other side.
func (k JoinKey) Prove(exporter []byte, r JoinRequest) Proof {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(proofContext))
	r.Proof = Proof{}
	mac.Write(appendField(nil, exporter))
	mac.Write(r.Encode(nil))
	return Proof(mac.Sum(nil))
}

// Check reports whether a request was proved by a holder of the token.
func (k JoinKey) Check(exporter []byte, r JoinRequest) bool {
	want := k.Prove(exporter, r)
	return hmac.Equal(want[:], r.Proof[:])
}
