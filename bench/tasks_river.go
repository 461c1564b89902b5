package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverTasks is River on one PostgreSQL that fsyncs each commit before it answers: there
// is no second copy.
type riverTasks struct {
	postgres *process
	pool     *pgxpool.Pool
	client   *river.Client[pgx.Tx] // of the case that runs
	queue    int                   // the cases have a queue each
}

// riverArgs is a task, which River keeps as JSON.
type riverArgs struct {
	Payload []byte `json:"payload"`
}

func (riverArgs) Kind() string { return "bench" }

type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	ran func(payload []byte)
}

func (w *riverWorker) Work(_ context.Context, job *river.Job[riverArgs]) error {
	w.ran(job.Args.Payload)
	return nil
}

// providePostgres finds or installs PostgreSQL's programs, which Debian keeps out of the PATH.
func (l *lab) providePostgres(ctx context.Context) error {
	find := func() string {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is well formed
		if len(found) > 0 {
			return slices.Max(found)
		}
		path, _ := exec.LookPath("postgres")
		return path
	}
	path := find()
	if path == "" {
		if err := aptInstall(ctx, "postgresql"); err != nil {
			return err
		}
		if path = find(); path == "" {
			return errors.New("the package postgresql is installed, and there is no /usr/lib/postgresql/*/bin/postgres")
		}
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", path, err)
	}
	l.binary["river"] = path
	l.versions["river"] = fmt.Sprintf("river %s on %s", linked("github.com/riverqueue/river"), bytes.TrimSpace(out))
	return nil
}

// linked returns the version of a module that is in this program.
func linked(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == module {
				return d.Version
			}
		}
	}
	return "unknown"
}

// postgresUser is whom PostgreSQL runs as: it refuses to run as root. nil: as who we are.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and the user that Debian's package makes is missing: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// postgresFolder makes an empty folder that whom PostgreSQL runs as can reach and owns.
func (l *lab) postgresFolder(as *syscall.Credential) (string, error) {
	dir, err := l.clusterDir("river")
	if err != nil || as == nil {
		return dir, err
	}
	// The folder of the run is ours alone: it may be passed through now, not listed.
	if err := os.Chmod(l.dir, 0o711); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, int(as.Uid), int(as.Gid))
}

func startRiver(ctx context.Context, l *lab) (r *riverTasks, err error) {
	as, err := postgresUser()
	if err != nil {
		return nil, err
	}
	dir, err := l.postgresFolder(as)
	if err != nil {
		return nil, err
	}
	port, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	data, binary := filepath.Join(dir, "data"), l.binary["river"]
	initdb := exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary), "initdb"),
		"--pgdata", data, "--username", "bench", "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
	initdb.Dir = "/" // as whom it runs may not enter ours
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb in %s: %w\n%s", data, err, lastLines(string(out), 5))
	}
	r = &riverTasks{}
	defer func() {
		if err != nil {
			r.stop()
		}
	}()
	r.postgres, err = spawnAs(as, dir, "postgres", binary, "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200",
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on")
	if err != nil {
		return r, err
	}
	r.pool, err = pgxpool.New(ctx, fmt.Sprintf("postgres://bench@%s/postgres?sslmode=disable&pool_max_conns=%d", loopback(port), taskProducers+taskHandlers))
	if err != nil {
		return r, err
	}
	if err := waitReady(ctx, "postgres", []*process{r.postgres}, func() error { return r.pool.Ping(ctx) }); err != nil {
		return r, err
	}
	tables, err := rivermigrate.New(riverpgxv5.New(r.pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_, err = tables.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err == nil {
		err = r.warmUp(ctx)
	}
	return r, err
}

// warmUp has as many connections opened as there are producers, and their statements
// prepared: PostgreSQL starts a process for each, which takes longer than a case warms up.
func (r *riverTasks) warmUp(ctx context.Context) error {
	c, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	errs := make(chan error, taskProducers)
	for range taskProducers {
		go func() {
			var err error
			for i := 0; i < 10 && err == nil; i++ {
				_, err = c.Insert(ctx, riverArgs{}, &river.InsertOpts{Queue: "warm-up"}) // which nobody works off
			}
			errs <- err
		}()
	}
	for range taskProducers {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (r *riverTasks) name() string { return fmt.Sprint("bench-", r.queue) }

func (r *riverTasks) work(ctx context.Context, ran func(payload []byte)) (stop func(), err error) {
	r.queue++
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker{ran: ran})
	r.client, err = river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Queues:  map[string]river.QueueConfig{r.name(): {MaxWorkers: taskHandlers}},
		Workers: workers,
		// As often as River lets itself be told: with its 100 ms nothing else would be measured.
		FetchCooldown: river.FetchCooldownMin,
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // whose end would leave tasks half done
	if err := r.client.Start(ctx); err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := r.client.Stop(ctx); err != nil {
			fmt.Println("river: the workers did not end:", err)
		}
	}, nil
}

func (r *riverTasks) add(ctx context.Context, _ int, payloads [][]byte) error {
	opts := &river.InsertOpts{Queue: r.name()}
	if len(payloads) == 1 {
		_, err := r.client.Insert(ctx, riverArgs{payloads[0]}, opts)
		return err
	}
	all := make([]river.InsertManyParams, len(payloads))
	for i, p := range payloads {
		all[i] = river.InsertManyParams{Args: riverArgs{p}, InsertOpts: opts}
	}
	_, err := r.client.InsertManyFast(ctx, all)
	return err
}

// cpu is that of a process for each connection, and of some that come and go.
func (r *riverTasks) cpu() (time.Duration, error) { return familyCPU(r.postgres.pid()) }

func (r *riverTasks) stop() {
	if r.pool != nil {
		r.pool.Close()
	}
	if r.postgres != nil {
		r.postgres.stop() // it waits for its clients, which have gone
	}
}
