package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/node"
	"tutti/internal/trust"
)

type initOptions struct {
	placeOptions
	cluster string
	named   bool   // by a flag
	secret  string // the file with the login
}

func initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Begin a cluster on this machine, and serve it",
		Long: `Begins a cluster of one node, prints how other machines join it, and serves in the foreground, or with --service by systemd.
If it was cut off before, it begins anew; a folder with a complete node is served as it is.`,
		Example: "  tutti init --zone z1\n  sudo tutti init --service",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.asService {
				return initService(c, o, systemd())
			}
			return initCluster(o)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.cluster, "name", "", "name of the cluster (default: one is made up)")
	return c
}

// initService is initCluster for a node that m is to run.
func initService(c *cobra.Command, o initOptions, m manager) error {
	if err := m.check(c, o.dir); err != nil {
		return err
	}
	if !m.serves() {
		// It runs here for as long as it takes to make the first token.
		o.once, o.level = true, "warn"
		if err := initCluster(o); err != nil {
			return err
		}
	}
	return m.take()
}

func initCluster(o initOptions) error {
	name, err := o.nodeName("tutti init")
	if err != nil {
		return err
	}
	place, err := o.place("tutti init", netip.Addr{})
	if err != nil {
		return err
	}
	if o.cluster != "" {
		if err := trust.CheckCluster(o.cluster); err != nil {
			return usageError(fmt.Sprintf("--name: %s", plain(err)), "tutti init")
		}
	}
	if err := o.takeable(place); err != nil {
		return err
	}
	o.named = o.cluster != ""
	o.cluster = cmp.Or(o.cluster, clusterName())
	made := true
	err = o.found(place, name)
	if errors.Is(err, node.ErrNodeThere) {
		err, made = o.there(err), false
	}
	if err != nil {
		return folderError(err, o.dir)
	}
	return start(o.runOptions, func(ctx context.Context, n *node.Node) error { return o.welcome(ctx, n, made) })
}

// found makes the node, with the login of its first user in a file before it is
// in the cluster: a password that is lost could not be made again.
func (o *initOptions) found(place node.Place, name string) error {
	login := func(cluster string) (string, error) {
		l, file, err := newSecret(cluster, node.AdminUser)
		if err != nil {
			return "", fmt.Errorf("write the login of the first user: %w", err)
		}
		o.secret = file
		return l.password, nil
	}
	return node.Init(node.Config{}, node.Founding{Place: place, Cluster: o.cluster, MadeUp: !o.named, Name: name, Zone: o.zone, Login: login})
}

// there checks that the node in the folder is one that the command could have
// made before.
func (o *initOptions) there(err error) error {
	s, rerr := node.ReadSelf(vfs.Default, o.dir)
	if rerr != nil {
		return rerr
	}
	if s.Node != 1 || o.named && o.cluster != s.Cluster {
		return err
	}
	// Who was cut off before they were told where the login is are told now.
	if file, ferr := secretFile(s.Cluster); ferr == nil && fileExists(file) {
		o.secret = file
	}
	return nil
}

// welcome says what there is now and how it grows.
func (o *initOptions) welcome(ctx context.Context, n *node.Node, made bool) error {
	self, m := n.Self(), n.Map()
	me, _ := m.Member(self.Node)
	verb := "created"
	if !made {
		verb = "is here already; started"
	}
	fmt.Printf("cluster %s %s on %s\n  data      %s\n", self.Cluster, verb, me.Name, o.dir)
	if o.secret != "" {
		fmt.Printf("  login     user %s, password in %s (only you can read it)\n", node.AdminUser, o.secret)
	}
	fmt.Printf("  clients   %s   %s\n  nodes     %s\n", self.Client, howToTalk(self, o.dir), self.Peer)
	if len(m.Members) > 1 {
		return nil
	}
	token, err := firstToken(ctx, n)
	if err != nil {
		return untold(ctx, err)
	}
	addrs := joinAddrs(self)
	fmt.Printf("\nOn each other machine, within %v:\n", tokenTTL)
	fmt.Printf("    tutti join %s --token %s\n", addrs[0], token)
	if len(addrs) > 1 {
		fmt.Printf("    (also reachable as %s)\n", strings.Join(addrs[1:], ", "))
	}
	fmt.Printf("\nNow: 1 machine. If it stops, the cluster stops. With 3 machines it survives the loss of any 1.\n")
	return nil
}

// howToTalk is how redis-cli reaches a node.
func howToTalk(self node.Self, dir string) string {
	host, port, err := net.SplitHostPort(self.Client)
	if err != nil {
		return ""
	}
	text := "redis-cli -p " + port
	if (hostPort{host: host}) != (hostPort{host: "127.0.0.1"}) {
		text += " -h " + host
	}
	if self.TLS {
		text += " --tls --cacert " + filepath.Join(dir, trust.CAFile)
	}
	return text + " --user " + node.AdminUser + " --askpass"
}

const (
	// tokenTTL and firstUses are of the token that init prints: for the machines
	// that make the cluster one that survives something.
	tokenTTL  = time.Hour
	firstUses = 8
	// tokenPatience is how long init tries to make it, on a machine that is so busy
	// that the node does not lead in time; tokenPause is between two attempts.
	tokenPatience = time.Minute
	tokenPause    = 200 * time.Millisecond
)

// firstToken makes a token, as soon as the node leads. An attempt of which nobody knows
// whether it made one is repeated too: nobody was told that one, and it expires.
func firstToken(ctx context.Context, n *node.Node) (string, error) {
	return makeToken(ctx, tokenPatience, func() (string, error) {
		v, err := n.Meta(ctx, "TUTTI.TOKEN", "CREATE", "TTL", fmt.Sprint(int(tokenTTL.Seconds())), "USES", fmt.Sprint(firstUses))
		if err == nil && v.IsError() {
			err = errors.New(string(v.Str))
		}
		return string(v.Str), err
	})
}

// makeToken calls attempt until it makes a token, or ctx or its patience ends.
func makeToken(ctx context.Context, patience time.Duration, attempt func() (string, error)) (string, error) {
	for end := time.Now().Add(patience); ; {
		token, err := attempt()
		if err == nil || !time.Now().Before(end) {
			return token, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(tokenPause):
		}
	}
}

// untold says that there is no token yet. The node goes on: it is a cluster already,
// and whoever joins it can be given one later.
func untold(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	fmt.Printf("\nNo token to join with could be made: %s\n    tutti token create\nmakes one for each other machine.\n", plain(err))
	return nil
}

// joinAddrs lists the addresses to join at, the one of the map first, as they
// are typed.
func joinAddrs(self node.Self) []string {
	peer, err := splitAddr("", self.Peer, "")
	if err != nil {
		return []string{self.Peer}
	}
	list := []string{shortAddr(peer)}
	listen, err := splitAddr("", cmp.Or(self.ListenPeer, self.Peer), "")
	if err != nil || !listen.everywhere() {
		return list
	}
	for _, a := range machineAddrs() {
		if a.String() != peer.host {
			list = append(list, shortAddr(hostPort{a.String(), listen.port}))
		}
	}
	return list
}

// joinPort is where nodes listen for each other unless told otherwise.
const joinPort = 7379

// shortAddr leaves the usual port out.
func shortAddr(h hostPort) string {
	if h.port == joinPort {
		return h.host
	}
	return h.String()
}

// clusterName makes up a name that is easy to say.
func clusterName() string {
	how := [...]string{"bright", "calm", "clear", "eager", "gentle", "grand", "happy", "lively", "lucky", "merry", "noble", "proud", "quick", "quiet", "sunny", "swift"}
	who := [...]string{"badger", "beaver", "cello", "crane", "falcon", "heron", "lynx", "marmot", "oboe", "otter", "raven", "robin", "salmon", "swan", "viola", "wren"}
	return how[rand.IntN(len(how))] + "-" + who[rand.IntN(len(who))]
}
