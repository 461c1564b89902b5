package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/resp"
	"tutti/internal/router"
	"tutti/internal/trust"
)

// certs is what the node proves with who it is, and keeps new: it asks meta for
// other certificates when its own have lived for half of their time, and when the
// authorities have changed that nodes trust. Neither needs a certificate that is
// still good: nodes go by the map and by the key, so a cluster that was switched off
// for long starts, and renews then.
type certs struct {
	*trust.Holder
	clients *tls.Config // what clients speak; nil: plain RESP

	cfg    Config
	self   Self
	maps   *cluster.Holder
	router *router.Router
	part   float64 // where between 50 and 60 % of their life certificates are renewed

	mu      sync.Mutex    // guards what follows
	has     uint64        // generation of the authorities that meta was told of
	forced  bool          // somebody wants it now
	renewed chan struct{} // closed, and made anew, when the node has new ones
	why     error         // why it has not, the last time

	wake    chan struct{} // capacity 1: a signal
	quit    chan struct{}
	done    chan struct{}
	running bool // run was called
}

const (
	// certRetryMin and certRetryMax are the pauses after a try that failed.
	certRetryMin = time.Second
	certRetryMax = time.Minute
	// certLookMax is how long the node trusts its timer: the wall clock, by which
	// clients judge certificates, may jump.
	certLookMax = time.Hour
)

func newCerts(cfg Config, self Self, maps *cluster.Holder) *certs {
	return &certs{cfg: cfg, self: self, maps: maps, part: float64(cfg.Rand(1000)) / 1000,
		renewed: make(chan struct{}), wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// ErrMixed says that a folder has parts of two nodes, or of two clusters.
var ErrMixed = errors.New("this folder is put together from two nodes")

// load reads the identity of the node.
func (k *certs) load() error {
	dir := k.cfg.Dir
	id, err := trust.Load(k.cfg.FS, dir)
	if err != nil {
		return err
	}
	if id.NodeID != k.self.Node || id.Cluster != k.self.Cluster {
		return fmt.Errorf("%s: %w: the certificate is that of %s, and %s is of node %d of %s", dir, ErrMixed, id, selfFile, k.self.Node, k.self.Cluster)
	}
	k.Holder = trust.NewHolder(id)
	k.clients, err = k.self.serviceConfig(k.Holder, k.cfg.Logger)
	return err
}

// run begins to keep the certificates, once the router has started.
func (k *certs) run(r *router.Router) {
	k.router, k.running = r, true
	go k.keep()
}

func (k *certs) close() {
	close(k.quit)
	if k.running {
		<-k.done
	}
}

// signal has the keeper look: the map may have changed.
func (k *certs) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *certs) keep() {
	defer close(k.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := certRetryMin
	for {
		select {
		case <-k.quit:
			return
		case <-k.wake:
		case <-timer.C:
		}
		left := k.left()
		if left <= 0 {
			err := k.renew()
			k.tell(err)
			// A clock that is far from the cluster's finds new ones old at once.
			if left = k.left(); err == nil && left > 0 {
				pause = certRetryMin
			} else {
				left, pause = pause, min(2*pause, certRetryMax)
			}
			if err != nil {
				k.cfg.Logger.Info("certificates are not renewed yet", slog.Any("error", err))
			}
		}
		timer.Reset(min(left, certLookMax))
	}
}

// left is how long the certificates may stay as they are.
func (k *certs) left() time.Duration {
	k.mu.Lock()
	now := k.forced || k.has < k.maps.Map().Trust
	k.mu.Unlock()
	id := k.Identity()
	if now || !id.Serves(k.self.hosts()) {
		return 0
	}
	return id.Renewable(k.part).Sub(time.UnixMilli(k.cfg.Clock.Wall()))
}

// renew gets new certificates, keeps them, uses them, and tells meta.
func (k *certs) renew() error {
	old := k.Identity()
	request, err := old.Renewal(rand.Reader)
	if err != nil {
		return err
	}
	args := append(words("TUTTI.CERT", "SIGN", number(k.self.Node)), request.Bytes())
	v, err := k.ask(append(args, words(k.self.hosts()...)...))
	if err != nil {
		return err
	}
	if len(v.Elems) != 4 {
		return fmt.Errorf("an answer of %d parts", len(v.Elems))
	}
	next, err := request.Identity(v.Elems[1].Str, v.Elems[2].Str)
	if err == nil {
		next, err = next.WithService(v.Elems[3].Str)
	}
	if err != nil {
		return err
	}
	if err := next.Save(k.cfg.FS, k.cfg.Dir); err != nil {
		return err
	}
	k.Replace(next)
	// Only now: others may rely on what was confirmed.
	generation := uint64(v.Elems[0].Int)
	if _, err := k.ask(words("TUTTI.CERT", "CONFIRM", number(k.self.Node), fmt.Sprint(generation), fmt.Sprint(next.Expires().UnixMilli()))); err != nil {
		return err
	}
	k.mu.Lock()
	k.has, k.forced = generation, false
	k.mu.Unlock()
	k.cfg.Logger.Info("certificates renewed", slog.Time("expires", next.Expires()), slog.Uint64("generation", generation))
	return nil
}

func (k *certs) ask(args [][]byte) (resp.Value, error) {
	v, err := askMeta(k.router, args, k.quit)
	if err == nil && v.IsError() {
		err = errors.New(string(v.Str))
	}
	return v, err
}

// tell ends the wait of those who want new certificates.
func (k *certs) tell(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.why = err
	close(k.renewed)
	k.renewed = make(chan struct{})
}

// now renews the certificates, and returns when the node uses the new ones.
func (k *certs) now(ctx context.Context) error {
	k.mu.Lock()
	k.forced = true
	renewed := k.renewed
	k.mu.Unlock()
	k.signal()
	select {
	case <-renewed:
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.forced {
		return nil
	}
	return k.why
}
