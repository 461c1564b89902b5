package peer

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"tutti/internal/cluster"
)

// A clone of a node is refused as long as the node is connected (see seats), and
// its operator can't see why: to him it is a node that nobody speaks to. So who
// refuses it says so on the connection that it closes:
//
//	start:8 sits:8      which start is refused, and which one is connected
//
// A node that is started again right after it died is told the same until its old
// connections are found dead, so it means something only after a while.

// Twin is a second process that goes by the name of a node.
type Twin struct {
	// Node is whose name it goes by. If it is this node, By refuses this process,
	// for it speaks to the other one; else this node refuses the one at Remote.
	Node, By    cluster.NodeID
	Remote      string
	Start, Sits uint64 // of the node: the one that is refused, and the one that is not
}

const (
	twinBytes = 16
	// twinSure is how long it is refused until it can't be a node that died and is
	// back; twinQuiet is how long it is not heard until it is gone.
	twinSure  = silenceMax + time.Second
	twinQuiet = 3 * redialMax
)

// Twins is what is known of second processes.
type Twins struct {
	cfg *Config

	mu    sync.Mutex // guards known
	known map[twinOf]*sighting
}

type twinOf struct{ node, by cluster.NodeID }

// sighting is when a second process was refused first and last.
type sighting struct {
	Twin
	first, last time.Duration
	told        bool
}

// saw notes that a process is refused.
func (s *Twins) saw(t Twin) {
	now := s.cfg.Mono()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[twinOf]*sighting)
	}
	of := twinOf{t.Node, t.By}
	had := s.known[of]
	if had == nil || now-had.last > twinQuiet {
		had = &sighting{first: now}
		s.known[of] = had
	}
	had.Twin, had.last = t, now
	if had.last-had.first >= twinSure && !had.told {
		had.told = true
		s.cfg.Logger.Error("two processes run as one node: one of them is a copy, which must be stopped and deleted",
			slog.Uint64("node", uint64(t.Node)), slog.Uint64("refused_by", uint64(t.By)), slog.String("refused_at", t.Remote),
			slog.Uint64("refused_start", t.Start), slog.Uint64("connected_start", t.Sits))
	}
}

// Now lists the second processes that go by the name of a node, as far as this node
// has to do with them.
func (s *Twins) Now() (list []Twin) {
	now := s.cfg.Mono()
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, x := range s.known {
		switch {
		case now-x.last > twinQuiet:
			delete(s.known, of)
		case x.last-x.first >= twinSure:
			list = append(list, x.Twin)
		}
	}
	slices.SortFunc(list, func(a, b Twin) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.By, b.By)) })
	return list
}

// turnAway tells who comes while another start of its node is connected, and notes
// it.
func (s *Twins) turnAway(conn net.Conn, h Hello, sits uint64) {
	t := Twin{Node: h.Node, By: s.cfg.Node, Remote: conn.RemoteAddr().String(), Start: h.Incarnation, Sits: sits}
	s.saw(t)
	// The deadline of a hello holds.
	_, _ = conn.Write(appendFrame(nil, kindTwin, t.encode))
}

func (t Twin) encode(dst []byte) []byte {
	return be.AppendUint64(be.AppendUint64(dst, t.Start), t.Sits)
}

func decodeTwin(b []byte) (t Twin, err error) {
	if len(b) != twinBytes {
		return t, fmt.Errorf("%w: a twin of %d bytes", ErrFrame, len(b))
	}
	return Twin{Start: be.Uint64(b), Sits: be.Uint64(b[8:])}, nil
}

// told takes what a peer says of another process that goes by this node's name.
// Once it can't be about this node's last start any more, Refused hears of it.
func (s *Twins) told(by cluster.NodeID, payload []byte) {
	t, err := decodeTwin(payload)
	if err != nil || t.Start != s.cfg.Incarnation {
		return
	}
	t.Node, t.By = s.cfg.Node, by
	s.saw(t)
	if s.cfg.Refused != nil && slices.Contains(s.Now(), t) {
		s.cfg.Refused(t)
	}
}
