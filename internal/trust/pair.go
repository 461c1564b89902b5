package trust

import (
	"crypto/tls"
	"errors"
	"os"
	"sync"
	"time"
)

// Pair is a certificate that a user brings for the port of clients, and its key, as
// the files are now: who renews them need not restart the node. They are looked at
// in each handshake, which costs a hundred times as much.
type Pair struct {
	certFile, keyFile string
	// failed is told once why files that have changed can't be used; the ones
	// before are used on.
	failed func(err error)

	mu     sync.Mutex // guards what follows
	pair   *tls.Certificate
	stamps [2]stamp // of the files that were read last
}

// stamp tells whether a file has changed.
type stamp struct {
	at   time.Time
	size int64
}

// OpenPair reads the two files, see LoadPair.
func OpenPair(certFile, keyFile string, failed func(err error)) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, failed: failed}
	stamps, err := p.look()
	if err != nil {
		return nil, err
	}
	p.stamps = stamps
	p.pair, err = LoadPair(certFile, keyFile)
	return p, err
}

// Current returns the pair of the files, or the last one that was good.
func (p *Pair) Current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamps, err := p.look()
	if err != nil || stamps == p.stamps {
		return p.pair // a file that is being replaced may not be there for a moment
	}
	p.stamps = stamps
	pair, err := LoadPair(p.certFile, p.keyFile)
	if err != nil {
		p.failed(err) // of two files only one may be new yet: the other one changes too
		return p.pair
	}
	p.pair = pair
	return pair
}

// look returns what tells the files from others.
func (p *Pair) look() (stamps [2]stamp, err error) {
	for i, name := range [...]string{p.certFile, p.keyFile} {
		info, serr := os.Stat(name)
		if err = errors.Join(err, serr); serr == nil {
			stamps[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return stamps, err
}
