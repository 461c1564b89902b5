package command

import (
	"errors"
	"fmt"
	"slices"

	"tutti/internal/hyperloglog"
	"tutti/internal/keyspace"
)

// A HyperLogLog is a string that has the form of one.
var hyperloglogCommands = []Command{
	{Name: "pfadd", Arity: -2, Flags: Write | DenyOOM | Fast, Keys: oneKey, Group: "hyperloglog", Since: "2.8.9",
		Syntax: "key [element [element ...]]", Doc: "Adds elements to a HyperLogLog.", Run: pfadd},
	{Name: "pfcount", Arity: -2, Flags: ReadOnly, Keys: allKeys, Group: "hyperloglog", Since: "2.8.9", Syntax: "key [key ...]",
		Doc: "Estimates how many elements HyperLogLogs have together. It only reads, so the count is not kept in the value.", Run: pfcount},
	{Name: "pfmerge", Arity: -2, Flags: Write | DenyOOM, Keys: allKeys, Group: "hyperloglog", Since: "2.8.9",
		Syntax: "destkey [sourcekey [sourcekey ...]]", Doc: "Adds the elements of HyperLogLogs to the first.", Run: pfmerge},
	{Name: "pfdebug", Arity: 3, Flags: Write | DenyOOM | Admin, Keys: subKey, Group: "hyperloglog", Since: "2.8.9",
		Syntax: "<GETREG | DECODE | ENCODING | TODENSE> key", Doc: "Tells how a HyperLogLog is stored, or makes it dense.", Run: pfdebug},
}

const (
	errNoSketch      = "WRONGTYPE Key is not a valid HyperLogLog string value."
	errCorruptSketch = "INVALIDOBJ Corrupted HLL object detected"
)

// sketchError answers that a string is no HyperLogLog, or none that can be read.
func sketchError(c *Ctx, err error) {
	if errors.Is(err, hyperloglog.ErrNoSketch) {
		c.Error(errNoSketch)
	} else {
		c.Error(errCorruptSketch)
	}
}

// openSketch returns the HyperLogLog at key, nil if it is absent, or answers the error.
// It may not be changed.
func openSketch(c *Ctx, key []byte) (o *keyspace.Object, sketch []byte, ok bool) {
	o, ok = c.open(key, keyspace.TypeString)
	if o == nil {
		return nil, nil, ok
	}
	sketch = o.Bytes()
	if err := hyperloglog.Check(sketch); err != nil {
		sketchError(c, err)
		return nil, nil, false
	}
	return o, sketch, true
}

// putSketch stores a changed HyperLogLog at key, opened as old.
func putSketch(c *Ctx, key []byte, old *keyspace.Object, sketch []byte) {
	var expire int64
	if old != nil {
		expire = old.Expire
	}
	hyperloglog.Forget(sketch)
	c.putString(key, old, sketch, expire)
}

func pfadd(c *Ctx) {
	o, sketch, ok := openSketch(c, c.Args[1])
	if !ok {
		return
	}
	changed := o == nil
	if sketch = slices.Clone(sketch); o == nil {
		sketch = hyperloglog.New()
	}
	for _, element := range c.Args[2:] {
		next, raised, err := hyperloglog.Add(sketch, element)
		if err != nil {
			sketchError(c, err)
			return
		}
		sketch, changed = next, changed || raised
	}
	if changed {
		putSketch(c, c.Args[1], o, sketch)
	}
	c.Bool(changed)
}

func pfcount(c *Ctx) {
	if len(c.Args) > 2 {
		if registers, _, ok := mergeSketches(c); ok {
			c.Int(registers.Count())
		}
		return
	}
	o, sketch, ok := openSketch(c, c.Args[1])
	switch {
	case !ok:
		return
	case o == nil:
		c.Int(0)
		return
	}
	n, err := hyperloglog.Count(sketch)
	if err != nil {
		sketchError(c, err)
		return
	}
	c.Int(n)
}

// mergeSketches returns the registers of all keys, and whether one is dense, or
// answers the error.
func mergeSketches(c *Ctx) (r *hyperloglog.Registers, dense, ok bool) {
	r = new(hyperloglog.Registers)
	for _, key := range c.Args[1:] {
		o, sketch, ok := openSketch(c, key)
		if !ok {
			return nil, false, false
		}
		if o == nil {
			continue
		}
		if err := r.Merge(sketch); err != nil {
			sketchError(c, err)
			return nil, false, false
		}
		dense = dense || hyperloglog.Dense(sketch)
	}
	return r, dense, true
}

func pfmerge(c *Ctx) {
	registers, dense, ok := mergeSketches(c)
	if !ok {
		return
	}
	o, sketch, _ := openSketch(c, c.Args[1])
	if sketch = slices.Clone(sketch); o == nil {
		sketch = hyperloglog.New()
	}
	var err error
	if dense {
		sketch, err = hyperloglog.ToDense(sketch)
	}
	if err == nil {
		sketch, err = registers.Store(sketch)
	}
	if err != nil {
		sketchError(c, err)
		return
	}
	putSketch(c, c.Args[1], o, sketch)
	c.OK()
}

// pfdebug answers in the order in which Redis looks: whether the key is there comes
// before the word.
func pfdebug(c *Ctx) {
	o, sketch, ok := openSketch(c, c.Args[2])
	switch {
	case !ok:
	case o == nil:
		c.Error("ERR The specified key does not exist")
	case c.is(1, "ENCODING"):
		encoding := "sparse"
		if hyperloglog.Dense(sketch) {
			encoding = "dense"
		}
		c.Simple(encoding)
	case c.is(1, "DECODE"):
		if hyperloglog.Dense(sketch) {
			c.Error("ERR HLL encoding is not sparse")
			return
		}
		c.BulkString(hyperloglog.Runs(sketch))
	case c.is(1, "TODENSE"):
		if _, ok := makeDense(c, o, sketch); ok {
			c.Bool(!hyperloglog.Dense(sketch))
		}
	case c.is(1, "GETREG"):
		if registers, ok := makeDense(c, o, sketch); ok {
			c.Array(len(registers))
			for _, rank := range registers {
				c.Int(int64(rank))
			}
		}
	default:
		c.Error(fmt.Sprintf("ERR Unknown PFDEBUG subcommand '%.128s'", c.Args[1]))
	}
}

// makeDense has a HyperLogLog stored dense and returns its registers, or answers the
// error.
func makeDense(c *Ctx, o *keyspace.Object, sketch []byte) (r *hyperloglog.Registers, ok bool) {
	r = new(hyperloglog.Registers)
	err := r.Merge(sketch)
	if err == nil && !hyperloglog.Dense(sketch) {
		if sketch, err = hyperloglog.ToDense(sketch); err == nil {
			c.putString(c.Args[2], o, sketch, o.Expire)
		}
	}
	if err != nil {
		sketchError(c, err)
		return nil, false
	}
	return r, true
}
