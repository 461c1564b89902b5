package keyspace

const (
	// scratchObjects is how many objects of one command are in memory that the next command
	// uses again. Most open one to three.
	scratchObjects = 8
	// scratchItems bounds what an object keeps for the elements of the next one.
	scratchItems = 256
	// scratchValues is the size of the memory for values of a reading transaction that has
	// more than one command.
	scratchValues = 4 << 10
	// heldMax is how many bytes of values a command holds before it copies what it finds, as
	// garbage that can be collected: one such as EXISTS opens thousands.
	heldMax = 1 << 20
)

// scratch is memory that the commands of a transaction use one after the other. A
// transaction of one command, as most are, makes none of it.
type scratch struct {
	buf, val []byte // a row, a value
	objects  []Object
	used     int    // objects that the command that runs has opened
	found    []byte // values that a reading transaction has found for it
	held     []Held // large ones, where they are
	holds    int    // bytes of those
}

// object returns an object with nothing in it.
func (s *scratch) object() *Object {
	s.used++
	if s.used > len(s.objects) {
		return &Object{}
	}
	o := &s.objects[s.used-1]
	items := o.items
	if cap(items) > scratchItems {
		items = nil
	}
	*o = Object{items: items[:0]}
	return o
}

// Forget says that a command has ended: objects, and in a reading transaction values, that
// it was given are invalid from here on. The next one gets their memory.
func (s *scratch) Forget() {
	if s.objects == nil && s.used > 0 {
		s.objects, s.found = make([]Object, scratchObjects), make([]byte, 0, scratchValues)
	} else {
		poison(s)
	}
	s.used, s.found = 0, s.found[:0]
	s.letGo()
}

// letGo lets go the values that are held.
func (s *scratch) letGo() {
	for _, h := range s.held {
		h.LetGo()
	}
	clear(s.held)
	s.held, s.holds = s.held[:0], 0
}

// End says that a reading transaction is over. It is Forget that leaves nothing but memory
// for another one: not the state that was read, nor keys.
func End(t *Tx) {
	poison(&t.scratch)
	t.letGo()
	t.used, t.found = 0, t.found[:0]
	for i := range t.objects {
		t.objects[i] = Object{items: t.objects[i].items[:0]}
	}
	*t = Tx{scratch: t.scratch}
}
