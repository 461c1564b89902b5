package keyspace

const (
	// expectedFull is of about how many keys a Reader is told at a time, and expectedMax of
	// how many if one command has them. What is fetched of them must stay in a cache of the
	// processor until it is asked for.
	expectedFull = 64
	expectedMax  = 256
	// expectedKey is how long a key may be that it is worth to look at twice.
	expectedKey = 256
	// expectedRest is how often a Reader is not told once that was of no use.
	expectedRest = 1000
)

// Expecter is a Reader that finds rows sooner if it is told of them before.
type Expecter interface {
	// Expect says that rows are going to be looked up soon. Whether they are does not
	// matter but for time. It reports whether that was of any use.
	Expect(rows [][]byte) (useful bool)
}

// Expected is keys that commands are going to look at.
type Expected struct {
	rows [][]byte
	buf  []byte
	rest int // how often nobody is told, as it is of no use
}

// Full reports whether there are enough keys to tell of, so that those of the next command
// can wait.
func (x *Expected) Full() bool { return len(x.rows) >= expectedFull || x.rest > 0 }

// Add adds a key, if there are not far too many.
func (x *Expected) Add(dbs *Databases, db uint8, key []byte) {
	if len(key) > expectedKey || len(x.rows) >= expectedMax || x.rest > 0 {
		return
	}
	at := len(x.buf)
	x.buf = objectRow(x.buf, Slot(key), dbs.Physical(db), key)
	x.rows = append(x.rows, x.buf[at:len(x.buf):len(x.buf)])
}

// Tell tells a Reader, if that wants to know, and forgets the keys.
func (x *Expected) Tell(r Reader) {
	if x.rest > 0 {
		x.rest--
		return
	}
	if e, ok := r.(Expecter); ok && len(x.rows) > 0 && !e.Expect(x.rows) {
		x.rest = expectedRest
	}
	clear(x.rows)
	x.rows, x.buf = x.rows[:0], x.buf[:0]
}
