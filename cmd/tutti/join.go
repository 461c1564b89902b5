package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/trust"
)

type joinOptions struct {
	placeOptions
	token, role string
}

func joinCommand() *cobra.Command {
	var o joinOptions
	c := &cobra.Command{
		Use:   "join ADDR --token TOKEN",
		Short: "Make this machine a node of a running cluster, and serve",
		Long: `Makes this machine a node of the cluster that one at ADDR belongs to (port 7379 unless given), and serves in the foreground,
or with --service by systemd. Run again it goes on where it was cut off. --token - reads the token from standard input.`,
		Example: "  tutti join 10.0.0.11 --zone z2 --token tutti1.…",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.asService {
				return joinService(c, o, args[0], systemd())
			}
			if err := join(o, args[0]); err != nil {
				return err
			}
			return start(o.runOptions, nil)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.token, "token", "", "what tutti token create has printed")
	c.Flags().StringVar(&o.role, "role", "node", "node, which keeps data, or gateway, which only takes commands for others")
	return c
}

const safeNothingChanged = "nothing was changed on this machine"

// joinService joins with a node that m is to run.
func joinService(c *cobra.Command, o joinOptions, to string, m manager) error {
	if err := m.check(c, o.dir); err != nil {
		return err
	}
	if err := join(o, to); err != nil {
		return err
	}
	return m.take()
}

// join makes the node.
func join(o joinOptions, to string) error {
	addr, err := joinAddr(to)
	if err != nil {
		return err
	}
	j, err := o.joining(addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	joined, err := o.ask(ctx, j)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted && err != nil:
		return &exitError{code: exitInterrupted, what: "interrupted", safe: "run the same command again to finish", do: "tutti join"}
	case errors.Is(err, node.ErrNodeThere):
		if err := o.there(j, err); err != nil {
			return folderError(err, o.dir)
		}
	case err != nil:
		return joinError(addr, err)
	default:
		o.tell(addr, joined)
	}
	return nil
}

// joinAddr adds the usual port.
func joinAddr(to string) (hostPort, error) {
	if ip, err := netip.ParseAddr(strings.Trim(to, "[]")); err == nil {
		return hostPort{ip.String(), joinPort}, nil
	}
	if !strings.Contains(to, ":") {
		return hostPort{to, joinPort}, nil
	}
	return splitAddr("address", to, "tutti join")
}

// joining is what this machine asks the cluster for.
func (o *joinOptions) joining(addr hostPort) (j node.Joining, err error) {
	if j.Token, err = o.readToken(); err != nil {
		return j, err
	}
	switch o.role {
	case "node":
	case "gateway":
		j.Role = cluster.Gateway
	default:
		return j, usageError(fmt.Sprintf("--role %s: the roles are node and gateway", o.role), "tutti join")
	}
	if j.Name, err = o.nodeName("tutti join"); err != nil {
		return j, err
	}
	if j.Place, err = o.place("tutti join", outgoing(addr)); err != nil {
		return j, err
	}
	if err = o.takeable(j.Place); err != nil {
		return j, err
	}
	j.Addr, j.Zone = addr.String(), o.zone
	return j, nil
}

func (o *joinOptions) readToken() (trust.Token, error) {
	text := o.token
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
		if err != nil {
			return trust.Token{}, failed(fmt.Errorf("read the token: %w", err), "")
		}
		text = strings.TrimSpace(string(b))
	}
	t, err := trust.ParseToken(text)
	switch {
	case text == "":
		return t, &exitError{code: exitUsage, what: "cannot join: there is no --token", safe: safeNothingChanged + ", nothing was sent", do: "make one on any member:  tutti token create"}
	case errors.Is(err, trust.ErrTokenVersion):
		return t, &exitError{code: exitFailed, what: "cannot join: " + plain(err), safe: safeNothingChanged, do: "install the version of tutti that the cluster runs"}
	case err != nil:
		return t, &exitError{code: exitUsage, what: "cannot join: this is not a whole token: " + plain(err), safe: safeNothingChanged + ", nothing was sent",
			do: "copy it again, all of it, or make another on any member:  tutti token create"}
	}
	return t, nil
}

// plain is the text of an error without the name of the package.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "trust: ") }

// outgoing is the address from which this machine reaches another. Nothing is
// sent to find out.
func outgoing(to hostPort) netip.Addr {
	c, err := net.Dial("udp", to.String())
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	a, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().Unmap()
}

// namesMax is how many names are tried if nobody gave one.
const namesMax = 20

// ask joins. A name that nobody chose is changed if another node has it.
func (o *joinOptions) ask(ctx context.Context, j node.Joining) (*node.Joined, error) {
	name := j.Name
	for i := 2; ; i++ {
		joined, err := node.Join(ctx, node.Config{}, j)
		refused, _ := errors.AsType[*node.RefusedError](err)
		if o.name != "" || i > namesMax || refused == nil || refused.Code() != "NAMETAKEN" {
			return joined, err
		}
		j.Name = fmt.Sprintf("%s-%d", name, i)
	}
}

// there decides what to do with a node that is in the folder already: if it is
// one of the token's cluster, it is what the command was to make.
func (o *joinOptions) there(j node.Joining, err error) error {
	s, rerr := node.ReadSelf(vfs.Default, o.dir)
	if rerr != nil {
		return rerr
	}
	id, rerr := trust.Load(vfs.Default, o.dir)
	if rerr != nil {
		return rerr
	}
	if !id.Trusts(j.Token.Pin) {
		return err
	}
	if removed(o.dir, s.Node) {
		return fmt.Errorf("%s holds node %d of %s, and %w", o.dir, s.Node, s.Cluster, node.ErrRemoved)
	}
	fmt.Printf("this machine is already node %d of %s; the token was not used\n", s.Node, s.Cluster)
	return nil
}

// clockFar is how wrong a clock may be before somebody is told.
const clockFar = time.Minute

func (o *joinOptions) tell(to hostPort, joined *node.Joined) {
	me, _ := joined.Map.Member(joined.Self.Node)
	fmt.Printf("%s joined %s as node %d (%s), authority verified by the token\n  data      %s\n  clients   %s   %s\n",
		me.Name, joined.Map.Name, me.ID, me.Peer, o.dir, me.Client, howToTalk(joined.Self, o.dir))
	if joined.Ahead.Abs() > clockFar {
		way := "ahead of"
		if joined.Ahead < 0 {
			way = "behind"
		}
		fmt.Printf("  clock     this machine's clock is %v %s the cluster's time. tutti does not depend on it; programs that check certificates do. Set it: timedatectl set-ntp true\n",
			joined.Ahead.Abs().Round(time.Second), way)
	}
	if host, _, _ := net.SplitHostPort(me.Peer); (hostPort{host: host}).loopback() && !to.loopback() {
		fmt.Printf("  address   no other machine reaches this node at %s. If there are any: leave, and join with another --listen or --advertise\n", me.Peer)
	}
	switch n := len(joined.Map.Members); n {
	case 2:
		fmt.Println("2 machines. Add one more to survive the loss of any 1.")
	default:
		fmt.Printf("%d machines.\n", n)
	}
}

// refusals are what a cluster says to who wants to join, and what helps.
var refusals = map[string]struct{ what, do string }{
	"TOKENUNKNOWN": {"the cluster knows no such token: it was revoked, or expired more than a day ago", "on any member:  tutti token create"},
	"TOKENWRONG":   {"the token is not the one that was made: its last part is wrong", "copy it again, or on any member:  tutti token create"},
	"TOKENEXPIRED": {"", "on any member:  tutti token create"},
	"TOKENUSED":    {"the token was used up by another machine", "on any member:  tutti token create"},
	"TOKENROLE":    {"the token is for another role", "give --role as it was given to tutti token create"},
	"NAMETAKEN":    {"", "choose another name with --node; if that node is gone for good:  tutti node remove"},
	"ADDRTAKEN":    {"", "give other addresses with --listen; if that node is gone for good:  tutti node remove   and join again"},
	"NEEDVERSION":  {"", "install the version of tutti that the cluster runs"},
	"CLUSTERDOWN":  {"the cluster has no majority now and can't take anybody in", "tutti status on a member says what is missing; then join again"},
	"BUSY":         {"", "join again in a moment"},
	"UNCERTAIN":    {"the cluster did not say whether it has taken this machine in", "run the same command again: it ends up as one node in either case"},
}

// joinError says why this machine could not join, and what helps.
func joinError(addr hostPort, err error) *exitError {
	e := &exitError{code: exitFailed, safe: safeNothingChanged}
	refused, _ := errors.AsType[*node.RefusedError](err)
	header, ofHeader := errors.AsType[tls.RecordHeaderError](err)
	network, ofNetwork := errors.AsType[*net.OpError](err)
	switch {
	case refused != nil:
		r := refusals[refused.Code()]
		if e.what, e.do = r.what, r.do; e.what == "" {
			e.what = strings.TrimSuffix(refused.What(), ". Not applied.")
		}
		if refused.Code() == "UNCERTAIN" {
			e.safe = "this machine has kept its key and nothing else"
		}
	case errors.Is(err, trust.ErrUntrusted):
		// The token's authority is shown, so it is being replaced, unless somebody
		// has copied it.
		e.what, e.safe = "the authority of that cluster is being replaced, and no longer the one of the token, or another cluster answers", safeNothingChanged+", and it was told nothing"
		e.do = "check the address, and make another token on any member:  tutti token create"
	case errors.Is(err, trust.ErrPin):
		e.what, e.safe = "another cluster answers there than the one that made the token, or its authority was replaced since", safeNothingChanged+", and it was told nothing"
		e.do = "check the address, or make another token on any member:  tutti token create"
	case ofHeader && strings.HasPrefix(string(header.RecordHeader[:]), "HTTP"):
		e.what, e.do = "a web server answers there", "check the address: nodes listen for each other on port "+fmt.Sprint(joinPort)
	case ofHeader, errors.Is(err, trust.ErrNotPeerPort), ofNetwork && network.Op == "remote error", ofConnection(err) && isForClients(addr):
		e.what, e.do = "that is not where nodes listen for each other", "tutti join "+hostPort{addr.host, peerPort(addr.port)}.String()
	case ofNetwork && network.Op == "dial":
		e.code, e.what, e.do = exitUnreachable, cause(err).Error(), "check that the node runs, and that no firewall is between"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		e.what, e.do = "who answers there closes the connection", "check the address: nodes listen for each other on port "+fmt.Sprint(joinPort)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), ofNetwork:
		e.code, e.what, e.do = exitUnreachable, "no answer in time", "run the same command again, also with the address of another node; if that does not help, see whether this one is stopped or frozen, and check the network between"
		e.safe = "this machine has kept its key and nothing else; it ends up as one node in any case"
	default:
		return folderError(err, "")
	}
	e.what = fmt.Sprintf("cannot join %s: %s", addr, e.what)
	return e
}

// peerPort guesses where the node with a port for clients listens for nodes.
func peerPort(client int) int {
	if client+peerPortOffset > 65535 {
		return joinPort
	}
	return client + peerPortOffset
}

// ofConnection reports whether an error came of a connection. Whatever answers there has
// no part in one of a folder.
func ofConnection(err error) bool {
	_, ofNetwork := errors.AsType[*net.OpError](err)
	_, ofCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	return ofNetwork || ofCertificate || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// isForClients reports whether a port for clients is at addr. That for nodes answers, too.
func isForClients(addr hostPort) bool {
	c, err := dialRESP(addr.String(), time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	v, err := c.do(time.Second, "PING")
	return err == nil && !strings.HasPrefix(string(v.Str), node.ForNodes)
}

// folderError is about the folder of a node that is to be made.
func folderError(err error, dir string) *exitError {
	e := &exitError{code: exitFailed, what: err.Error(), safe: safeNothingChanged, do: "choose another folder with --dir"}
	switch {
	case errors.Is(err, node.ErrNodeThere):
		e.do = "to run that node:  tutti start --dir " + dir + "   for another one choose another folder with --dir"
	case errors.Is(err, node.ErrRemoved):
		e.safe, e.do = safeNothingChanged+", and the token was not used", doRejoin
	case errors.Is(err, node.ErrInUse):
		e.do = "talk to the node that runs there, or choose another folder with --dir"
	case errors.Is(err, os.ErrPermission):
		e.do = "choose a folder with --dir that this user may write to"
	}
	return e
}
