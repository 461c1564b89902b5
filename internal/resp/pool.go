package resp

// Pool is memory that the Readers of many clients share which one goroutine
// serves: most of the clients rest, and hold none meanwhile. It is not safe for
// concurrent use; the zero Pool is empty.
type Pool struct {
	chunks [][]byte
	slabs  [][][]byte
}

// poolMax is how many pieces of each kind a Pool keeps: 4 MiB of chunks.
const poolMax = 256

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
		for _, chunk := range append(r.spare, r.buf) {
			if len(chunk) == chunkLen && len(r.pool.chunks) < poolMax {
				poison(chunk)
				r.pool.chunks = append(r.pool.chunks, chunk)
			}
		}
		if cap(r.slab) == slabLenMin && len(r.pool.slabs) < poolMax {
			r.pool.slabs = append(r.pool.slabs, r.slab[:0])
		}
	}
	r.buf, r.spare, r.slab, r.used = nil, nil, nil, nil
	r.pos, r.end, r.first, r.usedFirst = 0, 0, 0, 0
}

func (p *Pool) chunk() []byte {
	if p == nil || len(p.chunks) == 0 {
		return make([]byte, chunkLen)
	}
	last := len(p.chunks) - 1
	chunk := p.chunks[last]
	p.chunks[last], p.chunks = nil, p.chunks[:last]
	return chunk
}

// slab returns one for size arguments, with room for more.
func (p *Pool) slab(size int) [][]byte {
	if p == nil || size != slabLenMin || len(p.slabs) == 0 {
		return make([][]byte, 0, size)
	}
	last := len(p.slabs) - 1
	slab := p.slabs[last]
	p.slabs[last], p.slabs = nil, p.slabs[:last]
	return slab
}
