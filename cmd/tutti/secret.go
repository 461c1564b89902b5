package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/durable"
)

// The login of a cluster's first user is in one file, which init writes and only
// its user can read: the name of the user, a blank, the password.

const secretEnd = ".secret"

// login is a user and the password.
type login struct{ user, password string }

// secretFile is where init puts the login of a cluster.
func secretFile(cluster string) (string, error) {
	dir, err := secretDir()
	return filepath.Join(dir, cluster+secretEnd), err
}

func secretDir() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "tutti"), err
}

// newSecret makes the login of a new cluster and writes its file, durably. One
// that is there already, of an init that was cut off, is taken as it is.
func newSecret(cluster, user string) (l login, file string, err error) {
	if file, err = secretFile(cluster); err != nil {
		return l, "", err
	}
	if l, err = readSecret(file); !errors.Is(err, os.ErrNotExist) {
		return l, file, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return l, "", err
	}
	l = login{user, strings.ToLower(rand.Text())}
	err = durable.Replace(vfs.Default, file, fmt.Appendf(nil, "%s %s\n", l.user, l.password), 0o600)
	return l, file, err
}

// readSecret reads a login. A file that others may read is refused: they must be
// assumed to have read it.
func readSecret(file string) (l login, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return l, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return l, fmt.Errorf("%s is open to others, mode %#o, want 0600", file, info.Mode().Perm())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return l, err
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(b)), " ")
	if !ok || user == "" || password == "" || strings.ContainsAny(password, " \n") {
		return l, fmt.Errorf("%s holds no login: want a user, a blank and a password in one line", file)
	}
	return login{user, password}, nil
}

// ownSecret finds the login of the cluster that this machine's node belongs to,
// or else the only one there is.
func ownSecret() string {
	dir, err := secretDir()
	if err != nil {
		return ""
	}
	if self, ok := ownNode(); ok {
		if file := filepath.Join(dir, self.Cluster+secretEnd); fileExists(file) {
			return file
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+secretEnd))
	if err != nil || len(files) != 1 {
		return ""
	}
	return files[0]
}

func fileExists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// errLogin says that a node wants another login than there is.
var errLogin = errors.New("the node wants a login")

// logIn logs in, if the node wants that and there is something to log in with.
func (t target) logIn(c *respConn, limit time.Duration) error {
	if t.secret == "" {
		return nil // a node that wants a login says so
	}
	v, err := c.do(limit, "PING")
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(string(v.Str), "NEEDTLS"):
		return errors.New(string(v.Str))
	case !strings.HasPrefix(string(v.Str), "NOAUTH"):
		return nil
	}
	l, err := readSecret(t.secret)
	if err != nil {
		return fmt.Errorf("%w: %w", errLogin, err)
	}
	v, err = c.do(limit, "AUTH", l.user, l.password)
	if err == nil && v.IsError() {
		err = fmt.Errorf("%w: %s of %s: %s", errLogin, l.user, t.secret, v.Str)
	}
	return err
}
