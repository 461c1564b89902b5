package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The ports of the demo's machines are nobody else's until each is made.
func TestDemoHoldsItsPorts(t *testing.T) {
	members, held, err := machineMembers()
	if err != nil {
		t.Fatal(err)
	}
	d := &fleet{held: held}
	for i, m := range members {
		for _, addr := range []string{m.Client, m.Peer} {
			if _, err := net.Listen("tcp", addr); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("machine %d: somebody else listens on %s: %v", i, addr, err)
			}
		}
		d.release(i)
		for _, addr := range []string{m.Client, m.Peer} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatalf("machine %d can't listen on %s: %v", i, addr, err)
			}
			l.Close()
		}
	}
}

// A machine of the demo that can't be made is told of at once, by its own last word.
func TestDemoMachineThatEnds(t *testing.T) {
	dir := t.TempDir()
	members, held, err := machineMembers()
	if err != nil {
		t.Fatal(err)
	}
	d := &fleet{held: held, cluster: newLocalCluster(dir, "info", members)}
	for i := range held {
		d.release(i)
	}
	const word = "127.0.0.1:1 is in use by another process"
	for _, tt := range []struct {
		machine int
		wait    func() error
	}{
		{0, func() error { return d.findDoor(t.Context()) }},
		{demoGateway, func() error { return d.answers(t.Context(), demoGateway, joinTimeout) }},
	} {
		log := filepath.Join(dir, fmt.Sprint(tt.machine, ".log"))
		if err := os.WriteFile(log, []byte(errorPrefix+word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("false")
		_ = cmd.Run()
		p := &process{cmd: cmd, done: make(chan struct{}), logName: log}
		close(p.done)
		d.cluster.procs[tt.machine] = p
		began := time.Now()
		err := tt.wait()
		if err == nil || !strings.HasPrefix(err.Error(), machineNames[tt.machine]+" ended: "+word) || time.Since(began) > joinTimeout/2 {
			t.Errorf("machine %d: after %v %v", tt.machine, time.Since(began), err)
		}
	}
}
