package shard

import (
	"tutti/internal/eval"
)

// What those are told who keep values of keys: each entry that is applied, and all that
// changes the state otherwise.

// tell tells of an entry that is being applied.
func (mc *machine) tell(index uint64, data []byte) error {
	events := &mc.r.host.cfg.Events
	if events.Followed == nil || !events.Followed() {
		return nil
	}
	w, err := eval.ReadWritten(data, mc.dbs)
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
