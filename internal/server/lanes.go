package server

import (
	"slices"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
)

// lanes execute the commands of one connection, wherever they go.
type lanes struct {
	*lane           // executes the groups of one shard after the other
	more    []*lane // execute those of several shards at once
	s       *Server
	c       *conn
	session *session
}

func newLanes(c *conn) lanes {
	l := newLane(c.s, &c.wait, &c.session.identity)
	l.tracks = &c.session.tracks
	return lanes{lane: l, s: c.s, c: c, session: &c.session}
}

func (x *lanes) detour() detour { return detour{lane: x.lane} }

// executeAll executes commands until all are done or the client has gone.
func (x *lanes) executeAll(list []pending) {
	d := x.detour()
	defer d.end()
	for slices.ContainsFunc(list, func(p pending) bool { return !p.done }) && !x.left() {
		x.step(list, &d)
	}
}

// step executes those of the commands that are not done, as far as the map and
// the shards let it.
func (x *lanes) step(list []pending, d *detour) {
	if x.c.renew() {
		recheckAll(x.c, list)
	}
	if x.c.closed {
		return
	}
	if m := d.begin(); m != d.placed {
		// All by one map: commands on one key must not overtake each other.
		d.placed = m
		place(m, list)
	}
	refused, all := x.execute(list)
	x.holdReplies()
	if !all && !d.again(d.placed, refused...) {
		answerAll(list, errMoving)
	}
}

// place finds out where those of the commands go that are not done.
func place(m *cluster.Map, all []pending) {
	for i := range all {
		p := &all[i]
		if p.done {
			continue
		}
		if p.address = locate(m, p.cmd, p.args); p.way == toSeveral {
			p.answer(errorReply(command.TextCrossShard))
		}
	}
}

// answerAll answers those of the commands that are not done with an error.
func answerAll(all []pending, text string) {
	for i := range all {
		if !all[i].done {
			all[i].answer(errorReply(text))
		}
	}
}

// execute executes commands, each where it goes. If all is false some were left
// because this node's map is too old: those that have no place in it, and those
// that shards refused.
func (x *lanes) execute(list []pending) (refused []*group.Refusal, all bool) {
	id, one := sameShard(list)
	if !one {
		return x.runMany(list)
	}
	if ref := x.run(id, x.session.proto, list); ref != nil {
		return []*group.Refusal{ref}, false
	}
	return nil, true
}

func sameShard(all []pending) (id cluster.ShardID, one bool) {
	for i := range all {
		if all[i].shard != all[0].shard || all[i].way != toShard || all[i].done {
			return 0, false
		}
	}
	return all[0].shard, true
}

// runMany executes commands for several shards: a group for each, at once.
func (x *lanes) runMany(list []pending) (refused []*group.Refusal, all bool) {
	parts := make(map[cluster.ShardID][]pending)
	where := make(map[cluster.ShardID][]int)
	all = true
	for i, p := range list {
		switch {
		case p.done: // by an earlier round
		case p.way == toNobody:
			all = false
		default:
			parts[p.shard] = append(parts[p.shard], p)
			where[p.shard] = append(where[p.shard], i)
		}
	}
	for len(x.more) < len(parts) {
		l := newLane(x.s, &patience{gone: x.wait.gone}, &x.session.identity)
		l.tracks = x.tracks
		x.more = append(x.more, l)
	}
	ended := make(chan *group.Refusal, len(parts))
	lanes, proto := x.more, x.session.proto
	for id, part := range parts {
		l := lanes[0]
		lanes = lanes[1:]
		l.until = x.until
		go func() { ended <- l.run(id, proto, part) }()
	}
	for range parts {
		ref, how := receive(x.wait, ended, nil)
		if how == abandoned {
			ref = <-ended // the lanes have noticed too
		}
		if ref != nil {
			refused, all = append(refused, ref), false
		}
	}
	for id, part := range parts {
		for i, at := range where[id] {
			list[at].reply, list[at].done = part[i].reply, part[i].done
		}
	}
	return refused, all
}

// anyUnsure reports whether something may still refer to the arguments of commands
// that have been answered, and forgets it.
func (x *lanes) anyUnsure() bool {
	unsure := x.forget()
	for _, l := range x.more {
		unsure = l.forget() || unsure
	}
	return unsure
}

// transactAnywhere sends a MULTI to its shard, by newer maps if it has moved, and returns
// what was evaluated. failed says that a watched key changed, text is an error.
func (x *lanes) transactAnywhere(m *multi, watches []watched) (t transaction, failed bool, text string) {
	d := x.detour()
	defer d.end()
	for {
		var refused []*group.Refusal
		if x.c.renew() {
			m.recheck(x.c)
		}
		sent := d.begin()
		t = plan(sent, m, x.session.db, watches)
		switch {
		case t.way == toSeveral:
			return t, false, command.TextCrossShard
		case t.way == toNobody && len(t.cmds)+len(watches) == 0:
			return t, false, ""
		case t.way == toShard && t.strayed:
			return t, true, ""
		case t.way == toShard:
			t.proto = x.session.proto
			var ref *group.Refusal
			failed, text, ref = x.transact(t)
			if x.holdReplies(); ref == nil {
				return t, failed, text
			}
			refused = append(refused, ref)
		}
		if !d.again(sent, refused...) {
			return t, false, errMoving
		}
	}
}
