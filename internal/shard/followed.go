package shard

import (
	"tutti/internal/eval"
	"tutti/internal/store"
)

// What those are told who keep values of keys: each entry that is applied, and all that
// changes the state otherwise.

// tell tells of an entry that is being applied.
func (mc *machine) tell(index uint64, e *store.Effects) error {
	events := &mc.r.host.cfg.Events
	if events.Followed == nil || !events.Followed() {
		return nil
	}
	w, err := eval.ReadWritten(e.Each, mc.dbs)
	if err == nil {
		events.Applied(mc.r.id, index, w)
	}
	return err
}

// replaced tells that the state has changed otherwise than by the rows of an entry.
func (mc *machine) replaced() {
	if f := mc.r.host.cfg.Replaced; f != nil {
		f(mc.r.id)
	}
}
