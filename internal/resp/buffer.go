package resp

import "io"

// fill reads once, to where the bytes are needed.
func (r *Reader) fill() error {
	if r.readErr != nil {
		err := r.readErr
		r.readErr = nil
		return err
	}
	if r.big != nil {
		r.growBig()
		n, err := r.read(r.big[len(r.big):cap(r.big)])
		r.big = r.big[:len(r.big)+n]
		return err
	}
	r.makeRoom()
	n, err := r.read(r.buf[r.end:])
	r.end += n
	r.load.filled += n
	return err
}

// read returns at least one byte or an error. An error that comes with bytes is
// kept for later, so that the commands before it are answered.
func (r *Reader) read(p []byte) (int, error) {
	for range emptyReadsMax {
		n, err := r.src.Read(p)
		if n > 0 {
			r.readErr = err
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// makeRoom makes the free end of buf long enough for what is missing: it moves
// the bytes not cut yet to the front of the chunk if no argument is in the way,
// otherwise to another chunk.
func (r *Reader) makeRoom() {
	tail := r.buf[r.pos:r.end]
	want := readLenMin
	if r.bulkLen >= 0 {
		want = r.bulkLen + 2 - len(tail)
	}
	if len(r.buf)-r.end >= want {
		return
	}
	if !r.lent && len(tail) <= len(r.buf)/2 && len(tail)+want <= len(r.buf) {
		copy(r.buf, tail)
		r.pos, r.end = 0, len(tail)
		return
	}
	next := r.newChunk(len(tail) + want)
	copy(next, tail)
	if r.lent {
		r.used = append(r.used, r.buf)
	} else {
		r.recycle(r.buf)
	}
	r.buf, r.pos, r.end, r.lent = next, 0, len(tail), false
}

// newChunk returns a chunk for need bytes and more. Only a line may need an
// uncommon one, so twice InlineLenMax is the most it can have.
func (r *Reader) newChunk(need int) []byte {
	if need > chunkLen/2+readLenMin {
		return make([]byte, 2*need)
	}
	if n := len(r.spare); n > 0 {
		chunk := r.spare[n-1]
		r.spare[n-1], r.spare = nil, r.spare[:n-1]
		return chunk
	}
	switch {
	case r.buf == nil && r.pool == nil && need <= chunkFirstLen:
		return make([]byte, chunkFirstLen)
	case r.buf == nil && r.pool != nil && !r.load.wide && need <= chunkSmallLen:
		return r.pool.smallChunk()
	}
	return r.pool.chunk()
}

// recycle takes back a chunk that nothing points into.
func (r *Reader) recycle(chunk []byte) {
	poison(chunk)
	switch {
	case len(chunk) == chunkLen && len(r.spare) < spareChunksMax:
		r.spare = append(r.spare, chunk)
	case len(chunk) == chunkSmallLen && r.pool != nil:
		r.pool.keep(chunk)
	}
}

// startBig gives the next argument memory of its own and moves there what has
// arrived of it, which is less than need.
func (r *Reader) startBig(need int) {
	tail := r.buf[r.pos:r.end]
	r.big = make([]byte, len(tail), max(len(tail)+1, min(need, bulkStepMin)))
	copy(r.big, tail)
	r.pos = r.end
}

// growBig doubles the memory of the next argument if it is full. Doubling means
// that a client has to send half of what it makes us allocate.
func (r *Reader) growBig() {
	if len(r.big) < cap(r.big) {
		return
	}
	grown := make([]byte, len(r.big), min(2*cap(r.big), r.bulkLen+2))
	copy(grown, r.big)
	r.big = grown
}

// addArg appends an argument to the command being cut.
func (r *Reader) addArg(arg []byte) {
	r.reserve(1)
	r.slab = append(r.slab, arg)
	r.cutLen += int64(len(arg))
}

// reserve makes room for n more arguments, or for as many of them as we are
// ready to believe in before they arrive.
func (r *Reader) reserve(n int) {
	n = min(n, slabLenMax)
	if cap(r.slab)-len(r.slab) >= n {
		return
	}
	// Commands returned earlier keep the old slab, so only the arguments of the
	// one being cut move.
	building := r.slab[r.first:]
	least := slabLenMin
	if cap(r.slab) == 0 && r.pool == nil {
		least = slabFirstLen
	}
	size := max(least, min(2*cap(r.slab), slabLenMax), 2*len(building), len(building)+n)
	r.slab, r.first = append(r.pool.slab(size), building...), 0
}
