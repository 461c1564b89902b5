package router

import (
	"fmt"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/shard"
)

// What clients are told of groups that came to no good end: what is known to have
// happened, and whether the group may have been applied.

// trial is what became of the attempts of a group.
type trial struct {
	began   time.Time
	refused bool // by whoever it was sent to last: it does not lead
	left    bool // a leader that it was sent to, and that might have applied it, has left
}

// outcome is a call that is given up, and what to say of it.
type outcome struct {
	call   *call
	result Result
}

// gaveUp is the outcome of a call whose time is over. s.mu is held.
func (s *stream) gaveUp(c *call, now time.Time) Result {
	lead, waited := s.newer(s.r.host.Lead(s.id)), now.Sub(c.trial.began).Round(100*time.Millisecond)
	if c.certain {
		return Result{Err: errDown(s.id, lead, c.trial.refused, waited)}
	}
	what := fmt.Sprintf("the leader of shard %d left before answering", s.id)
	switch {
	case lead.Node == 0 || c.parked:
		what += fmt.Sprintf(", and no other has answered for %v", waited)
	case c.trial.left:
		what += fmt.Sprintf(", and node %d, which leads it now, has not answered either for %v", lead.Node, waited)
	default:
		what = fmt.Sprintf("node %d leads shard %d and has not answered for %v: this command or what came before takes long, or it reaches no majority of the nodes", lead.Node, s.id, waited)
	}
	return Result{Err: errUncertain(what)}
}

func errDown(id cluster.ShardID, lead shard.Lead, refused bool, waited time.Duration) string {
	what := fmt.Sprintf("shard %d has had no leader for %v", id, waited)
	if lead.Node != 0 && !refused {
		what = fmt.Sprintf("node %d leads shard %d and has not been reached from here for %v", lead.Node, id, waited)
	}
	return "CLUSTERDOWN " + what + ". Not applied, safe to retry."
}

func errUncertain(what string) string {
	return "UNCERTAIN " + what + ". The write may or may not have been applied. Read before you retry."
}

// errBroken is the outcome of a group that was answered with less than all.
func errBroken(id cluster.ShardID) string {
	return errUncertain(fmt.Sprintf("the leader of shard %d has sent fewer replies than there were commands", id))
}

// errForgotten is the outcome of a group that the shard has no record of any more: a
// newer start of this node has taken its session over, or the record was dropped.
func errForgotten(id cluster.ShardID) string {
	return errUncertain(fmt.Sprintf("shard %d keeps no record of the commands of this node any more", id))
}
