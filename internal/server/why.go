package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/shard"
)

// Why something does not go on: what the leader of its shard knows of it, and what
// the cluster knows of the shard, in one answer.

// answer is what is being found out.
type answer struct{ command.Why }

// whyPatience is how long the leader of the shard has to answer.
const whyPatience = 2 * time.Second

func why(r *request, args [][]byte) {
	w := &answer{Why: command.Why{Name: string(args[1]), Slot: keyspace.Slot(args[1])}}
	m := r.s.cfg.Node.Map.Map()
	var p Presence
	if r.s.cfg.Presence != nil {
		p = r.s.cfg.Presence(r.s.ctx)
	}
	if sh := m.Owner(w.Slot); sh == nil {
		w.Add(command.Reason{For: command.ForShard, Text: fmt.Sprintf("no shard owns slot %d by this node's map", w.Slot), Do: "tutti status"})
	} else if w.place(m, *sh, p, r.s.cfg.Router.Lead(sh.ID)) {
		w.inspect(r, args)
	}
	if r.c.closed {
		return
	}
	w.Sum()
	b, err := json.Marshal(w.Why)
	if err != nil {
		r.Error("ERR " + err.Error())
		return
	}
	r.Bulk(b)
}

// place says where the shard lives. It reports whether its leader can be asked.
func (w *answer) place(m *cluster.Map, sh cluster.Shard, p Presence, lead shard.Lead) bool {
	w.Shard = sh.ID
	known, led := p.Leads[sh.ID]
	for _, x := range sh.Replicas {
		c := command.WhyCopy{Node: x.Node, Name: nameOf(m, x.Node), Role: roleOf(x.Part), State: "up"}
		if p.Silent[x.Node] {
			c.State, c.SilentMS = "silent", p.SilentFor[x.Node].Milliseconds()
		}
		for _, k := range known.Replicas {
			if k.ID != x.ID {
				continue
			}
			switch {
			case k.Silent > shard.ConfirmedWithin:
				c.State, c.SilentMS = "silent", k.Silent.Milliseconds()
			case !k.Confirmed:
				c.State = "behind"
			}
		}
		w.Copies = append(w.Copies, c)
	}
	switch {
	case led:
		w.Leader = command.WhyLeader{Node: known.Leader, Term: known.Term}
	case p.Leads == nil: // nobody was asked
		w.Leader = command.WhyLeader{Node: lead.Node, Term: lead.Term}
	}
	w.Leader.Name = nameOf(m, w.Leader.Node)
	switch {
	case w.Leader.Node == 0:
		w.Add(w.missing(m, command.ForLeader, fmt.Sprintf("shard %d has no leader that answers", sh.ID)))
	case led && known.Spare() < 0:
		confirmed, all := known.Votes()
		w.Add(w.missing(m, command.ForMajority, fmt.Sprintf("shard %d has no majority: %d of %d votes are there", sh.ID, confirmed, all)))
	default:
		return true
	}
	return false
}

func roleOf(p cluster.Part) string {
	switch p {
	case cluster.Learner:
		return "learner"
	case cluster.Leaving:
		return "leaving"
	}
	return "voter"
}

func nameOf(m *cluster.Map, id cluster.NodeID) string {
	x, _ := m.Member(id)
	return x.Name
}

// missing names the nodes that a shard lacks.
func (w *answer) missing(m *cluster.Map, what, text string) command.Reason {
	r := command.Reason{For: what, Text: text, Do: "tutti status"}
	var away, start []string
	for _, c := range w.Copies {
		if c.State == "up" {
			continue
		}
		text := nodeText(c.Node, c.Name) + " is " + c.State
		if c.SilentMS > 0 {
			text += fmt.Sprintf(" for %v", (time.Duration(c.SilentMS) * time.Millisecond).Round(time.Second))
		}
		at, _ := m.Member(c.Node)
		away, start = append(away, text), append(start, fmt.Sprintf("%d at %s", c.Node, at.Client))
	}
	if len(away) == 0 {
		r.Text += "; all its copies are there, so one is being elected"
		r.Do = "wait a second and ask again; if it stays so: tutti status"
		return r
	}
	r.Text += ": " + strings.Join(away, ", ")
	r.Do = "start tutti there again, or mend the way to it (node " + strings.Join(start, ", ") + "); if a majority is lost for good: tutti recover --help"
	return r
}

func nodeText(id cluster.NodeID, name string) string {
	if name == "" {
		return fmt.Sprintf("node %d", id)
	}
	return fmt.Sprintf("node %d (%s)", id, name)
}

// inspect asks the leader.
func (w *answer) inspect(r *request, args [][]byte) {
	reply := atLeader(r, []byte("TUTTI.INSPECT"), args[1])
	v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(reply)))
	var x command.Inspection
	if err == nil && !v.IsError() {
		err = json.Unmarshal(v.Str, &x)
	}
	if err != nil || v.IsError() {
		w.Add(command.Reason{For: command.ForShard, Text: fmt.Sprintf("shard %d did not answer: %s", w.Shard, v.Str), Do: "tutti status"})
		return
	}
	if x.Term != 0 {
		w.Leader.Term, w.Leader.Since = x.Term, x.Time-x.Led
	}
	w.Task, w.Key, w.Queue = x.Task, x.Key, x.Queue
	found := x.Task != nil || x.Queue != nil || x.Key != nil && x.Key.Type != "none"
	w.Found = &found
	if x.Task != nil {
		w.name(r, x.Task.Reasons)
		x.Task.Reasons = nil // they are the answer's
	}
	if x.Queue != nil {
		w.Add(x.Queue.Reasons...)
		x.Queue.Reasons = nil
	}
}

// name takes reasons over, and has them name the tasks that the client may look at.
func (w *answer) name(r *request, list []command.Reason) {
	for i := range list {
		list[i].Name(func(id string) bool { return r.c.session.judge(r.cmd, [][]byte{r.args[0], []byte(id)}).text == "" })
	}
	w.Add(list...)
}

// atLeader has a command about a key evaluated by the leader of its shard, whichever
// it is, and returns the reply.
func atLeader(r *request, args ...[]byte) []byte {
	list := []pending{{cmd: r.s.cfg.Table.Find(args[0]), args: args, db: r.c.session.db, of: r}}
	d := r.c.lanes.detour()
	defer d.end()
	r.c.lanes.until = time.Now().Add(whyPatience)
	for !list[0].done && !r.c.lanes.left() {
		if r.c.renew() {
			recheckAll(r.c, list)
		}
		if r.c.closed || list[0].done {
			break
		}
		m := d.begin()
		place(m, list)
		var refused []*group.Refusal
		if list[0].way == toShard {
			_, ref := r.c.lanes.answer(list[0].shard, 2, list)
			if ref == nil {
				break
			}
			refused = append(refused, ref)
		}
		if !d.again(m, refused...) {
			answerAll(list, errMoving)
		}
	}
	return list[0].reply
}
