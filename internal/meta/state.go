package meta

import (
	"errors"
	"fmt"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// Errors of changes that make the cluster weaker.
var (
	// ErrLast says that no node would be left to hold the data.
	ErrLast = errors.New("it is the last node that can hold the data")
	// ErrOneCopy says that only one copy would decide, so that the loss of one
	// node could lose what was acknowledged.
	ErrOneCopy = errors.New("only one copy of the data would be left to decide")
)

// Announce takes over what a member knows better than meta: its addresses, and
// the newest formats it reads. Unlike SetMember it changes nothing that others
// decide, so it may come late.
func (c *Change) Announce(id cluster.NodeID, peer, client string, v cluster.Version) error {
	x, ok := c.Map.Member(id)
	if !ok {
		return fmt.Errorf("node %d: %w", id, ErrNoMember)
	}
	x.Peer, x.Client, x.Version = peer, client, v
	_, err := c.SetMember(x)
	return err
}

// Drain has all replicas of a member move away, and none come. It fails with
// ErrLast, or with ErrOneCopy unless that is accepted.
func (c *Change) Drain(id cluster.NodeID, acceptOneCopy bool) error {
	x, ok := c.Map.Member(id)
	if !ok {
		return fmt.Errorf("node %d: %w", id, ErrNoMember)
	}
	x.State = cluster.Draining
	// What would be is looked at first: an answer that refuses changes nothing.
	next, err := c.Map.Change(func(next *cluster.Map) { next.SetMember(x) })
	if err != nil {
		return err
	}
	for _, s := range c.Map.Shards {
		if _, has := s.On(id); !has || c.Map.Policy.Manual {
			continue
		}
		switch plan := next.Plan(s.ID); {
		case plan == nil:
			return fmt.Errorf("node %d: %w", id, ErrLast)
		case !acceptOneCopy && votes(plan) == 1 && len(s.Voters()) > 1:
			return fmt.Errorf("node %d: %w", id, ErrOneCopy)
		}
	}
	_, err = c.SetMember(x)
	return err
}

func votes(plan []cluster.Placement) (n int) {
	for _, p := range plan {
		if !p.Learner {
			n++
		}
	}
	return n
}

// Undrain lets a member have replicas again.
func (c *Change) Undrain(id cluster.NodeID) error {
	return c.setState(id, cluster.Draining, cluster.Active)
}

// Dead gives a member up that has been silent for too long: others get its
// replicas, as far as there are others. One that drains goes on to drain.
func (c *Change) Dead(id cluster.NodeID) error { return c.setState(id, cluster.Active, cluster.Dead) }

// Alive takes it back.
func (c *Change) Alive(id cluster.NodeID) error { return c.setState(id, cluster.Dead, cluster.Active) }

// setState changes the state of a member; in another one it stays.
func (c *Change) setState(id cluster.NodeID, from, to cluster.State) error {
	x, ok := c.Map.Member(id)
	if !ok {
		return fmt.Errorf("node %d: %w", id, ErrNoMember)
	}
	if x.State != from {
		return nil
	}
	x.State = to
	_, err := c.SetMember(x)
	return err
}

// SetPolicy changes what the cluster does by itself.
func (c *Change) SetPolicy(p cluster.Policy) error {
	if err := c.change(func(next *cluster.Map) { next.Policy = p }); err != nil {
		return err
	}
	c.tx.Put(keyspace.MetaRow(rowPolicy), p.Encode(nil))
	return nil
}
