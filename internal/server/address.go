package server

import (
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// Where commands go, and what happens when that has changed. This node's map may
// be older than the shards: what one refuses for that is looked up anew and sent
// to where it belongs, and no client sees any of it.

const errMoving = "TRYAGAIN this node was not told in time to which shard the slots of this command have moved, or by which rights it may be executed. Not applied, safe to retry."

// address is the shard that a command goes to, by some map.
type address struct {
	way   way
	shard cluster.ShardID
	claim group.Claim // what the command takes for granted of the shard
}

// way is whether a command can go to a shard.
type way uint8

const (
	toNobody  way = iota // a slot has no owner in the map, for now
	toShard              // address tells which
	toSeveral            // its keys are in several shards
)

// locate returns where a command goes by the map m.
func locate(m *cluster.Map, cmd *command.Command, args [][]byte) address {
	if cmd.Where == command.OnMeta {
		return address{way: toShard, shard: cluster.Meta}
	}
	if s := m.Single(); s != nil { // not worth a look at the keys
		return address{toShard, s.ID, group.Claim{Slots: cluster.AllSlots, Generation: s.Generation}}
	}
	if cmd.Flags&command.WholeShard != 0 {
		return address{way: toSeveral}
	}
	var buf [8]int
	keys := cmd.KeyArgs(buf[:0], args)
	if len(keys) == 0 { // any shard will do
		for _, s := range m.Data() {
			return address{toShard, s.ID, group.Claim{Generation: s.Generation}}
		}
	}
	var at address
	for i, arg := range keys {
		a := locateKey(m, args[arg])
		switch {
		case a.way != toShard:
			return a
		case i == 0:
			at = a
		case a.shard != at.shard:
			return address{way: toSeveral}
		default:
			at.claim = at.claim.Join(a.claim)
		}
	}
	return at
}

func locateKey(m *cluster.Map, key []byte) address { return locateSlot(m, keyspace.Slot(key)) }

func locateSlot(m *cluster.Map, slot uint16) address {
	s := m.Owner(slot)
	if s == nil {
		return address{way: toNobody}
	}
	return address{toShard, s.ID, group.Claim{Slots: cluster.SlotRange{First: int(slot), End: int(slot) + 1}, Generation: s.Generation}}
}

// detour is how commands that a shard refused are sent anew, or what has no owner
// for now, by a newer map, within the time that one attempt has.
type detour struct {
	lane   *lane
	began  time.Time    // zero: nothing has been sent
	placed *cluster.Map // by which the commands of a pipeline have their places
	tries  int
}

// detoursMax is how often commands are sent anew: more than once only if slots
// move twice meanwhile.
const detoursMax = 8

// begin is to be called before commands are sent, and returns the map to send
// them by. Their time runs from the first time on.
func (d *detour) begin() *cluster.Map {
	if d.began.IsZero() {
		d.began = time.Now()
	}
	return d.lane.router.Map()
}

// again takes over what the shards knew that refused commands, and waits until
// there is another map than the one by which they were sent, or this node has the
// users by whose rights they are to be looked at again. It reports false when
// the commands are to be given up: they have not been applied.
func (d *detour) again(sent *cluster.Map, refused ...*group.Refusal) bool {
	l := d.lane
	var users uint64
	for _, ref := range refused {
		l.router.Learn(ref)
		users = max(users, ref.Users)
	}
	if len(refused) > 0 {
		d.tries++
	}
	l.until = d.began.Add(l.router.Timeout())
	left := time.Until(l.until)
	if d.tries > detoursMax || left <= 0 {
		return false
	}
	if users > 0 { // the map may be as it should
		return l.server.awaitUsers(l.wait, users, left)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	_, how := receive(l.wait, l.router.Newer(sent), timer.C)
	return how == arrived
}

// end ends the detour: what comes next has time of its own.
func (d *detour) end() {
	d.lane.until = time.Time{}
	d.began, d.tries = time.Time{}, 0
}
