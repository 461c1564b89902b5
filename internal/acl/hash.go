package acl

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Hashes of passwords. New ones are argon2id with the parameters that OWASP
// recommends where memory is shared with other work; what others made is verified
// with its own parameters, within limits.
const (
	argonKiB    = 19 << 10
	argonTime   = 2
	argonLanes  = 1
	saltLen     = 16
	argonLen    = 32
	argonKiBMax = 64 << 10
	argonMax    = 16 // of time and of lanes
	argonForm   = "$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s"
)

// argonHash is a parsed hash of argon2id.
type argonHash struct {
	cost argonCost
	sum  []byte
}

// argonCost is all that a hash of argon2id depends on beside the password.
type argonCost struct {
	kib, time, lanes uint32
	salt             string
}

func (a argonCost) sum(password []byte) []byte {
	return argon2.IDKey(password, []byte(a.salt), a.time, a.kib, uint8(a.lanes), argonLen)
}

func (a argonHash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf(argonForm, a.cost.kib, a.cost.time, a.cost.lanes, enc.EncodeToString([]byte(a.cost.salt)), enc.EncodeToString(a.sum))
}

// parseArgon accepts what String gives, and nothing else.
func parseArgon(text string) (a argonHash, ok bool) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return a, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &a.cost.kib, &a.cost.time, &a.cost.lanes); n != 3 || err != nil {
		return a, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return a, false
	}
	if a.sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return a, false
	}
	a.cost.salt = string(salt)
	c := a.cost
	inside := c.kib >= 8*c.lanes && c.kib <= argonKiBMax && c.time >= 1 && c.time <= argonMax && c.lanes >= 1 && c.lanes <= argonMax
	return a, inside && len(salt) >= 8 && len(salt) <= 64 && len(a.sum) == argonLen && a.String() == text
}

// SHA256 returns the hash of a password as Redis has it. It is good enough for
// passwords that nobody could guess in any case.
func SHA256(password []byte) string {
	sum := sha256.Sum256(password)
	return hex.EncodeToString(sum[:])
}

func validSHA256(hash string) bool {
	for _, b := range []byte(hash) {
		if (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return len(hash) == 2*sha256.Size
}

func validHash(hash string) bool {
	_, argon := parseArgon(hash)
	return argon || validSHA256(hash)
}

// matching returns the hash among hashes that is the password's, or "". It takes as
// long whichever that is: each cost is paid once, and at least one is.
func matching(hashes []string, password []byte) (found string) {
	sums := make(map[argonCost][]byte)
	sha := SHA256(password)
	for _, hash := range hashes {
		a, argon := parseArgon(hash)
		equal := subtle.ConstantTimeCompare([]byte(hash), []byte(sha))
		if argon {
			if sums[a.cost] == nil {
				sums[a.cost] = a.cost.sum(password)
			}
			equal = subtle.ConstantTimeCompare(a.sum, sums[a.cost])
		}
		if equal == 1 {
			found = hash
		}
	}
	if len(sums) == 0 {
		argonCost{argonKiB, argonTime, argonLanes, "there is no user"}.sum(password)
	}
	return found
}

// matchingSHA256 returns the SHA-256 among hashes that is the password's, or "".
func matchingSHA256(hashes []string, password []byte) (found string) {
	sha := SHA256(password)
	for _, hash := range hashes {
		if subtle.ConstantTimeCompare([]byte(hash), []byte(sha)) == 1 {
			found = hash
		}
	}
	return found
}
