package command

import (
	"bytes"
	"time"

	"tutti/internal/keyspace"
)

// How XREAD and XREADGROUP wait.

// readPatience is Waits.Patience of XREAD and XREADGROUP.
func readPatience(args [][]byte) (d time.Duration, ok bool) {
	r, fault := parseReading(args)
	return r.patience, fault == "" && r.block
}

// readLine is Waits.Line of XREADGROUP: what is not there for one consumer is not there
// for the others of the group.
func readLine(args [][]byte) string {
	r, _ := parseReading(args)
	return string(r.group)
}

// askEnds asks for the last ids of the streams that are to be read from their ends on.
func askEnds(args [][]byte) (ask [][]byte) {
	r, _ := parseReading(args)
	for _, i := range r.ends(args) {
		ask = append(ask, args[i-r.n])
	}
	if ask == nil {
		return nil
	}
	return append([][]byte{[]byte("TUTTI.STREAMENDS")}, ask...)
}

// ends returns which arguments are "$".
func (r *reading) ends(args [][]byte) (at []int) {
	for i := range r.n {
		if id := r.at + r.n + i; string(args[id]) == "$" {
			at = append(at, id)
		}
	}
	return at
}

func streamEnds(c *Ctx) {
	var ids []byte
	for i, key := range c.Args[1:] {
		if i > 0 {
			ids = append(ids, ' ')
		}
		var last keyspace.StreamID
		if o := c.Tx.Open(c.DB, key); o != nil && o.Type == keyspace.TypeStream {
			last = keyspace.StreamOf(o).Last
		}
		ids = last.Append(ids)
	}
	c.Bulk(ids)
}

// settleEnds puts the reply of TUTTI.STREAMENDS into the arguments.
func settleEnds(args [][]byte, reply []byte) (settled [][]byte, ok bool) {
	_, text, found := bytes.Cut(reply, []byte("\r\n"))
	r, _ := parseReading(args)
	at, ids := r.ends(args), bytes.Fields(bytes.Clone(text))
	if !found || reply[0] != '$' || len(at) != len(ids) {
		return nil, false
	}
	settled = append([][]byte{}, args...)
	for i, id := range ids {
		settled[at[i]] = id
	}
	return settled, true
}
