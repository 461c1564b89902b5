package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/resp"
	"tutti/internal/trust"
)

// target is the node that a command speaks to, and how.
type target struct {
	addr  string
	ca    string // the file of the authorities to trust; empty: found, see prepare
	plain bool   // without TLS, whatever is found
	// secret is the file with the login. Empty: found, see prepare.
	secret string

	config *tls.Config // set by prepare; nil: plain RESP
}

// defaultAddr is where dev puts the first node.
const defaultAddr = "127.0.0.1:6379"

// givenAddr is the node that commands speak to if no flag says another.
func givenAddr() string { return cmp.Or(os.Getenv("TUTTI_ADDR"), ownAddr(), defaultAddr) }

// ownAddr is where the node of this machine serves clients; empty: there is none,
// or none that this user may look at.
func ownAddr() string {
	self, ok := ownNode()
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(self.Client)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("localhost", port)
	}
	return self.Client
}

// ownNode is the node that init and join make on this machine if they are not
// told another folder.
func ownNode() (node.Self, bool) {
	self, err := node.ReadSelf(vfs.Default, defaultDir())
	return self, err == nil
}

// ownRemoved reports whether this machine's node has left its cluster.
func ownRemoved() bool {
	self, ok := ownNode()
	return ok && removed(defaultDir(), self.Node)
}

// removed reports whether the node of a folder has left its cluster, and knows it.
func removed(dir string, id cluster.NodeID) bool {
	m, err := node.ReadMap(vfs.Default, dir)
	if err != nil {
		return false
	}
	_, member := m.Member(id)
	return !member
}

// systemDir is the folder of the machine's node, which the package makes.
const systemDir = "/var/lib/tutti"

// defaultDir is the folder of a node if no flag says another.
func defaultDir() string {
	if dir := os.Getenv("TUTTI_DIR"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return systemDir
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "tutti")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir() // a user without a home
	}
	return filepath.Join(home, ".local", "state", "tutti")
}

// targetFlags are those of all commands that ask a running node.
func targetFlags(c *cobra.Command, t *target) {
	c.Flags().StringVar(&t.addr, "addr", givenAddr(), "address of any node; the default can be set as TUTTI_ADDR")
	c.Flags().StringVar(&t.ca, "cacert", os.Getenv("TUTTI_CACERT"), "speak TLS, trust the `FILE` ca.pem of the cluster (default: that of this machine's node)")
	c.Flags().BoolVar(&t.plain, "plain", false, "speak without TLS")
	c.Flags().StringVar(&t.secret, "secret", os.Getenv("TUTTI_SECRET"), "log in with what `FILE` holds (default: the file that init wrote)")
	c.PreRunE = func(*cobra.Command, []string) error { return t.prepare() }
}

// prepare finds out whether to speak TLS: with the authorities that are named, or
// else with those of this machine's node if it speaks TLS. Nothing is tried in
// plain first: a password would be sent with it.
func (t *target) prepare() error {
	if err := t.prepareTLS(); err != nil {
		return err
	}
	// A password that nobody has asked for is told to nobody who may listen.
	if host, _, _ := net.SplitHostPort(t.addr); t.secret == "" && (t.config != nil || (hostPort{host: host}).loopback()) {
		t.secret = ownSecret()
	}
	return nil
}

func (t *target) prepareTLS() error {
	if t.plain || t.config != nil {
		return nil
	}
	file := t.ca
	if file == "" {
		self, ok := ownNode()
		if !ok || !self.TLS || self.Cert != "" {
			return nil
		}
		file = filepath.Join(defaultDir(), trust.CAFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return failed(err, "--cacert with the file ca.pem of any node's folder, or --plain")
	}
	if t.config, err = trust.DialConfig(text); err != nil {
		return failed(fmt.Errorf("%s: %w", file, err), "--cacert with the file ca.pem of any node's folder")
	}
	return nil
}

// at is the same for another node of the cluster.
func (t target) at(addr string) target {
	t.addr = addr
	return t
}

// dial connects to the node. prepare was called.
func (t target) dial(limit time.Duration) (*respConn, error) {
	c, err := t.connect(limit)
	if err != nil {
		return nil, err
	}
	if err := t.logIn(c, limit); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect is dial without a login.
func (t target) connect(limit time.Duration) (*respConn, error) {
	if t.config == nil {
		return dialRESP(t.addr, limit)
	}
	c, err := net.DialTimeout("tcp", t.addr, limit)
	if err != nil {
		return nil, err
	}
	config := t.config.Clone()
	config.ServerName, _, _ = net.SplitHostPort(t.addr)
	s := tls.Client(c, config)
	_ = c.SetDeadline(time.Now().Add(limit))
	if err := s.Handshake(); err != nil {
		c.Close()
		if isSilence(err) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errHandshake, cause(err))
	}
	return newRESPConn(s), nil
}

var errHandshake = errors.New("its TLS handshake failed")

// doLogIn is what helps who has no login, or a wrong one.
const doLogIn = "--secret with the file that init wrote on the machine where it ran, or with a copy of it, mode 0600; its form is: user password"

// strange reports whether somebody has answered who speaks another protocol than Redis's.
func strange(err error) bool {
	_, is := errors.AsType[*resp.ProtocolError](err)
	return is
}

// unreachable is the error of a node that could not be spoken to.
func (t target) unreachable(err error) *exitError {
	e := unreachable(t.addr, err)
	_, doubted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case t.addr == ownAddr() && ownRemoved():
		e.what, e.safe, e.do = fmt.Sprintf("%s: %v, and does not run", defaultDir(), node.ErrRemoved), "nothing was changed", "--addr with that of a node of the cluster; "+doRejoin
	case doubted:
		e.do = "--cacert with the file ca.pem of a node of this very cluster, and an --addr that its certificate names"
	case errors.Is(err, errLogin):
		e.code, e.what, e.safe, e.do = exitNoLogin, fmt.Sprintf("not logged in at %s: %v", t.addr, err), "nothing was changed", doLogIn
	case isSilence(err):
		e.what, e.do = fmt.Sprintf("the node at %s does not answer: it is stopped or frozen, or the way to it is cut", t.addr), t.doAskAnother()
	case errors.Is(err, errHandshake):
		e.what, e.do = fmt.Sprintf("what answers at %s does not speak TLS: %v", t.addr, err), "--plain, if it is right that it does not"
	case t.addr == ownAddr() && errors.Is(err, syscall.ECONNREFUSED):
		e.what = fmt.Sprintf("the node of this machine, in %s, does not answer at %s: %v", defaultDir(), t.addr, cause(err))
		e.do = "tutti start, or sudo systemctl start tutti   or name a node that runs: --addr HOST:PORT"
	case strange(err):
		e.what, e.do = fmt.Sprintf("what answers at %s is no node of tutti: %v", t.addr, err), "name a node: --addr HOST:PORT; clients are served on port 6379 unless --listen said another"
	case strings.Contains(err.Error(), "NEEDTLS"):
		e.what, e.do = fmt.Sprintf("the node at %s speaks TLS", t.addr), "--cacert with the file ca.pem of any node's folder"
	}
	return e
}
