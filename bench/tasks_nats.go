package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsTasks is a work queue of JetStream with three copies, on three servers that fsync
// each message before it is acknowledged. A task is finished when its acknowledgement is
// acknowledged: it is as durable then as a result.
type natsTasks struct {
	procs []*process
	conns []*nats.Conn
	js    []jetstream.JetStream
	queue int // the cases have a stream each
}

// natsNode runs one server until it is told to end: the library is the server, and
// needs a process for its CPU to be told from ours.
func natsNode(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: nats-node FILE", errUsage)
	}
	o, err := server.ProcessConfigFile(args[0])
	if err != nil {
		return err
	}
	o.NoSigs = true
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	go s.Start()
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	<-end
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

const natsConfig = `server_name: n%d
listen: 127.0.0.1:%d
jetstream { store_dir: %q, sync_interval: always, max_memory_store: 256MB, max_file_store: 8GB }
cluster { name: bench, listen: 127.0.0.1:%d, routes: [%s] }
`

func startNATS(ctx context.Context, l *lab) (n *natsTasks, err error) {
	dir, err := l.clusterDir("nats")
	if err != nil {
		return nil, err
	}
	base, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	var routes, urls []string
	for i := range 3 {
		routes = append(routes, "nats://"+loopback(base+3+i))
		urls = append(urls, "nats://"+loopback(base+i))
	}
	n = &natsTasks{}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	for i := range 3 {
		nodeDir := filepath.Join(dir, "node-"+strconv.Itoa(i+1))
		if err := os.Mkdir(nodeDir, 0o755); err != nil {
			return n, err
		}
		file := filepath.Join(nodeDir, "nats.conf")
		text := fmt.Sprintf(natsConfig, i+1, base+i, filepath.Join(nodeDir, "data"), base+3+i, strings.Join(routes, ", "))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return n, err
		}
		p, err := spawn(nodeDir, "nats", l.binary["nats"], "nats-node", file)
		if err != nil {
			return n, err
		}
		n.procs = append(n.procs, p)
	}
	err = waitReady(ctx, "nats", n.procs, func() error { return n.connect(ctx, urls) })
	return n, err
}

// connect connects to all servers once they have a leader.
func (n *natsTasks) connect(ctx context.Context, urls []string) error {
	n.disconnect()
	for _, url := range urls {
		conn, err := nats.Connect(url, nats.MaxReconnects(-1))
		if err != nil {
			return err
		}
		n.conns = append(n.conns, conn)
		js, err := jetstream.New(conn)
		if err != nil {
			return err
		}
		n.js = append(n.js, js)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := n.js[0].CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "ready", Subjects: []string{"ready"}, Replicas: 3})
	return err
}

func (n *natsTasks) disconnect() {
	for _, c := range n.conns {
		c.Close()
	}
	n.conns, n.js = nil, nil
}

func (n *natsTasks) name() string { return fmt.Sprint("bench-", n.queue) }

func (n *natsTasks) work(ctx context.Context, ran func(payload []byte)) (stop func(), err error) {
	n.queue++
	stream, err := n.js[0].CreateStream(ctx, jetstream.StreamConfig{Name: n.name(), Subjects: []string{n.name()},
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: 3})
	if err != nil {
		return nil, err
	}
	if _, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: taskBacklog}); err != nil {
		return nil, err
	}
	var handlers sync.WaitGroup
	messages := make(chan jetstream.Msg)
	ctx, cancel := context.WithCancel(ctx)
	var consuming []jetstream.ConsumeContext
	stop = func() {
		for _, c := range consuming {
			c.Stop()
			<-c.Closed()
		}
		cancel()
		handlers.Wait()
	}
	for range taskHandlers {
		handlers.Go(func() {
			for {
				select {
				case m := <-messages:
					ran(m.Data())
					if err := m.DoubleAck(ctx); err != nil && !errors.Is(err, context.Canceled) {
						fmt.Println("nats: an acknowledgement failed:", err)
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for _, js := range n.js {
		c, err := js.Consumer(ctx, n.name(), "workers")
		if err == nil {
			var cc jetstream.ConsumeContext
			cc, err = c.Consume(func(m jetstream.Msg) {
				select {
				case messages <- m:
				case <-ctx.Done():
				}
			}, jetstream.PullMaxMessages(taskAhead))
			if err == nil {
				consuming = append(consuming, cc)
			}
		}
		if err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

func (n *natsTasks) add(ctx context.Context, producer int, payloads [][]byte) error {
	js := n.js[producer%len(n.js)]
	if len(payloads) == 1 {
		_, err := js.Publish(ctx, n.name(), payloads[0])
		return err
	}
	var futures []jetstream.PubAckFuture
	for _, p := range payloads {
		f, err := js.PublishAsync(n.name(), p)
		if err != nil {
			return err
		}
		futures = append(futures, f)
	}
	late := time.After(askTimeout)
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-late:
			return errors.New("no acknowledgement")
		}
	}
	return nil
}

func (n *natsTasks) cpu() (time.Duration, error) {
	var pids []int
	for _, p := range n.procs {
		pids = append(pids, p.pid())
	}
	return cpuTime(pids)
}

func (n *natsTasks) stop() {
	n.disconnect()
	for _, p := range n.procs {
		p.stop()
	}
}
