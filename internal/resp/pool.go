package resp

// Pool is memory that the Readers of many clients share which one goroutine
// serves: most of the clients rest, and hold none meanwhile. It is not safe for
// concurrent use; the zero Pool is empty.
type Pool struct {
	chunks, small [][]byte
	slabs         [][][]byte
}

const (
	// poolMax is how many chunks a Pool keeps: 4 MiB.
	poolMax = 256
	// poolSmallMax is how many small chunks and how many slabs it keeps: 4 and 1.5 MiB.
	// With 500 clients that sent a GET each, making those beyond 256 took a tenth of a
	// node's processor time.
	poolSmallMax = 1024
)

// Draw makes r take its memory from p, and give it back there when it rests. Nil,
// which is also how a Reader begins: it has memory of its own.
func (r *Reader) Draw(p *Pool) { r.pool = p }

// Rest gives back the memory of a Reader in which nothing is: whose commands are
// all released, and of the next of which nothing has arrived. Of others it gives
// back nothing.
func (r *Reader) Rest() {
	if r.lent || r.pos < r.end || r.argsLeft > 0 || len(r.slab) > 0 || len(r.used) > 0 {
		return
	}
	if r.pool != nil {
		r.pool.keep(r.buf)
		for _, chunk := range r.spare {
			r.pool.keep(chunk)
		}
		if cap(r.slab) == slabLenMin && len(r.pool.slabs) < poolSmallMax {
			r.pool.slabs = append(r.pool.slabs, r.slab[:0])
		}
	}
	r.load = load{wide: r.load.filled > chunkSmallLen}
	r.buf, r.spare, r.slab, r.used = nil, nil, nil, nil
	r.pos, r.end, r.first, r.usedFirst = 0, 0, 0, 0
}

func (p *Pool) chunk() []byte {
	if p == nil || len(p.chunks) == 0 {
		return make([]byte, chunkLen)
	}
	return pop(&p.chunks)
}

// smallChunk returns one for what most clients send at once.
func (p *Pool) smallChunk() []byte {
	if len(p.small) == 0 {
		return make([]byte, chunkSmallLen)
	}
	return pop(&p.small)
}

// keep takes back a chunk that nothing points into.
func (p *Pool) keep(chunk []byte) {
	poison(chunk)
	switch {
	case len(chunk) == chunkSmallLen && len(p.small) < poolSmallMax:
		p.small = append(p.small, chunk)
	case len(chunk) == chunkLen && len(p.chunks) < poolMax:
		p.chunks = append(p.chunks, chunk)
	}
}

// pop takes the last piece out of a list.
func pop[T any](list *[]T) (piece T) {
	last := len(*list) - 1
	piece = (*list)[last]
	clear((*list)[last:])
	*list = (*list)[:last]
	return piece
}

// slab returns one for size arguments, with room for more.
func (p *Pool) slab(size int) [][]byte {
	if p == nil || size != slabLenMin || len(p.slabs) == 0 {
		return make([][]byte, 0, size)
	}
	return pop(&p.slabs)
}
