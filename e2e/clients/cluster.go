package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
)

// The nodes of a cluster, by index. Clients that know one storage node know the
// first.
const (
	storageNodes = 3
	gateway      = storageNodes
	nodes        = storageNodes + 1
)

const (
	clusterName  = "red"
	appUser      = "app"
	appPassword  = "an application's password" // blanks and all
	serveTimeout = 30 * time.Second
)

// cluster is made by tutti init and tutti join, as a user would make it.
type cluster struct {
	binary string
	dir    string
	tls    bool
	addrs  [nodes]string // for clients
	peers  [nodes]string
	procs  [nodes]*process.Process
	login  []string    // of the admin: user and password
	trust  *tls.Config // nil: without TLS
	admins [nodes]*redis.Client
}

// form makes a cluster in a folder: three storage nodes and a gateway, with a user
// for applications. secure: clients speak TLS and log in, as init has it unless it
// is told otherwise; else neither.
func form(binary, dir string, secure bool) (*cluster, error) {
	c := &cluster{binary: binary, dir: dir, tls: secure}
	addrs, err := process.FreeAddrs(2 * nodes)
	if err != nil {
		return nil, err
	}
	copy(c.addrs[:], addrs[:nodes])
	copy(c.peers[:], addrs[nodes:])
	if err := c.found(); err != nil {
		return c, err
	}
	for i := 1; i < nodes; i++ {
		if err := c.join(i); err != nil {
			return c, err
		}
	}
	return c, c.healthy()
}

// run starts a process of node i.
func (c *cluster) run(i int, command string, args ...string) (err error) {
	env := append(os.Environ(), "XDG_CONFIG_HOME="+c.dir) // where the login is
	args = append([]string{command, "--dir", c.folder(i), "--log", "info"}, args...)
	c.procs[i], err = process.Spawn(c.dir, c.name(i), env, c.binary, args...)
	return err
}

func (c *cluster) folder(i int) string { return filepath.Join(c.dir, c.name(i)) }

func (c *cluster) name(i int) string { return [nodes]string{"ada", "bob", "cy", "gate"}[i] }

func (c *cluster) place(i int) []string {
	return []string{"--node", c.name(i), "--listen", c.addrs[i], "--peer-listen", c.peers[i], fmt.Sprintf("--tls=%t", c.tls)}
}

// found begins the cluster, and makes the user.
func (c *cluster) found() error {
	if err := c.run(0, "init", append(c.place(0), "--name", clusterName)...); err != nil {
		return err
	}
	secret := filepath.Join(c.dir, "tutti", clusterName+".secret")
	err := c.wait(0, "begin the cluster", func() error {
		b, err := os.ReadFile(secret)
		if err != nil {
			return err
		}
		if c.login = strings.Fields(string(b)); len(c.login) != 2 {
			return fmt.Errorf("%s has no login", secret)
		}
		if c.tls {
			pem, err := os.ReadFile(c.ca())
			if err != nil {
				return err
			}
			c.trust = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
			c.trust.RootCAs.AppendCertsFromPEM(pem)
		}
		return c.do(0, "PING")
	})
	if err != nil {
		return err
	}
	if !c.tls {
		return c.do(0, "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")
	}
	return c.do(0, "ACL", "SETUSER", appUser, "on", ">"+appPassword, "~app:*", "+@read", "+@write", "+@connection", "+sentinel", "+cluster", "+info", "+command", "+role")
}

// join adds node i.
func (c *cluster) join(i int) error {
	role := "node"
	if i == gateway {
		role = "gateway"
	}
	token, err := c.admin(0).Do(context.Background(), "TUTTI.TOKEN", "CREATE", "ROLE", role).Text()
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	if err := c.run(i, "join", append(c.place(i), c.peers[0], "--token", token, "--role", role)...); err != nil {
		return err
	}
	return c.serves(i)
}

// serves waits until node i answers a read.
func (c *cluster) serves(i int) error {
	return c.wait(i, c.name(i)+" serves", func() error { return c.do(i, "EXISTS", "app:nothing") })
}

// wait waits for something that a node does.
func (c *cluster) wait(i int, what string, probe func() error) error {
	err := process.Eventually(serveTimeout, what, probe)
	if err != nil {
		return fmt.Errorf("%w; its output: %s", err, c.procs[i].Log)
	}
	return nil
}

// ca is the file with the authority that clients trust, as init has written it.
func (c *cluster) ca() string { return filepath.Join(c.folder(0), "ca.pem") }

// admin is a client of node i that says what is the matter instead of trying again.
func (c *cluster) admin(i int) *redis.Client {
	if c.admins[i] == nil {
		c.admins[i] = redis.NewClient(&redis.Options{Addr: c.addrs[i], Username: c.login[0], Password: c.login[1], TLSConfig: c.trust, MaxRetries: -1})
	}
	return c.admins[i]
}

func (c *cluster) do(i int, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.admin(i).Do(ctx, args...).Err()
}

// healthy waits until the loss of any node would be survived.
func (c *cluster) healthy() error {
	return process.Eventually(serveTimeout, "the cluster is healthy", func() error {
		text, err := c.admin(gateway).Do(context.Background(), "TUTTI.STATUS").Text()
		if err != nil {
			return err
		}
		var status struct{ Verdict string }
		if err := json.Unmarshal([]byte(text), &status); err != nil {
			return err
		}
		// The gateway holds nothing that could be lost.
		if want := fmt.Sprintf("Healthy. Survives the loss of any 1 of %d nodes", nodes-1); !strings.HasPrefix(status.Verdict, want) {
			return errors.New(status.Verdict)
		}
		return nil
	})
}

// start starts node i again.
func (c *cluster) start(i int) error {
	if err := c.run(i, "start"); err != nil {
		return err
	}
	return c.serves(i)
}

// close stops all nodes.
func (c *cluster) close() (err error) {
	for i := range nodes {
		if c.admins[i] != nil {
			err = errors.Join(err, c.admins[i].Close())
		}
	}
	for _, p := range c.procs {
		if p != nil {
			err = errors.Join(err, p.Stop())
		}
	}
	return err
}
