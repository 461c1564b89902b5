package resp

import (
	"bytes"
	"errors"
	"io"
	"math"
)

// Defaults of Limits, and the sizes a Reader works with.
const (
	argsDefaultMax       = 1 << 20
	bulkLenDefaultMax    = 512 << 20
	inlineLenDefaultMax  = 64 << 10
	commandLenDefaultMax = 1 << 30

	chunkLen       = 16 << 10     // one read buffer
	chunkFirstLen  = 1 << 10      // the first one of a Reader that has memory of its own: many get little
	chunkSmallLen  = 4 << 10      // the first one of a Reader that draws from a Pool, if what came the last time fits
	bulkInChunkMax = chunkLen / 2 // longer bulks get memory of their own
	bulkStepMin    = 64 << 10     // first piece of such a bulk, then it doubles
	readLenMin     = 512          // never call Read with less room, unless less is missing
	spareChunksMax = 3            // kept for reuse by one Reader
	slabLenMin     = 64           // headers of arguments, in slices
	slabFirstLen   = 8            // of the first slab, likewise
	slabLenMax     = 1 << 10      // a longer slab is not kept after Release
	emptyReadsMax  = 100          // reads of nothing before io.ErrNoProgress
)

// Limits bounds what one client may send. The zero value of a field stands for
// its default.
type Limits struct {
	ArgsMax       int   // arguments of one command, the name included; default 1<<20
	BulkLenMax    int64 // bytes of one argument; default 512<<20
	InlineLenMax  int   // bytes of one inline command or length line; default 64<<10
	CommandLenMax int64 // bytes of all arguments of one command; default 1<<30

	// Unauthenticated says that ArgsMax and BulkLenMax are the narrow limits
	// of a client that has not logged in, and changes the texts of the errors
	// accordingly.
	Unauthenticated bool
}

// withDefaults returns l with every unset field filled in.
func (l Limits) withDefaults() Limits {
	if l.ArgsMax <= 0 {
		l.ArgsMax = argsDefaultMax
	}
	if l.BulkLenMax <= 0 {
		l.BulkLenMax = bulkLenDefaultMax
	}
	if l.InlineLenMax <= 0 {
		l.InlineLenMax = inlineLenDefaultMax
	}
	if l.CommandLenMax <= 0 {
		l.CommandLenMax = commandLenDefaultMax
	}
	return l
}

// ProtocolError says that the bytes received are not RESP. Where the next
// command begins is then unknown, so the server answers it and closes.
type ProtocolError struct {
	Text string // what was wrong, without the prefix that Error adds
}

// Error returns "Protocol error: " and the text.
func (e *ProtocolError) Error() string { return "Protocol error: " + e.Text }

// Reader cuts commands out of a stream of bytes.
//
// The naive way is one buffer: read, cut, answer, overwrite. But a server that
// hands a whole pipeline to a replicated log needs the arguments of all its
// commands at once, and copying each of them is what would cost most. So the
// Reader reads into chunks and returns slices of them; a chunk that holds an
// argument is left alone until Release, and a new one takes its place when it
// is full. Long arguments get memory of their own, which grows with the bytes
// that arrive and never by the length the client promises.
//
// Cutting can stop at any byte: the arguments already cut of a command wait,
// and no byte is looked at twice.
//
// A Reader is used by one goroutine at a time.
type Reader struct {
	src io.Reader
	lim Limits

	buf  []byte // the chunk being filled, nil before the first read
	pos  int    // Invariant: 0 <= pos <= end <= len(buf)
	end  int    // bytes between pos and end have arrived and are not cut yet
	scan int    // bytes from pos on known to hold no line end; Invariant: <= end-pos
	lent bool   // an argument points into buf

	argsLeft int    // arguments still missing in the command being cut, 0 between commands
	bulkLen  int    // length of the next argument, -1 while its length line is missing
	big      []byte // what arrived of the next argument, if it has memory of its own
	cutLen   int64  // bytes of the arguments already cut of the command being cut

	slab  [][]byte // arguments of the commands returned, then those of the one being cut
	first int      // where the latter begin; Invariant: 0 <= first <= len(slab)

	used      [][]byte // full chunks that arguments point into, oldest first
	usedFirst int      // used[usedFirst:] may hold arguments of the command being cut
	spare     [][]byte // chunks to use again; Invariant: len <= spareChunksMax
	pool      *Pool    // where memory comes from; nil: it is its own
	load      load     // what the first chunk after a Rest is chosen by

	failed  *ProtocolError // the stream is lost
	readErr error          // came together with bytes, to be returned after them
}

// load is how much a Reader is sent between two times at rest.
type load struct {
	filled int  // bytes that were read into chunks since the last Rest
	wide   bool // those before it were more than a small chunk has
}

// NewReader returns a Reader of the commands in src.
func NewReader(src io.Reader, lim Limits) *Reader {
	return &Reader{src: src, lim: lim.withDefaults(), bulkLen: -1}
}

// SetLimits changes the limits for everything that is not cut yet. A server
// that lifts them after a login must do so before it cuts the next command:
// what follows AUTH in the same pipeline is judged by the limits then in force,
// and a refusal is final.
func (r *Reader) SetLimits(lim Limits) { r.lim = lim.withDefaults() }

// ReadCommand returns the next command, whose first argument is its name, and
// waits for it as long as src does. Empty commands are skipped, so there is at
// least one argument; it may have no bytes.
//
// The arguments stay valid until Release and must not be modified or kept
// longer. Not calling Release keeps everything that was ever read.
//
// The error is a *ProtocolError, which is final; io.EOF if src ends between two
// commands; io.ErrUnexpectedEOF if it ends inside one; or the error of src,
// such as a deadline, after which ReadCommand may be called again and goes on
// where it stopped.
func (r *Reader) ReadCommand() ([][]byte, error) {
	for {
		args, ok, err := r.cut()
		if ok || err != nil {
			return args, err
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && r.Partial() {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// NextBuffered returns the next command if it has arrived as a whole, by the
// rules of ReadCommand, and reports whether there was one. It never reads.
func (r *Reader) NextBuffered() ([][]byte, bool, error) { return r.cut() }

// Buffered returns how many bytes are held of commands not yet returned.
func (r *Reader) Buffered() int {
	return r.end - r.pos + len(r.big) + int(r.cutLen)
}

// Partial reports whether something of a command has arrived that was not
// returned yet. After NextBuffered reported false, or inside a call of Read by
// ReadCommand, that is a command whose end is still missing: the time the
// client has to send it is running.
func (r *Reader) Partial() bool {
	return r.argsLeft > 0 || r.pos < r.end
}

// Release gives back the arguments of all commands returned so far. Their
// memory is used again, so nothing may refer to it any more. What has arrived
// of the next command is kept.
func (r *Reader) Release() {
	building := len(r.slab) > r.first
	keep := len(r.used)
	if building {
		keep = r.usedFirst
	}
	for _, chunk := range r.used[:keep] {
		r.recycle(chunk)
	}
	n := copy(r.used, r.used[keep:])
	clear(r.used[n:])
	r.used, r.usedFirst = r.used[:n], 0

	// Clearing matters: a header left behind would keep a long argument alive.
	n = copy(r.slab, r.slab[r.first:])
	clear(r.slab[n:])
	r.slab, r.first = r.slab[:n], 0
	if building {
		return
	}
	if cap(r.slab) > slabLenMax {
		r.slab = nil
	}
	poison(r.buf[:r.pos])
	r.lent = false
	// Bytes still waiting are not moved to the front here: a server that
	// releases after each command of a long pipeline would move them each time.
	if r.pos == r.end {
		r.pos, r.end = 0, 0
		if len(r.buf) > chunkLen {
			r.buf = nil
		}
	}
}

// Abandon is Release for when something may still refer to the arguments, as
// after a command whose outcome is unknown: their memory is left to the garbage
// collector instead of being used again.
func (r *Reader) Abandon() {
	building := r.slab[r.first:]
	r.slab = make([][]byte, len(building), max(len(building), 16))
	for i, arg := range building {
		r.slab[i] = append([]byte{}, arg...)
	}
	r.first = 0
	r.used, r.usedFirst = nil, 0
	tail := r.buf[r.pos:r.end]
	r.buf = r.newChunk(len(tail))
	r.pos, r.end, r.lent = 0, copy(r.buf, tail), false
}

// cut returns the next command if all of it has arrived.
func (r *Reader) cut() ([][]byte, bool, error) {
	if r.failed != nil {
		return nil, false, r.failed
	}
	for {
		if r.argsLeft > 0 {
			if ok, err := r.cutArgs(); !ok {
				return nil, false, err
			}
			return r.take(), true, nil
		}
		if r.pos == r.end {
			return nil, false, nil
		}
		if ok, err := r.cutStart(); !ok {
			return nil, false, err
		}
		if len(r.slab) > r.first && r.argsLeft == 0 {
			return r.take(), true, nil
		}
	}
}

// cutStart cuts the first line of a command in either form.
func (r *Reader) cutStart() (bool, error) {
	if r.buf[r.pos] == '*' {
		return r.cutCount()
	}
	return r.cutInline()
}

// cutCount cuts the line that begins a command. It leaves argsLeft at 0 if the
// command is an empty one.
func (r *Reader) cutCount() (bool, error) {
	line, ok, err := r.cutLine("too big mbulk count string")
	if !ok {
		return false, err
	}
	n, valid := ParseInt(line[1:])
	switch {
	case !valid || n > math.MaxInt32:
		return false, r.fail("invalid multibulk length")
	case n > int64(r.lim.ArgsMax) && r.lim.Unauthenticated:
		return false, r.fail("unauthenticated multibulk length")
	case n > int64(r.lim.ArgsMax):
		return false, r.fail("invalid multibulk length")
	case n <= 0:
		return true, nil
	}
	r.argsLeft, r.usedFirst = int(n), len(r.used)
	r.reserve(r.argsLeft)
	return true, nil
}

// cutArgs cuts the arguments that have arrived and reports whether none is
// missing.
func (r *Reader) cutArgs() (bool, error) {
	for ; r.argsLeft > 0; r.argsLeft-- {
		if r.bulkLen < 0 {
			if ok, err := r.cutBulkLen(); !ok {
				return false, err
			}
		}
		if ok, err := r.cutBulk(); !ok {
			return false, err
		}
		r.bulkLen = -1
	}
	return true, nil
}

// cutBulkLen cuts the length line of the next argument.
func (r *Reader) cutBulkLen() (bool, error) {
	if r.pos == r.end {
		return false, nil
	}
	kind := r.buf[r.pos]
	line, ok, err := r.cutLine("too big bulk count string")
	if !ok {
		return false, err
	}
	if kind != '$' {
		return false, r.fail("expected '$', got '" + string([]byte{kind}) + "'")
	}
	n, valid := ParseInt(line[1:])
	switch {
	case !valid || n < 0 || n > max(r.lim.BulkLenMax, bulkLenDefaultMax):
		return false, r.fail("invalid bulk length")
	case n > r.lim.BulkLenMax && r.lim.Unauthenticated:
		return false, r.fail("unauthenticated bulk length")
	case n > r.lim.BulkLenMax:
		return false, r.fail("invalid bulk length")
	case n > r.lim.CommandLenMax-r.cutLen:
		return false, r.fail("too big command")
	}
	r.bulkLen = int(n)
	return true, nil
}

// cutBulk cuts the bytes of the next argument. Unlike Redis it looks at the two
// bytes behind them: a client whose count is off would otherwise have its data
// taken for commands.
func (r *Reader) cutBulk() (bool, error) {
	need := r.bulkLen + 2
	var bulk []byte
	switch {
	case r.big != nil && len(r.big) < need:
		return false, nil
	case r.big != nil:
		bulk, r.big = r.big, nil
	case r.end-r.pos >= need:
		bulk = r.buf[r.pos : r.pos+need]
		r.pos += need
		r.lent = true
	default:
		if need > bulkInChunkMax && need > len(r.buf)-r.pos {
			r.startBig(need)
		}
		return false, nil
	}
	if bulk[need-2] != '\r' || bulk[need-1] != '\n' {
		return false, r.fail("expected CRLF after bulk")
	}
	r.addArg(bulk[:r.bulkLen:r.bulkLen])
	return true, nil
}

// cutLine cuts a line that ends in CR LF and has at most InlineLenMax bytes,
// and returns it without its end. A CR that no LF follows is left in the line,
// which is no number then. The first byte of the line must have arrived.
func (r *Reader) cutLine(tooLong string) ([]byte, bool, error) {
	tail := r.buf[r.pos:r.end]
	window := tail[:min(len(tail), r.lim.InlineLenMax+1)]
	i := bytes.IndexByte(window[r.scan:], '\r')
	if i < 0 {
		r.scan = len(window)
		if len(tail) > r.lim.InlineLenMax {
			return nil, false, r.fail(tooLong)
		}
		return nil, false, nil
	}
	i += r.scan
	if i+1 == len(tail) {
		r.scan = i
		return nil, false, nil
	}
	r.pos, r.scan = r.pos+i+2, 0
	if tail[i+1] != '\n' || i == 0 {
		return tail[:i+1], true, nil
	}
	return tail[:i], true, nil
}

// take returns the arguments of the command just completed.
func (r *Reader) take() [][]byte {
	args := r.slab[r.first:len(r.slab):len(r.slab)]
	r.first, r.cutLen = len(r.slab), 0
	return args
}

// fail makes text the answer to this and every later call.
func (r *Reader) fail(text string) error {
	r.failed = &ProtocolError{Text: text}
	return r.failed
}
