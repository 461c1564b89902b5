package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/cluster"
	"tutti/internal/node"
)

// The demo's cluster and patience.
const (
	demoNodes        = 3
	demoReadyTimeout = 20 * time.Second
	incrPerNode      = 200
	incrKey          = "one-system:counter"
)

type demoOptions struct {
	input string
	json  bool
	keep  bool
}

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run three nodes, kill some, and check that nothing was lost",
		Long: `Runs three nodes as processes of this machine, loads real files through them
while a ledger writes without pause, kills the leader, and checks every
acknowledgement. Exit code 0: every claim held. Leaves nothing behind.`,
		Example: "  tutti demo\n  tutti demo --input ~/Documents --keep\n  tutti demo --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return demo(ctx, o, newView(o.json))
		},
	}
	c.Flags().StringVar(&o.input, "input", "", fmt.Sprintf("folder of files to load: those up to %d MiB, until %d MiB or %d files (default: the sources of the Go toolchain)",
		inputFileSizeMax>>20, inputSizeMax>>20, inputFilesMax))
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON line a claim; the lines for people go to stderr")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the cluster running")
	return c
}

// demoRun is one run of the demo.
type demoRun struct {
	view    *view
	cluster *localCluster
	addrs   []string
	ledger  *ledger
	root    string // of the input
	files   []fileReceipt
	began   time.Time
	keep    bool // the receipts are kept even if all held
}

// allClaim is the last record.
type allClaim struct {
	Claim    string  `json:"claim"`
	Held     bool    `json:"held"`
	Seconds  float64 `json:"seconds"`
	Problem  string  `json:"problem,omitempty"`
	Evidence string  `json:"evidence,omitempty"`
}

func demo(ctx context.Context, o demoOptions, v *view) error {
	began := time.Now()
	root, err := inputFolder(o.input)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tutti-demo-")
	if err != nil {
		return failed(err, "set TMPDIR to a folder that this user may write to")
	}
	end := "deleted at the end"
	if o.keep {
		end = "kept"
	}
	v.line("tutti %s · demo in %s (%s) · this machine has %d cores", node.Version, dir, end, runtime.NumCPU())
	d := &demoRun{view: v, root: root, began: began, keep: o.keep}
	held, err := d.run(ctx, dir)
	return d.finish(ctx, o, dir, held, err)
}

// run starts the cluster and tries each claim. An error means that a claim
// could not even be tried.
func (d *demoRun) run(ctx context.Context, dir string) (held bool, err error) {
	if err := d.start(ctx, dir); err != nil {
		return false, err
	}
	d.ledger = startLedger(d.addrs)
	defer d.ledger.stop()
	d.view.line("   A ledger now writes through random nodes without pause and keeps every receipt.")
	held = true
	for _, claim := range []func(context.Context) (bool, error){d.oneSystem, d.failure} {
		ok, err := claim(ctx)
		if err != nil {
			return false, err
		}
		if err := d.cluster.died(); err != nil {
			return false, err
		}
		held = held && ok
	}
	return held, nil
}

func (d *demoRun) start(ctx context.Context, dir string) error {
	began := time.Now()
	ports, err := freePorts(2 * demoNodes)
	if err != nil {
		return err
	}
	form := node.Formation{Cluster: "demo", Shards: 1, Small: true}
	for i := range demoNodes {
		form.Members = append(form.Members, node.Member{ID: cluster.NodeID(i + 1), Client: loopback(ports[2*i]), Peer: loopback(ports[2*i+1])})
	}
	d.cluster = newLocalCluster(dir, "info", form.Members)
	d.addrs = d.cluster.addrs()
	if err := node.Form(vfs.Default, d.cluster.dirs, form); err != nil {
		return err
	}
	if err := d.cluster.startAll(); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, demoReadyTimeout)
	defer cancel()
	if err := d.cluster.ready(ready); err != nil {
		return err
	}
	var nodes []string
	for _, m := range form.Members {
		nodes = append(nodes, fmt.Sprintf("node %d %s", m.ID, m.Client))
	}
	d.view.line("   %s   ready in %.1f s", strings.Join(nodes, "   "), time.Since(began).Seconds())
	return nil
}

// finish stops the cluster, or leaves it to the user, says whether all held and
// keeps the evidence if not.
func (d *demoRun) finish(ctx context.Context, o demoOptions, dir string, held bool, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err() // what failed, failed because of it
	}
	keep := o.keep && held && err == nil
	if keep {
		err = d.detach(ctx)
	}
	if d.cluster != nil && (!keep || err != nil) {
		if stopErr := d.cluster.stopAll(); err == nil && stopErr != nil {
			err = fmt.Errorf("stop the cluster: %w", stopErr)
		}
	}
	if ctx.Err() != nil {
		_ = os.RemoveAll(dir)
		d.view.line("interrupted; nothing is left running")
		return &exitError{code: exitInterrupted}
	}
	record := allClaim{Claim: "all", Held: held && err == nil, Seconds: seconds(time.Since(d.began))}
	if !record.Held {
		record.Evidence = dir
		if err != nil {
			record.Problem = err.Error()
		}
		return d.fail(record)
	}
	if !keep {
		if err := os.RemoveAll(dir); err != nil {
			return failed(err, "remove the folder by hand")
		}
	}
	if err := d.view.claim(record); err != nil {
		return failed(err, "")
	}
	d.view.line("\nAll claims held. %.0f s", time.Since(d.began).Seconds())
	if keep {
		d.farewell()
	}
	return nil
}

func (d *demoRun) fail(record allClaim) error {
	if err := d.view.claim(record); err != nil {
		return failed(err, "")
	}
	what := "not every claim held"
	if record.Problem != "" {
		what = record.Problem
	}
	return &exitError{code: exitFailed, what: what, safe: "nothing is left running",
		do: "look at the evidence in " + record.Evidence}
}

// detach starts the nodes again as processes that outlive this one. Until now
// they would have died with it.
func (d *demoRun) detach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoReadyTimeout)
	defer cancel()
	for i, p := range d.cluster.procs {
		if err := p.stop(); err != nil {
			return fmt.Errorf("stop node %d: %w", i+1, err)
		}
		if err := d.cluster.start(i, detachedAttr()); err != nil {
			return err
		}
		if err := d.cluster.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// farewell says how to talk to the cluster that was kept, and how to stop it.
func (d *demoRun) farewell() {
	self, addr := ownName(), d.addrs[0]
	var pids []string
	for _, p := range d.cluster.procs {
		pids = append(pids, fmt.Sprint(p.pid()))
	}
	d.view.line("The cluster goes on:")
	d.view.line("   look   %s status --addr %s", self, addr)
	d.view.line("   talk   %s cli --addr %s   or   redis-cli -p %s", self, addr, port(addr))
	// The nodes take a moment to end, and go on writing meanwhile.
	d.view.line("   stop   kill %s; until rm -rf %s; do sleep 1; done", strings.Join(pids, " "), d.cluster.dir)
}

// ownName is how this program was most likely called.
func ownName() string {
	self, err := os.Executable()
	switch {
	case err == nil && strings.Contains(self, "go-build"):
		return "go run ./cmd/tutti"
	case len(os.Args) > 0 && os.Args[0] != "":
		return os.Args[0]
	}
	return filepath.Base(self)
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// writeEvidence keeps what a claim was judged by.
func (d *demoRun) writeEvidence(name string, lines []string) error {
	folder := filepath.Join(d.cluster.dir, "evidence")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

var errNoAck = errors.New("no write was acknowledged")
