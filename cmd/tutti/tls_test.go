package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/node"
)

// startTLS forms a cluster of one node, and starts it so that clients speak TLS.
func startTLS(t *testing.T) (r *running, addr, ca string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	c := startDev(t, dir, 1)
	c.stop(t)
	folder := filepath.Join(dir, nodeFolder(1))
	r = launch(t, t.TempDir(), "start", "--dir", folder, "--tls")
	return r, c.addr(0), filepath.Join(folder, "ca.pem")
}

func TestCLISpeaksTLS(t *testing.T) {
	t.Parallel()
	r, addr, ca := startTLS(t)
	eventually(t, func() error {
		if got := tutti(t, "", "cli", "--addr", addr, "--cacert", ca, "SET", "k", "v"); got.code != 0 {
			return &exitError{what: got.errors}
		}
		return nil
	})
	if got := tutti(t, "GET k\nGET k\n", "cli", "--addr", addr, "--cacert", ca); got.out != "v\nv\n" {
		t.Errorf("two commands on one connection: %q %s", got.out, got.errors)
	}
	eventually(t, func() error { // its other shard may have no leader yet
		got := tutti(t, "", "status", "--addr", addr, "--cacert", ca)
		if got.code != 0 || !strings.Contains(got.out, "node 1") {
			return &exitError{what: got.out + got.errors}
		}
		return nil
	})
	tutti(t, "", "cli", "--addr", addr, "--plain", "GET", "k").wants(t, exitFailed, "NEEDTLS this port speaks TLS")
	tutti(t, "", "status", "--addr", addr, "--plain").wants(t, exitUnreachable, "speaks TLS", "--cacert with the file ca.pem")
	tutti(t, "", "cli", "--addr", addr, "--cacert", ca+".none", "GET", "k").wants(t, exitFailed, "no such file", "--plain")
	r.signal(t, syscall.SIGTERM)
	if code := r.ends(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, r.text())
	}
}

// Whoever has set up TLS must not send a password in plain because of a wrong
// address, so a client with authorities never falls back.
func TestCLINeverFallsBackToPlain(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "d"), 1)
	ca := filepath.Join(c.dir, nodeFolder(1), "ca.pem")
	tutti(t, "", "cli", "--addr", c.addr(0), "--cacert", ca, "SET", "k", "v").wants(t, exitUnreachable, "--plain")
	_, addr, _ := startTLS(t)
	eventually(t, func() error {
		got := tutti(t, "", "cli", "--addr", addr, "--cacert", ca, "SET", "k", "v")
		if !strings.Contains(got.errors, "ca.pem of a node of this very cluster") {
			return &exitError{what: "a node of another cluster was spoken to: " + got.out + got.errors}
		}
		return nil
	})
}

// The node that init or join made on this machine is spoken to without a flag.
func TestCLIFindsTheNodeOfItsMachine(t *testing.T) {
	t.Parallel()
	_, _, ca := startTLS(t)
	eventually(t, func() error {
		cmd := exec.Command(binary(t), "cli", "SET", "k", "v")
		cmd.Env = append(os.Environ(), "TUTTI_DIR="+filepath.Dir(ca), "TUTTI_ADDR=")
		out, err := cmd.CombinedOutput()
		if err == nil && string(out) != "OK\n" {
			err = errors.New("not OK")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// Whoever can reach the address of a node could read and change everything.
func TestNodeDoesNotServeOtherMachinesUnprotected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	form := node.Formation{Cluster: "c", Small: true, Members: []node.Member{{ID: 1, Peer: "127.0.0.1:0", Client: "0.0.0.0:0"}}}
	if err := node.Form(vfs.Default, []string{dir}, form); err != nil {
		t.Fatal(err)
	}
	const safe = "nothing was changed on this machine"
	tutti(t, "", "start", "--dir", dir).wants(t, exitFailed, "0.0.0.0:0 is not a loopback address", "no TLS, start it with --tls", safe)
	tutti(t, "", "start", "--dir", dir, "--tls").wants(t, exitFailed, "0.0.0.0:0 is not a loopback address", "everybody may do everything", safe)
	tutti(t, "", "start", "--dir", dir, "--tls-key", "k").wants(t, exitFailed, "needs its key")
}

func TestCertificatesFromTheCommandLine(t *testing.T) {
	t.Parallel()
	_, addr, ca := startTLS(t)
	at := []string{"--addr", addr, "--cacert", ca}
	eventually(t, func() error {
		if got := tutti(t, "", append([]string{"cert", "ls"}, at...)...); got.code != 0 || !strings.Contains(got.out, "signing") {
			return &exitError{what: got.out + got.errors}
		}
		return nil
	})
	before, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(copied, before, 0o644); err != nil {
		t.Fatal(err)
	}
	tutti(t, "", append([]string{"cert", "renew"}, at...)...).wants(t, 0)
	r := tutti(t, "", append([]string{"cert", "rotate-ca"}, at...)...)
	r.wants(t, 0)
	if !strings.HasSuffix(r.out, "the old authority is gone; give clients the new ca.pem, and make new tokens\n") {
		t.Error(r.out)
	}
	if got := tutti(t, "", append([]string{"cli"}, append(at, "PING")...)...); got.out != "PONG\n" {
		t.Errorf("with the new ca.pem: %s%s", got.out, got.errors)
	}
	tutti(t, "", "cli", "--addr", addr, "--cacert", copied, "PING").wants(t, exitUnreachable, "ca.pem of a node of this very cluster")
}

// A rotation of which only the end is left is under way: who asks again begins no other one.
func TestPhaseOfARotation(t *testing.T) {
	two := `{"generation": 4, "authorities": [{"id": 2, "state": "signing"}`
	for _, tt := range []struct{ name, answer, text string }{
		{"two authorities", two + `, {"id": 1, "state": "retiring"}], "nodes": [{"node": 1, "generation": 4}]}`, "activate: the nodes get certificates of the new authority, 1 of 1 have"},
		{"a node is behind", two + `], "nodes": [{"node": 1, "generation": 4}, {"node": 2, "name": "bob", "generation": 3}]}`, "retire: the nodes forget the old authority, 1 of 2 have; waiting for bob"},
		{"over", two + `], "nodes": [{"node": 1, "generation": 4}, {"node": 2, "generation": 4}]}`, "retire: the nodes forget the old authority, 2 of 2 have"},
	} {
		var v certsView
		if err := json.Unmarshal([]byte(tt.answer), &v); err != nil {
			t.Fatal(err)
		}
		if text, over := v.phase(); text != tt.text || over != (tt.name == "over") {
			t.Errorf("%s: %q, over %t", tt.name, text, over)
		}
	}
}

// Who looks on has patience for what passes, as long as he hears something now and then.
func TestOnlooker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := error(&exitError{code: exitUnavailable, what: "CLUSTERDOWN"})
		p := onlooker{heard: time.Now()}
		for range 3 {
			time.Sleep(deafMax - time.Second)
			if !p.waits(down) {
				t.Fatal("it gives up early")
			}
			if p.waits(nil) {
				t.Fatal("it takes an answer for none")
			}
		}
		if p.waits(&exitError{code: exitFailed, what: "ERR"}) || p.waits(errors.New("of this machine")) {
			t.Error("it waits for what does not pass")
		}
		if time.Sleep(deafMax); p.waits(down) {
			t.Error("it waits for ever")
		}
	})
}
