package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Dev is a cluster of three nodes that tutti dev runs, which starts those again that end.
type Dev struct {
	Addrs []string // for clients, by node

	binary string
	proc   *Process
}

// devTimeout is how long the nodes may take until they serve, and until they do so again.
const devTimeout = 60 * time.Second

const devNodes = 3

// StartDev starts a cluster whose data is in a folder, and waits until it serves.
func StartDev(ctx context.Context, binary, dir string) (*Dev, error) {
	first, err := FreeRow()
	if err != nil {
		return nil, err
	}
	d := &Dev{binary: binary}
	host, text, err := net.SplitHostPort(first)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	for i := range devNodes {
		d.Addrs = append(d.Addrs, net.JoinHostPort(host, strconv.Itoa(port+i)))
	}
	if d.proc, err = Spawn(dir, "dev", nil, binary, "dev", "--dir", filepath.Join(dir, "data"), "--listen", first); err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: first, MaxRetries: -1})
	defer client.Close()
	err = Eventually(devTimeout, "tutti dev serves", func() error { return client.Do(ctx, "EXISTS", "nothing").Err() })
	if err != nil {
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// Stop stops all nodes.
func (d *Dev) Stop() error { return d.proc.Stop() }

// Nodes asks for the leader of the shard and the processes of all nodes, by their ids,
// once all are up: a second loss would leave no majority.
func (d *Dev) Nodes(ctx context.Context) (leader int, pids map[int]int, err error) {
	var s struct {
		Nodes []struct {
			ID, PID int
			Up      bool
		}
		Shards []struct{ Leader int }
	}
	err = Eventually(2*devTimeout, "all nodes are up", func() error {
		for _, addr := range d.Addrs {
			out, _ := exec.CommandContext(ctx, d.binary, "status", "--json", "--addr", addr).Output() // its exit code tells of faults
			if json.Unmarshal(out, &s) == nil && len(s.Shards) > 0 && s.Shards[0].Leader != 0 {
				break
			}
		}
		pids = make(map[int]int)
		for _, n := range s.Nodes {
			if n.Up && n.PID != 0 {
				pids[n.ID] = n.PID
			}
		}
		if len(pids) != len(d.Addrs) || len(s.Shards) == 0 || pids[s.Shards[0].Leader] == 0 {
			return fmt.Errorf("%d of %d are", len(pids), len(d.Addrs))
		}
		leader = s.Shards[0].Leader
		return nil
	})
	return leader, pids, err
}
