package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"tutti/internal/node"
)

// The demo's cluster and patience.
const (
	demoReadyTimeout = 20 * time.Second
	incrPerNode      = 200
	incrKey          = "one-system:counter"
	// demoRoomMin is what the nodes take on the disk, 5.0 GiB at most in a whole demo,
	// logs that are kept for reuse and ballast above all, and the room below which a
	// node refuses writes.
	demoRoomMin = 6 << 30
)

type demoOptions struct {
	input  string
	json   bool
	keep   bool
	claims []string
}

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a cluster, break it in every way, and check that nothing was lost",
		Long: `Makes a cluster of three nodes with init and join, as processes of this machine
whose links run through a switch, one of them with a clock that is an hour ahead;
its clients speak TLS and log in. While a ledger writes without pause it loads
real files, kills nodes, cuts them off, has them count together, passes messages,
lets machines join and leave, and checks every acknowledgement. Exit code 0: every
claim held. Leaves nothing behind.`,
		Example: "  tutti demo\n  tutti demo --input ~/Documents --keep\n  tutti demo --claims network,clock --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			if err := o.check(); err != nil {
				return err
			}
			// The signal would end this process before it has tidied up, and comes of
			// every connection that breaks as well.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
			return demo(ctx, o, newView(o.json, stop))
		},
	}
	c.Flags().StringVar(&o.input, "input", "", fmt.Sprintf("folder of files to load: those up to %d MiB, until %d MiB or %d files (default: the sources of the Go toolchain)",
		inputFileSizeMax>>20, inputSizeMax>>20, inputFilesMax))
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON line a claim; the lines for people go to stderr")
	c.Flags().BoolVar(&o.keep, "keep", false, "leave the cluster running")
	c.Flags().StringSliceVar(&o.claims, "claims", nil, "try only these: "+strings.Join(claimNames[:], ", "))
	return c
}

// claimNames are the claims, in the order in which they are tried.
var claimNames = [...]string{"one-system", "failure", "network", "clock", "computation", "messages", "grow-shrink"}

// check refuses claims that there are not.
func (o *demoOptions) check() error {
	for _, name := range o.claims {
		if !slices.Contains(claimNames[:], name) {
			return usageError(fmt.Sprintf("--claims %s: the claims are %s", name, strings.Join(claimNames[:], ", ")), "tutti demo")
		}
	}
	return nil
}

// demoRun is one run of the demo.
type demoRun struct {
	fleet
	view   *view
	ledger *ledger
	total  findings // of all ledgers so far
	root   string   // of the input
	files  []fileReceipt
	began  time.Time
	keep   bool // the receipts are kept even if all held
}

// allClaim is the last record.
type allClaim struct {
	Claim    string  `json:"claim"`
	Held     bool    `json:"held"`
	Acked    int     `json:"acked"`
	Lost     int     `json:"lost"`
	Doubled  int     `json:"doubled"`
	Unknown  int     `json:"unknown"`
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
	if err := demoRoom(os.TempDir()); err != nil {
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
	held, err := d.run(ctx, dir, o.claims)
	return d.finish(ctx, o, dir, held, err)
}

// demoRoom refuses a disk that the nodes would find full before the demo has ended:
// they would refuse writes, or not even start.
func demoRoom(dir string) error {
	usage, err := vfs.Default.GetDiskUsage(dir)
	if err != nil || usage.AvailBytes >= demoRoomMin {
		return nil // a folder that is not there is named when one is made in it
	}
	return &exitError{code: exitFailed, what: fmt.Sprintf("the disk of %s has %s left, and the demo takes up to %s", dir, mebibytes(int64(usage.AvailBytes)), mebibytes(demoRoomMin)),
		safe: safeNothingStarted, do: "make room, or set TMPDIR to a folder on a larger disk"}
}

// run starts the cluster and tries each claim. An error means that a claim
// could not even be tried.
func (d *demoRun) run(ctx context.Context, dir string, only []string) (held bool, err error) {
	if err := d.start(ctx, dir); err != nil {
		return false, err
	}
	d.ledger = startLedger(d.nodes)
	defer func() { d.ledger.stop() }()
	d.view.line("   All clients speak TLS, trust the authority that init made, and log in as its user.")
	d.view.line("   A ledger now writes through random nodes without pause and keeps every receipt.")
	claims := [...]func(context.Context) (bool, error){d.oneSystem, d.failure, d.network, d.clock, d.computation, d.messages, d.growShrink}
	held = true
	for i, claim := range claims {
		if len(only) > 0 && !slices.Contains(only, claimNames[i]) {
			continue
		}
		ok, err := claim(ctx)
		if err != nil {
			return false, fmt.Errorf("%s: %w", claimNames[i], err)
		}
		if err := d.cluster.died(); err != nil {
			return false, err
		}
		held = held && ok
	}
	f, err := d.settle(ctx)
	return held && f.held(), err
}

func (d *demoRun) start(ctx context.Context, dir string) error {
	began := time.Now()
	members, held, err := machineMembers()
	if err != nil {
		return err
	}
	d.held = held
	d.cluster = newLocalCluster(dir, "info", members)
	if err := d.wire(); err != nil {
		return err
	}
	if err := d.found(ctx); err != nil {
		return err
	}
	for i := range demoNodes {
		d.nodes = append(d.nodes, d.cluster.at(i))
	}
	for i := 1; i < demoNodes; i++ {
		if err := d.join(ctx, i, "node"); err != nil {
			return err
		}
	}
	if _, err := d.placed(ctx, demoNodes, 0, 0, 1, 2); err != nil {
		return err
	}
	var nodes []string
	for _, m := range members[:demoNodes] {
		nodes = append(nodes, fmt.Sprintf("%s %s", m.Name, m.Client))
	}
	d.view.line("   %s   made by init and join in %.1f s", strings.Join(nodes, "   "), time.Since(began).Seconds())
	return nil
}

// finish stops the cluster, or leaves it to the user, says whether all held and
// keeps the evidence if not.
func (d *demoRun) finish(ctx context.Context, o demoOptions, dir string, held bool, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err() // what failed, failed because of it
	}
	for i := range d.held {
		d.release(i)
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
	if d.net != nil {
		d.net.Close()
	}
	record := allClaim{Claim: "all", Held: held && err == nil, Seconds: seconds(time.Since(d.began)),
		Acked: d.total.acked, Lost: len(d.total.lost), Doubled: len(d.total.doubled), Unknown: d.total.unknown}
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
	d.view.line("\nAll claims held: %s acknowledged writes, %d lost, %d doubled. %.0f s", grouped(record.Acked), record.Lost, record.Doubled, time.Since(d.began).Seconds())
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

// detach starts the nodes again as processes that outlive this one, and reach
// each other directly. Until now they would have died with it.
func (d *fleet) detach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoReadyTimeout)
	defer cancel()
	d.cluster.flags = nil
	for i, p := range d.cluster.procs {
		if p == nil || d.removed[i] {
			continue
		}
		if err := p.stop(); err != nil {
			return fmt.Errorf("stop %s: %w", d.cluster.members[i].Name, err)
		}
		if err := d.cluster.start(i, detachedAttr()); err != nil {
			return err
		}
		if _, err := d.cluster.await(ctx, i, led); err != nil {
			return err
		}
	}
	return nil
}

// farewell says how to talk to the cluster that was kept, and how to stop it.
func (d *demoRun) farewell() {
	self, at := ownName(), d.nodes[0]
	var pids []string
	for i, p := range d.cluster.procs {
		if p != nil && !d.removed[i] {
			pids = append(pids, fmt.Sprint(p.pid()))
		}
	}
	d.view.line("The cluster goes on:")
	d.view.line("   first  export TUTTI_ADDR=%s TUTTI_CACERT=%s TUTTI_SECRET=%s", at.addr, at.ca, at.secret)
	d.view.line("   look   %s status", self)
	d.view.line("   talk   %s cli   or   redis-cli -p %s --tls --cacert $TUTTI_CACERT --user admin --pass $(cut -d' ' -f2 $TUTTI_SECRET)", self, port(at.addr))
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

// conclude ends a claim: its record is written, and evidence kept if it did not hold.
func conclude(d *demoRun, held bool, evidence string, problems []string, record any) (bool, error) {
	if !held {
		if err := d.writeEvidence(evidence, problems); err != nil {
			return false, err
		}
	}
	return held, d.view.claim(record)
}

// writeEvidence keeps what a claim was judged by.
func (d *demoRun) writeEvidence(name string, lines []string) error {
	folder := filepath.Join(d.cluster.dir, "evidence")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

var errNoAck = errors.New("no write was acknowledged")
