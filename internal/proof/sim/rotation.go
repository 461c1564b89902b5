package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tutti/internal/cluster"
	"tutti/internal/trust"
)

// The authority of a cluster is replaced while all goes on: see package meta.

// keeper is who looks at what the nodes are certified by.
type keeper struct {
	operator
	files map[string]string // as they were when they were looked at last
}

func newKeeper(c *Cluster) keeper { return keeper{operator{c}, make(map[string]string)} }

// changed reports whether what the nodes are certified by has changed since it was
// asked last: to look at all of it takes long.
func (c keeper) changed() (changed bool) {
	c.t.Helper()
	for _, m := range c.machines {
		for _, name := range []string{trust.CAFile, trust.NodeFile} {
			path := m.dir + "/" + name
			f, err := m.disk.mem.Open(path)
			if err != nil {
				continue // it has none
			}
			b, err := io.ReadAll(f)
			if err := errors.Join(err, f.Close()); err != nil {
				c.t.Fatal(err)
			}
			changed = changed || c.files[path] != string(b)
			c.files[path] = string(b)
		}
	}
	return changed
}

// certText is what TUTTI.CERT LIST answers.
type certText struct {
	Generation  uint64
	Authorities []struct{ State string }
	Nodes       []struct {
		Node       cluster.NodeID
		Generation uint64
	}
}

// list asks what the nodes have.
func (c keeper) list() (l certText) {
	c.t.Helper()
	if text := c.ask("TUTTI.CERT", "LIST"); json.Unmarshal([]byte(text), &l) != nil {
		c.t.Fatalf("%s the certificates: %s", stamp(), text)
	}
	return l
}

// waitTurned waits until no authority is being replaced, and all members have
// what they are to have, unless one is dead and holds it up.
func (c keeper) waitTurned() {
	c.t.Helper()
	for _, m := range c.machines {
		if m.dead != nil && !m.leaves {
			return
		}
	}
	c.await("the authority is not replaced", func() (bool, string) {
		l := c.list()
		done := len(l.Authorities) == 1
		for _, n := range l.Nodes {
			done = done && n.Generation == l.Generation
		}
		return done, fmt.Sprintf("%+v", l)
	})
}

// identities are what the members that have a disk show each other.
func (c keeper) identities() map[int]*trust.Identity {
	all := make(map[int]*trust.Identity)
	for _, m := range c.machines {
		if !m.formed || m.leaves || m.dead != nil {
			continue
		}
		// One that is being replaced can't be read for a moment.
		if id, err := trust.Load(m.disk.mem, m.dir); err == nil {
			all[m.id] = id
		}
	}
	return all
}

// strangers lists who would refuse whom now.
func (c keeper) strangers() (text string) {
	if !c.changed() {
		return ""
	}
	all := c.identities()
	for i, a := range all {
		for j, b := range all {
			if err := a.Accepts(b); err != nil {
				text += fmt.Sprintf("node %d refuses node %d: %v; ", i, j, err)
			}
		}
	}
	return text
}
