package command

import (
	"encoding/json"

	"tutti/internal/cluster"
	"tutti/internal/meta"
)

// Commands about certificates, see rotation.go of package meta.

// certsText is what TUTTI.CERT LIST shows. Times are those of the cluster, in
// milliseconds.
type certsText struct {
	Now         int64           `json:"now_ms"`
	Generation  uint64          `json:"generation"`
	Authorities []authorityText `json:"authorities"`
	Nodes       []nodeCertText  `json:"nodes"`
}

type authorityText struct {
	ID    uint64 `json:"id"`
	State string `json:"state"`
	Pin   string `json:"pin"` // SHA-256 of its public key, as in tokens
}

type nodeCertText struct {
	Node       cluster.NodeID `json:"node"`
	Name       string         `json:"name,omitempty"`
	Generation uint64         `json:"generation"`           // of the authorities that it trusts
	Expires    int64          `json:"expires_ms,omitempty"` // 0: it has not told yet
}

func tuttiCertList(c *Ctx) {
	m := beginCerts(c)
	if m.Change == nil {
		return
	}
	list, err := m.Authorities()
	if err != nil {
		c.metaError(err)
		return
	}
	has, err := m.Has()
	if err != nil {
		c.metaError(err)
		return
	}
	t := certsText{Now: c.Tx.Now, Generation: m.Map.Trust}
	for _, a := range list {
		t.Authorities = append(t.Authorities, authorityText{a.ID, a.State.String(), a.CA.Pin().String()})
	}
	for _, x := range m.Map.Members {
		h := has[x.ID]
		t.Nodes = append(t.Nodes, nodeCertText{x.ID, x.Name, h.Generation, h.Expires})
	}
	text, err := json.Marshal(t)
	if err != nil {
		c.metaError(err)
		return
	}
	c.Bulk(text)
}

func tuttiCertRotate(c *Ctx) {
	m := beginCerts(c)
	if m.Change == nil {
		return
	}
	if err := m.Rotate(); err != nil {
		c.metaError(err)
		return
	}
	c.OK()
}

func tuttiCertSign(c *Ctx) {
	id, ok := c.number(2, uint64(cluster.NodeMax))
	if !ok {
		return
	}
	var hosts []string
	for _, a := range c.Args[4:] {
		hosts = append(hosts, string(a))
	}
	m := beginCerts(c)
	if m.Change == nil {
		return
	}
	s, err := m.Certify(cluster.NodeID(id), c.Args[3], hosts)
	if err != nil {
		c.metaError(err)
		return
	}
	c.Array(4)
	c.Int(int64(s.Generation))
	c.Bulk(s.CA)
	c.Bulk(s.Node)
	c.Bulk(s.Service)
}

func tuttiCertConfirm(c *Ctx) {
	id, ok := c.number(2, uint64(cluster.NodeMax))
	if !ok {
		return
	}
	generation, ok := c.number(3, 1<<62)
	if !ok {
		return
	}
	expires, ok := c.number(4, 1<<62)
	if !ok {
		return
	}
	m := beginCerts(c)
	if m.Change == nil {
		return
	}
	if err := m.Confirm(cluster.NodeID(id), meta.Has{Generation: generation, Expires: int64(expires)}); err != nil {
		c.metaError(err)
		return
	}
	c.OK()
}

// beginCerts is beginMeta for what nodes are certified by.
func beginCerts(c *Ctx) meta.Certs { return meta.Certs{Change: c.beginMeta()} }
