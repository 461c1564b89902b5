package store

// commits is who may take Pebble's commit mutex of the state store. A commit that
// has to wait for flushes and compactions, see Usage.Stalls, holds that mutex
// meanwhile, and so do the forced flush of a new replica and the excision of an
// old one. So whoever else needs it would wait as long as the disk likes, on a
// mutex: out of sight of everything that could end the wait, and of virtual time,
// which goes on only while all wait for channels or timers.
//
// Loops share it, as each waits for its own commits only; others have it alone.
type commits struct {
	slots chan struct{} // capacity loopsMax: one for each that shares it
	alone chan struct{} // capacity 1: who takes them all
}

// loopsMax is how many may commit side by side: as many as a node has loops.
const loopsMax = 8

func newCommits() commits {
	return commits{make(chan struct{}, loopsMax), make(chan struct{}, 1)}
}

// shared runs f beside others that share, and returns what it does.
func (c commits) shared(f func() error) error {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	return f()
}

// attempt runs f beside others that share, unless it would have to wait.
func (c commits) attempt(f func()) {
	select {
	case c.slots <- struct{}{}:
		f()
		<-c.slots
	default:
	}
}

// exclusive runs f beside no other.
func (c commits) exclusive(f func() error) error {
	c.alone <- struct{}{}
	for range loopsMax {
		c.slots <- struct{}{}
	}
	defer func() {
		for range loopsMax {
			<-c.slots
		}
		<-c.alone
	}()
	return f()
}
