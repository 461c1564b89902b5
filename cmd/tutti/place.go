package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/trust"
)

// placeOptions say where a new node lives. It listens for nodes peerPortOffset
// ports above where it listens for clients, unless told otherwise.
type placeOptions struct {
	runOptions
	serviceFlags
	name, zone                    string
	listen, peerListen, advertise string
	asService                     bool // systemd is to run it
}

// defaultListen is all addresses of the machine: clients speak TLS and log in.
const defaultListen = ":6379"

func (o *placeOptions) flags(c *cobra.Command) {
	o.runOptions.flags(c)
	o.serviceFlags.add(c)
	// These are changed when the node starts again, see tutti start --help.
	for _, name := range []string{"debug-command", "log-format", "tls-cert", "tls-key"} {
		_ = c.Flags().MarkHidden(name)
	}
	_ = c.Flags().Set("tls", "true")
	c.Flags().Lookup("tls").DefValue = "true"
	c.Flags().Lookup("tls").Usage = "clients speak TLS; --tls=false: they do not"
	c.Flags().StringVar(&o.name, "node", "", "name of this node (default: that of the machine)")
	c.Flags().StringVar(&o.zone, "zone", "", "what fails together with this node: a rack, a room, a site")
	c.Flags().StringVar(&o.listen, "listen", defaultListen, "address for clients")
	c.Flags().StringVar(&o.peerListen, "peer-listen", "", "address for other nodes (default: that for clients, port + 1000)")
	c.Flags().BoolVar(&o.asService, "service", false, "let systemd run the node, now and from each boot on, instead of serving in the foreground: as root, with the Debian package installed")
	c.Flags().StringVar(&o.advertise, "advertise", "", "host under which others reach this node (default: what it listens on)")
}

// place works the addresses out. outgoing is the address from which this machine
// reaches the cluster, if there is one.
func (o *placeOptions) place(command string, outgoing netip.Addr) (p node.Place, err error) {
	client, err := splitAddr("--listen", o.listen, command)
	if err != nil {
		return p, err
	}
	peer := hostPort{client.host, client.port + peerPortOffset}
	if o.peerListen != "" {
		if peer, err = splitAddr("--peer-listen", o.peerListen, command); err != nil {
			return p, err
		}
	}
	if peer.port > 65535 {
		return p, usageError(fmt.Sprintf("--listen %s: the port for nodes would be %d; choose a lower one, or give --peer-listen", o.listen, peer.port), command)
	}
	if o.zone != "" {
		if err := cluster.CheckName(o.zone); err != nil {
			return p, usageError(fmt.Sprintf("--zone: %v", err), command)
		}
	}
	p = node.Place{Dir: o.dir, Service: o.Service, ListenClient: client.String(), ListenPeer: peer.String()}
	p.Client, p.Peer = o.reached(client, outgoing).String(), o.reached(peer, outgoing).String()
	for _, addr := range [...]string{p.Client, p.Peer} {
		if err := trust.CheckAddr(addr); err != nil {
			return p, &exitError{code: exitUsage, what: "--advertise: " + plain(err), safe: safeNothingChanged, do: command + " --help"}
		}
	}
	// Only what differs is kept.
	if p.ListenClient == p.Client {
		p.ListenClient = ""
	}
	if p.ListenPeer == p.Peer {
		p.ListenPeer = ""
	}
	return p, nil
}

// takeable fails if the new node could not listen where it is to: before anybody is told
// of it, as a member that never starts would be in everybody's way. Of a node that is
// there already its start says so.
func (o *placeOptions) takeable(p node.Place) error {
	if node.Vacant(node.Config{}, o.dir) != nil {
		return nil // which is told by whoever is to make it
	}
	for _, addr := range []string{cmp.Or(p.ListenClient, p.Client), cmp.Or(p.ListenPeer, p.Peer), o.httpListen} {
		if addr == "" {
			continue
		}
		if err := free(addr); err != nil {
			if e, ok := errors.AsType[*exitError](err); ok {
				e.safe = safeNothingChanged
			}
			return err
		}
	}
	return nil
}

// reached is where others reach what listens on addr.
func (o *placeOptions) reached(addr hostPort, outgoing netip.Addr) hostPort {
	switch {
	case o.advertise != "":
		addr.host = o.advertise
	case !addr.everywhere():
	case outgoing.IsValid() && !outgoing.IsLoopback():
		addr.host = outgoing.String()
	default:
		addr.host = machineAddrs()[0].String()
	}
	return addr
}

// hostPort is an address to listen on or to dial.
type hostPort struct {
	host string
	port int
}

func (h hostPort) String() string { return net.JoinHostPort(h.host, strconv.Itoa(h.port)) }

// everywhere reports whether h is all addresses of the machine.
func (h hostPort) everywhere() bool {
	ip, err := netip.ParseAddr(h.host)
	return h.host == "" || err == nil && ip.IsUnspecified()
}

// loopback reports whether only this machine reaches h.
func (h hostPort) loopback() bool {
	ip, err := netip.ParseAddr(h.host)
	return h.host == "localhost" || err == nil && ip.IsLoopback()
}

func splitAddr(flag, addr, command string) (h hostPort, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return h, usageError(fmt.Sprintf("%s %s: %v", flag, addr, cause(err)), command)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return h, usageError(fmt.Sprintf("%s %s: %q is not a port from 1 to 65535", flag, addr, p), command)
	}
	return hostPort{host, int(n)}, nil
}

// machineAddrs lists the addresses under which others may reach this machine,
// those of IPv4 first; if it has none, that of itself.
func machineAddrs() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
				list = append(list, p.Addr())
			}
		}
	}
	first := 0
	for i, a := range list {
		if a.Is4() {
			list[first], list[i] = a, list[first]
			first++
		}
	}
	if len(list) == 0 {
		list = append(list, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return list
}

// machineName is the name of this machine, as far as it can be that of a node.
func machineName() string {
	host, err := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	if err != nil || cluster.CheckName(host) != nil {
		return "node"
	}
	return host
}

// nodeName is the name that was given, or that of the machine.
func (o *placeOptions) nodeName(command string) (string, error) {
	name := cmp.Or(o.name, machineName())
	if err := cluster.CheckName(name); err != nil {
		return "", usageError(fmt.Sprintf("--node: %v", err), command)
	}
	return name, nil
}
