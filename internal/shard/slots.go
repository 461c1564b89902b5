package shard

import (
	"context"
	"errors"
	"fmt"

	"tutti/internal/cluster"
)

// What a shard owns is changed by an entry of its own log, so that every command
// and every view stands on one side of it. The entry comes through evaluation, of
// which one is in flight: nothing that was evaluated by what the shard owned
// before can come behind it.

// ErrNotLeader says that the replica here does not lead.
var ErrNotLeader = errors.New("the replica here does not lead its shard")

// SetSlots has the shard that is led here own other slots, soon: it has happened
// when its descriptor says so. It moves no data and asks nobody who else owns
// them: a shard must have given slots up on all its replicas before another one
// takes them, whose nodes have their rows.
func (h *Host) SetSlots(ctx context.Context, shard cluster.ShardID, slots cluster.SlotRange) error {
	if slots.First < 0 || slots.End > cluster.Slots || slots.Empty() {
		return fmt.Errorf("slots from %d to before %d", slots.First, slots.End)
	}
	result := ErrNotLeader
	if err := h.call(ctx, shard, func(r *Replica) {
		if r.leading() {
			r.leader.give, result = &slots, nil
			r.loop.touch(r)
		}
	}); err != nil {
		return err
	}
	return result
}

// gives reports whether an entry is to change what the shard owns.
func (l *leadership) gives() bool {
	if l.give != nil && *l.give == l.r.members.desc.Slots {
		l.give = nil
	}
	return l.give != nil
}

// slotsChanged begins anew what the leader remembers of the keys of its slots.
func (l *leadership) slotsChanged() {
	if l.core != nil { // else it begins anew in any case
		l.core.SlotsChanged()
		l.sweep = newSweeper(l)
	}
}
