package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A bit of a node's log flips while it is down: it is made anew from the others
// when it starts, and nobody has to do anything.
func TestDamagedNodeIsRebuilt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	c := startDev(t, dir, 3)
	const keys = 100
	k := newClients([]target{{addr: c.addr(0)}}, 20*time.Second)
	for i := range keys {
		if v, _, err := k.call(0, []string{"SET", fmt.Sprint("key:", i), strings.Repeat(fmt.Sprint(i%10), 16<<10)}); err != nil || v[0].IsError() {
			t.Fatal(v, err)
		}
	}
	k.close()
	c.stop(t)
	node := filepath.Join(dir, nodeFolder(2))
	flipLog(t, filepath.Join(node, "log"))

	c = startDev(t, dir, 3)
	eventually(t, func() error {
		s, r := c.ask(t)
		aside, _ := filepath.Glob(filepath.Join(node, "damaged-*"))
		if r.code != 0 || !strings.HasPrefix(s.Verdict, "Healthy") || len(aside) > 0 {
			return fmt.Errorf("%s %v %s", s.Verdict, aside, c.text())
		}
		return nil
	})
	log, err := os.ReadFile(filepath.Join(node, "log.txt"))
	if err != nil || !strings.Contains(string(log), "the data of this node is made anew") {
		t.Errorf("the damage was not noticed: %v\n%s", err, log)
	}
	for i := range keys {
		c.wants(t, 1, fmt.Sprintf("%q", fmt.Sprint(i%10)), "GETRANGE", fmt.Sprint("key:", i), "16383", "-1")
	}
	eventually(t, func() error {
		a, err := askStatus(c.addr(0), time.Second)
		if err != nil {
			return err
		}
		b, err := askStatus(c.addr(1), time.Second)
		if err != nil {
			return err
		}
		if a.Shards[0].Applied != b.Shards[0].Applied || a.Shards[0].Hash != b.Shards[0].Hash {
			return fmt.Errorf("node 1 has %+v, node 2 %+v", a.Shards[0], b.Shards[0])
		}
		return nil
	})
	c.stop(t)
}

// flipLog flips a bit in the middle of the largest file of a raft log.
func flipLog(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var largest string
	var data []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > len(data) {
			largest, data = name, b
		}
	}
	if len(data) < 256<<10 {
		t.Fatalf("the logs %v hold at most %d bytes", names, len(data))
	}
	data[len(data)/2] ^= 0x04
	if err := os.WriteFile(largest, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
