package server

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"tutti/internal/command"
	"tutti/internal/eval"
	"tutti/internal/group"
	"tutti/internal/resp"
	"tutti/internal/shard"
)

// The commands that this node answers by itself.

// handler executes such a command: it appends its reply to r, one but for those that
// subscribe.
type handler func(r *request, args [][]byte)

// request is such a command: whose it is, and its reply, which goes behind those
// before it.
type request struct {
	resp.Writer
	s    *Server
	c    *conn
	cmd  *command.Command
	args [][]byte

	inExec bool // it is a part of a transaction
	loud   bool // it is answered whatever CLIENT REPLY says
}

// handlers finds the handler of each command that the table leaves to the node or
// the connection, and panics if one is missing or one too many.
func handlers(table *command.Table) map[*command.Command]handler {
	byName := make(map[string]handler)
	for _, family := range []map[string]handler{
		connectionHandlers(), multiHandlers(), clientHandlers(), commandHandlers(), configHandlers(), clusterHandlers(), adminHandlers(),
		slowlogHandlers(), latencyHandlers(), memoryHandlers(), aclHandlers(), scriptHandlers(), sentinelHandlers(), pubsubHandlers(),
	} {
		maps.Copy(byName, family)
	}
	all := make(map[*command.Command]handler, len(byName))
	for _, cmd := range everyCommand(table) {
		h, ok := byName[cmd.Name]
		if ok == (cmd.Where.Evaluated() || cmd.Container()) {
			panic(fmt.Sprintf("server: handler of %s: %v, against the command table", cmd.Name, ok))
		}
		if ok {
			all[cmd] = h
		}
		delete(byName, cmd.Name)
	}
	for name := range byName {
		panic("server: handler of " + name + ", which is not in the command table")
	}
	return all
}

// everyCommand lists the commands by name, each followed by its subcommands.
func everyCommand(table *command.Table) []*command.Command {
	var list []*command.Command
	for _, cmd := range table.All() {
		list = append(append(list, cmd), cmd.Subs...)
	}
	return list
}

// handle executes a command and accounts for it.
func (r *request) handle(cmd *command.Command, args [][]byte) {
	at, began := len(r.Out), time.Now()
	r.cmd, r.args = cmd, args
	r.s.handlers[cmd](r, args)
	took := time.Since(began)
	r.s.stats.took(r.s.stats.called(cmd, r.Out[min(at, len(r.Out)):], took), took, 1)
	r.s.logs.slow.spikes.Note(spiked(cmd), took)
	show(r.c, cmd, r.c.session.db, args)
	if cmd.Name != "exec" && r.s.logs.slow.slow(took, 1) { // what EXEC executed is logged by itself
		r.s.logs.slow.add(r.c, cmd, args, took)
	}
}

// view evaluates f over a view of the shard that owns a slot, see lane.read, or
// answers the error.
func (r *request) view(slot uint16, f func(tx eval.Reads)) (ok bool) {
	d := r.c.lanes.detour()
	defer d.end()
	for {
		var refused []*group.Refusal
		if r.c.renew() {
			if v := r.c.session.judge(r.cmd, r.args); v.text != "" {
				r.Error(v.text)
				return false
			}
		}
		sent := d.begin()
		if at := locateSlot(sent, slot); at.way == toShard {
			text, ref := r.c.lanes.read(&shard.Read{Shard: at.shard}, at.claim, f)
			if ref == nil {
				if text != "" {
					r.Error(text)
				}
				return text == ""
			}
			refused = append(refused, ref)
		}
		if !d.again(sent, refused...) {
			r.Error(errMoving)
			return false
		}
	}
}

// wrongArity answers the error for a number of arguments that the table's arity
// lets pass.
func (r *request) wrongArity(name string) { r.Error(command.TextArity(name)) }

// unknownSubcommand answers the error for arguments that no subcommand takes.
func unknownSubcommand(r *request, args [][]byte) {
	r.Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%.128s'. Try %s HELP.", args[1], strings.ToUpper(string(args[0]))))
}

// help answers the HELP subcommand of a container, from the table.
func help(r *request, args [][]byte) {
	container := r.s.cfg.Table.Find(args[0])
	var lines []string
	for _, sub := range container.Subs {
		_, short, _ := strings.Cut(sub.Name, "|")
		if short != "help" {
			lines = append(lines, strings.TrimSpace(strings.ToUpper(short)+" "+sub.Syntax), "    "+sub.Doc)
		}
	}
	r.Help(strings.ToUpper(container.Name), lines)
}
