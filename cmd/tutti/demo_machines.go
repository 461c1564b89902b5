package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/proof/netfault"
	"tutti/internal/resp"
	"tutti/internal/trust"
)

// The machines of the demo: processes that are made by tutti init and tutti
// join, as a user would make them. What they say to each other goes through a
// switch that can lose it, and the clock of one is an hour ahead.

// Which machine is which, by index: the order in which they join.
const (
	demoNodes   = 3 // of the beginning
	demoAhead   = 1 // whose clock is ahead
	demoGateway = 3
	demoFourth  = 4
	demoFifth   = 5
	machines    = 6
)

// storing lists the machines that may hold data, in the order in which they join.
func storing() []int { return []int{0, 1, 2, demoFourth, demoFifth} }

const (
	// clockAhead is how far the clock of one machine is off.
	clockAhead   = time.Hour
	joinTimeout  = 20 * time.Second // for a machine to serve
	placeTimeout = 30 * time.Second // for replicas to be where they should
	lookEvery    = 20 * time.Millisecond
	adminTimeout = 8 * time.Second // of one command about the cluster
)

// machineNames are what the machines are called, zones by the way.
var machineNames = [machines]string{"a", "b", "c", "gate", "d", "e"}

// fleet is the machines.
type fleet struct {
	cluster *localCluster
	net     *netfault.Switch
	nodes   []target // the storage nodes; until the last claim by index of the machine
	removed [machines]bool
	held    [machines][]net.Listener // the ports of those that are not made yet
}

// machineMembers gives the machines their ids, in the order in which they join,
// and addresses that are free, and stay so until the machine is made: some join a minute
// later than others.
func machineMembers() (members []node.Member, held [machines][]net.Listener, err error) {
	ports, err := freePorts(2 * machines)
	if err != nil {
		return nil, held, err
	}
	for i, name := range machineNames {
		held[i] = ports[2*i : 2*i+2]
		members = append(members, node.Member{ID: cluster.NodeID(i + 1), Name: name, Zone: "z" + fmt.Sprint(i+1),
			Client: held[i][0].Addr().String(), Peer: held[i][1].Addr().String()})
	}
	return members, held, nil
}

// release frees the ports of machine i.
func (d *fleet) release(i int) {
	for _, l := range d.held[i] {
		l.Close()
	}
	d.held[i] = nil
}

// create makes machine i by a subcommand.
func (d *fleet) create(i int, args ...string) error {
	d.release(i)
	return d.cluster.launch(i, childAttr(), args...)
}

// wire has each machine reach every other one through the switch.
func (d *fleet) wire() error {
	d.net = netfault.New(1)
	d.cluster.flags = make([][]string, machines)
	for i, from := range d.cluster.members {
		var ways []string
		for _, to := range d.cluster.members {
			if to.ID == from.ID {
				continue
			}
			addr, err := d.net.Connect(from.Name, to.Name, to.Peer)
			if err != nil {
				return err
			}
			ways = append(ways, fmt.Sprintf("%d=%s", to.ID, addr))
		}
		d.cluster.flags[i] = []string{"--via", strings.Join(ways, ",")}
		if i == demoAhead {
			d.cluster.flags[i] = append(d.cluster.flags[i], "--clock-ahead", clockAhead.String())
		}
		d.cluster.logs[i] = filepath.Join(d.cluster.dir, from.Name+".log")
	}
	return nil
}

// found begins the cluster with the first machine, as tutti init does it.
func (d *fleet) found(ctx context.Context) error {
	m := d.cluster.members[0]
	if err := d.create(0, "init", "--name", demoName, "--node", m.Name, "--zone", m.Zone, "--listen", m.Client, "--peer-listen", m.Peer); err != nil {
		return err
	}
	if err := d.findDoor(ctx); err != nil {
		return err
	}
	return d.serves(ctx, 0)
}

// demoName is what the cluster is called.
const demoName = "demo"

// findDoor waits until init has written what clients need: the authority that the
// nodes' certificates are signed by, and the login of the first user.
func (d *fleet) findDoor(ctx context.Context) (err error) {
	door := target{ca: filepath.Join(d.cluster.dirs[0], trust.CAFile), secret: filepath.Join(d.cluster.dir, "tutti", demoName+secretEnd)}
	for end := time.Now().Add(joinTimeout); time.Now().Before(end); {
		if _, err = readSecret(door.secret); err == nil {
			err = door.prepare()
		}
		if err == nil {
			d.cluster.door = door
			return nil
		}
		if p := d.cluster.procs[0]; p.isOver() {
			return fmt.Errorf("%s ended: %s", d.cluster.members[0].Name, p.ended())
		}
		if pauseErr := pause(ctx, lookEvery); pauseErr != nil {
			return pauseErr
		}
	}
	return fmt.Errorf("find the login of the first node: %w; its log: %s", err, d.cluster.logs[0])
}

// join makes machine i a node, as tutti join does it, and waits until it serves.
func (d *fleet) join(ctx context.Context, i int, role string) error {
	token, err := d.ask(ctx, "TUTTI.TOKEN", "CREATE", "ROLE", role)
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	m := d.cluster.members[i]
	if err := d.create(i, "join", d.cluster.members[0].Peer, "--token", string(token.Str), "--role", role,
		"--node", m.Name, "--zone", m.Zone, "--listen", m.Client, "--peer-listen", m.Peer); err != nil {
		return err
	}
	if role == "gateway" { // which learns who leads when it is asked for something
		return d.answers(ctx, i, joinTimeout)
	}
	return d.serves(ctx, i)
}

// answers waits until machine i answers a command.
func (d *fleet) answers(ctx context.Context, i int, within time.Duration) error {
	for end := time.Now().Add(within); time.Now().Before(end); {
		conn, err := d.cluster.at(i).dial(dialTime)
		if err == nil {
			v, askErr := conn.do(probeTimeout, "INCR", "demo:answers")
			conn.Close()
			if askErr == nil && !v.IsError() {
				return nil
			}
		}
		if p := d.cluster.procs[i]; p.isOver() {
			return fmt.Errorf("%s ended: %s", d.cluster.members[i].Name, p.ended())
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s did not answer for %v; its log: %s", d.cluster.members[i].Name, within, d.cluster.logs[i])
}

func (d *fleet) serves(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	_, err := d.cluster.await(ctx, i, led)
	return err
}

// ask sends a command about the cluster to one node after the other until it is
// answered without an error.
func (d *fleet) ask(ctx context.Context, args ...string) (v resp.Value, err error) {
	for end := time.Now().Add(adminTimeout); time.Now().Before(end); {
		for _, at := range d.nodes {
			conn, dialErr := at.dial(dialTime)
			if dialErr != nil {
				err = dialErr
				continue
			}
			v, err = conn.do(adminTimeout, args...)
			conn.Close()
			if err == nil && v.IsError() {
				err = errors.New(string(v.Str))
			}
			if err == nil {
				return v, nil
			}
		}
		if pauseErr := pause(ctx, lookEvery); pauseErr != nil {
			return v, pauseErr
		}
	}
	return v, fmt.Errorf("%s: %w", args[0], err)
}

// placed waits until each shard has as many voters and learners, all on machines
// that are to have them.
func (d *fleet) placed(ctx context.Context, voters, learners int, on ...int) (v clusterView, err error) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	for {
		if v, err = askView(d.nodes[0]); err == nil && v.placed(voters, learners, on) {
			return v, nil
		}
		if pauseErr := pause(ctx, lookEvery); pauseErr != nil {
			return v, fmt.Errorf("no %d voters and %d learners of each shard after %v: %w", voters, learners, placeTimeout, errors.Join(pauseErr, err))
		}
	}
}

func (v clusterView) placed(voters, learners int, on []int) bool {
	for _, s := range v.Shards {
		votes, learns := 0, 0
		for _, r := range s.Replicas {
			switch {
			case !slices.Contains(on, int(r.Node)-1) || r.Part == cluster.Leaving:
				return false
			case r.Part == cluster.Learner:
				learns++
			default:
				votes++
			}
		}
		if votes != voters || learns != learners {
			return false
		}
	}
	return len(v.Shards) > 0
}

// strangerRefused dials the port for nodes without a certificate, and reports
// whether that led nowhere.
func strangerRefused(peer string) (bool, error) {
	raw, err := net.DialTimeout("tcp", peer, time.Second)
	if err != nil {
		return false, err
	}
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec // a stranger does not care who answers
	if err := c.Handshake(); err != nil {
		return true, nil
	}
	// With TLS 1.3 the server's refusal comes after the handshake.
	n, err := c.Read(make([]byte, 1))
	return n == 0 && err != nil, nil
}
