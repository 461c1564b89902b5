package script

import (
	"context"
	"errors"
	"sync/atomic"

	lua "github.com/yuin/gopher-lua"
)

const (
	// MemoryMax bounds what a script can hold on to, in bytes.
	MemoryMax = 64 << 20
	// StringMax bounds one string.
	StringMax = 16 << 20

	// instructionsPerStep is how many instructions are a step of whoever runs the
	// script, about 250 ns.
	instructionsPerStep = 8
	// lookEvery is how many instructions go by between two looks at the limits.
	lookEvery = 256
	// instructionBytes is what one instruction allocates at most, on average: a closure
	// or an entry of a table that grows.
	instructionBytes = 128
	// bytesPerStep is how many bytes of strings are another step.
	bytesPerStep = 4 << 10
	// valuesPerStep is how many values it is a step to look at, for finding out what a
	// script holds.
	valuesPerStep = 3
)

// ErrMemory ends a script that holds on to too much.
var ErrMemory = errors.New("the script holds more than 64 MiB of memory")

// meter counts what a script does. It is the context of its interpreter, which asks for
// Done before each instruction: one that is closed ends the script.
type meter struct {
	context.Context
	left   int // instructions until the next look
	spend  func(steps int) error
	alive  func() (bytes, values int) // see live
	over   error                      // why the script is ended
	bytes  int                        // memory, estimated from above
	most   int                        // that it may be
	look   int                        // at how many bytes it is found out what they really are
	work   int                        // in instructions, not told yet
	told   atomic.Int64               // steps
	killed atomic.Bool                // somebody wants it to end
	ended  chan struct{}
}

func newMeter() *meter {
	m := &meter{Context: context.Background(), ended: make(chan struct{}), most: MemoryMax}
	close(m.ended)
	return m
}

// begin makes the meter that of a new run.
func (m *meter) begin(spend func(steps int) error) {
	m.left, m.spend, m.over, m.bytes, m.work, m.look = lookEvery, spend, nil, 0, 0, m.most
	m.told.Store(0)
}

// Done is asked before each instruction.
func (m *meter) Done() <-chan struct{} {
	if m.left--; m.left >= 0 {
		return nil
	}
	if m.over == nil {
		m.left = lookEvery
		m.count(lookEvery, lookEvery*instructionBytes)
	}
	if m.over != nil {
		m.left = 0
		return m.ended
	}
	return nil
}

// Err says why the script is ended.
func (m *meter) Err() error { return m.over }

// end ends the script, if nothing has already.
func (m *meter) end(why error) {
	if m.over == nil {
		m.over = why
	}
	m.left = 0
}

// count counts work, in instructions, and memory.
func (m *meter) count(work, bytes int) {
	if m.over != nil {
		return
	}
	m.work += work + bytes/bytesPerStep*instructionsPerStep
	if steps := m.work / instructionsPerStep; steps > 0 {
		m.work -= steps * instructionsPerStep
		m.told.Add(int64(steps))
		if m.killed.Load() {
			m.end(ErrKilled)
			return
		}
		if err := m.spend(steps); err != nil {
			m.end(err)
			return
		}
	}
	if m.bytes += bytes; m.bytes > m.look {
		alive, values := m.alive()
		m.bytes = alive + bytes
		m.work += values / valuesPerStep * instructionsPerStep
		// Who holds nearly all that he may would have it found out all the time.
		m.look = max(m.most, m.bytes+m.most/2)
		if m.bytes > m.most {
			m.end(ErrMemory)
		}
	}
}

// pay counts the work of a library's function, in bytes or entries that it looks at or
// copies, and ends it if that is too much.
func (v *vm) pay(L *lua.LState, work int) {
	v.meter.count(work/16+1, 0)
	v.check(L)
}

// grow counts memory before it is taken.
func (v *vm) grow(L *lua.LState, bytes int) {
	if bytes > StringMax {
		v.meter.end(ErrMemory)
	}
	v.meter.count(1, bytes)
	v.check(L)
}

// check ends a function of a library if the script is ended.
func (v *vm) check(L *lua.LState) {
	if v.meter.over != nil {
		L.RaiseError("%s", v.meter.over.Error())
	}
}
