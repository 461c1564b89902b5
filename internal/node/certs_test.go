package node_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/node"
	"tutti/internal/node/nodetest"
	"tutti/internal/proof/respclient"
	"tutti/internal/shard"
	"tutti/internal/trust"
)

// patience is how long a test waits for what happens soon.
const patience = 60 * time.Second

// eventually asks again until check finds nothing wrong.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(patience)
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		select {
		case <-end:
			t.Fatal(wrong)
		case <-ticker.C:
		}
	}
}

// certList is what TUTTI.CERT LIST answers.
type certList struct {
	Generation  uint64
	Authorities []struct{ State string }
	Nodes       []struct {
		Node       cluster.NodeID
		Generation uint64
	}
}

func listCerts(t *testing.T, c *nodetest.Client) (l certList) {
	t.Helper()
	v := c.Do("TUTTI.CERT", "LIST")
	if err := json.Unmarshal(v.Str, &l); err != nil {
		t.Fatalf("%s: %v", v.Str, err)
	}
	return l
}

// rotated reports what is still missing of a rotation.
func rotated(l certList, generation uint64) string {
	if l.Generation != generation || len(l.Authorities) != 1 {
		return fmt.Sprintf("%+v", l)
	}
	for _, n := range l.Nodes {
		if n.Generation != generation {
			return fmt.Sprintf("%+v", l)
		}
	}
	return ""
}

// traffic counts up on every node until it is stopped, and then says what failed.
func traffic(t *testing.T, c *nodetest.Cluster, nodes ...int) (stop func() (done int, failed []string)) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex // guards what follows
	done, failed := 0, []string(nil)
	for _, i := range nodes {
		client := c.Dial(i)
		wg.Go(func() {
			for ctx.Err() == nil {
				v, err := client.Conn.Do("INCR", "count")
				mu.Lock()
				if done++; err != nil || v.IsError() {
					failed = append(failed, fmt.Sprintf("node %d: %s %v", i+1, v.Str, err))
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	return func() (int, []string) {
		cancel()
		wg.Wait()
		return done, failed
	}
}

// The authority is replaced under load, while one node is away for a while; nobody
// notices, and in the end nobody trusts the old one.
func TestAuthorityIsReplacedUnderLoad(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, TLS: true, PeerTLS: true})
	before := c.File(0, trust.CAFile)
	old := c.TLS(0)
	stop := traffic(t, c, 0, 1)
	admin := c.Dial(0)
	c.Stop(2)
	if got := admin.Text("TUTTI.CERT", "ROTATE"); got != "OK" {
		t.Fatal(got)
	}
	eventually(t, func() string {
		if n := bytes.Count(c.File(1, trust.CAFile), []byte("BEGIN")); n != 2 {
			return fmt.Sprintf("node 2 trusts %d authorities", n)
		}
		return ""
	})
	if got := admin.Text("TUTTI.CERT", "ROTATE"); !strings.Contains(got, "is being replaced already") {
		t.Errorf("a second rotation: %s", got)
	}
	if l := listCerts(t, admin); l.Generation != 1 || len(l.Authorities) != 2 || l.Authorities[1].State != "prepared" {
		t.Fatalf("it does not wait for node 3: %+v", l)
	}
	c.Restart(2)
	eventually(t, func() string { return rotated(listCerts(t, admin), 3) })
	if done, failed := stop(); len(failed) > 0 || done == 0 {
		t.Errorf("%d commands, of which failed: %q", done, failed)
	}
	for i := range 3 {
		if now := c.File(i, trust.CAFile); bytes.Count(now, []byte("BEGIN")) != 1 || bytes.Equal(now, before) {
			t.Errorf("node %d trusts\n%s", i+1, now)
		}
	}
	if conn, err := tls.Dial("tcp", c.Addr(0), old); err == nil {
		conn.Close()
		t.Error("a client that trusts the old authority takes the node for the one it knew")
	}
	// Links made anew stand, whoever begins.
	for i := range 3 {
		c.Stop(i)
		c.Restart(i)
		eventually(t, func() string {
			if got := c.Dial(i).Text("INCR", "again"); !strings.HasPrefix(got, "(integer)") {
				return fmt.Sprintf("node %d: %s", i+1, got)
			}
			return ""
		})
	}
}

func TestCertificatesAreRenewedWhenAsked(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{TLS: true})
	before := c.File(0, trust.ServiceFile)
	if got := c.Dial(0).Text("TUTTI.CERT", "RENEW"); got != "OK" {
		t.Fatal(got)
	}
	if bytes.Equal(c.File(0, trust.ServiceFile), before) {
		t.Error("the certificate for clients is the old one")
	}
	if got := c.Dial(0).Text("PING"); got != "PONG" {
		t.Error(got)
	}
}

// A cluster that was switched off for a week finds all its certificates expired. It
// starts all the same, and renews them for its clients.
func TestClusterThatWasOffForAWeek(t *testing.T) {
	const week = 7 * 24 * time.Hour
	ahead := time.Duration(0)
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, TLS: true, PeerTLS: true, Configure: func(_ int, cfg *node.Config) {
		cfg.Clock = shard.SystemClock()
		later := ahead
		cfg.Clock.Wall = func() int64 { return time.Now().Add(later).UnixMilli() }
	}})
	for i := range 3 {
		c.Stop(i)
	}
	ahead = week
	for i := range 3 {
		c.Restart(i)
	}
	for i := range 3 {
		eventually(t, func() string {
			cfg := c.TLS(i)
			cfg.Time = func() time.Time { return time.Now().Add(week) }
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", c.Addr(i), cfg)
			if err != nil {
				return fmt.Sprintf("node %d, a week later: %v", i+1, err)
			}
			defer conn.Close()
			v, err := respclient.New(conn).Do("INCR", "count")
			if err != nil || v.IsError() {
				return fmt.Sprintf("node %d, a week later: %s %v", i+1, v.Str, err)
			}
			return ""
		})
	}
}

// knock dials the peer port of node i as if it were node as, and returns what ends the
// connection; nil: nothing does, for a while.
func knock(t *testing.T, c *nodetest.Cluster, i, as int) error {
	t.Helper()
	everybody := func(cluster.NodeID) bool { return true }
	cfg := trust.ClientConfig(trust.NewHolder(c.Identity(as)), cluster.NodeID(i+1), everybody)
	conn, err := tls.Dial("tcp", c.PeerAddr(i), cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// A node that was removed is refused by all others at once, although its certificate
// is as good as before, and the links that stood are closed.
func TestRemovedNodeIsRefused(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{Nodes: 4, PeerTLS: true, Configure: func(i int, cfg *node.Config) {
		if i == 3 {
			cfg.Failed = func(error) {} // it may be told before its links are closed
		}
	}})
	admin := c.Dial(0)
	for i := range 3 {
		if err := knock(t, c, i, 3); err != nil {
			t.Fatalf("node %d refuses a member: %v", i+1, err)
		}
	}
	if got := admin.Text("TUTTI.MEMBER", "DRAIN", "4"); got != "OK" {
		t.Fatal(got)
	}
	eventually(t, func() string {
		if got := admin.Text("TUTTI.MEMBER", "REMOVE", "4"); got != "OK" {
			return got
		}
		return ""
	})
	for i := range 3 {
		eventually(t, func() string { // node i has heard of it
			if knock(t, c, i, 3) == nil {
				return fmt.Sprintf("node %d speaks with the one that was removed", i+1)
			}
			return ""
		})
	}
	eventually(t, func() string {
		var seen struct {
			Nodes []struct {
				ID cluster.NodeID
				Up bool
			}
		}
		if err := json.Unmarshal(c.Dial(3).Do("TUTTI.STATUS", "LOCAL").Str, &seen); err != nil {
			return err.Error()
		}
		for _, n := range seen.Nodes {
			if n.Up && n.ID != 4 {
				return fmt.Sprintf("node 4 has a link to node %d", n.ID)
			}
		}
		return ""
	})
}
