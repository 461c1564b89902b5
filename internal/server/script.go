package server

import (
	"bytes"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/resp"
)

// Scripts. Every shard keeps those of SCRIPT LOAD, so that wherever EVALSHA goes they
// are known there once the client has its answer. The scripts of EVAL are known where
// they ran, and to the client's node. Clients take those for known as long as their
// connection lasts, and here it outlasts the node that ran them. So once EVALSHA names
// such a script it is kept by every shard, too; what is only ever sent by EVAL is not.

// rememberScript takes note of the script of EVAL, and has the shards keep the one of EVALSHA if
// they might not know it. Should one of them not answer, EVALSHA finds out by itself.
func rememberScript(c *conn, cmd *command.Command, args [][]byte) {
	table := c.s.cfg.Table
	switch cmd.Name {
	case "eval", "eval_ro":
		table.MetScript(args)
	case "evalsha", "evalsha_ro":
		source, found := table.UnkeptScript(args[1])
		if !found {
			return
		}
		if c.flush(); c.closed {
			return
		}
		if _, ok := everyShard(c, anyReply, "TUTTI.SCRIPT", "LOAD", source); ok {
			table.KeptScript(args[1])
		}
	}
}

// scriptIsReady does what rememberScript does if that takes no time: else it reports false.
func scriptIsReady(table *command.Table, cmd *command.Command, args [][]byte) bool {
	switch cmd.Name {
	case "eval":
		if !table.HasScript(args[1]) { // to compile it takes some ms, if it is long
			return false
		}
		table.MetScript(args)
	case "evalsha":
		_, unkept := table.UnkeptScript(args[1])
		return !unkept
	}
	return true
}

func scriptHandlers() map[string]handler {
	return map[string]handler{
		"function|delete":  functionChange,
		"function|dump":    functionLook,
		"function|flush":   functionFlush,
		"function|help":    help,
		"function|kill":    scriptKill,
		"function|list":    functionLook,
		"function|load":    functionChange,
		"function|restore": functionRestore,
		"function|stats":   functionLook,
		"script|exists":    scriptExists,
		"script|flush":     scriptFlush,
		"script|load":      scriptLoad,
		"script|help":      help,
		"script|kill":      scriptKill,
		"script|debug":     scriptDebug,
	}
}

// runsScripts reports whether one of the commands calls others by the rights of its user.
func runsScripts(list []pending) bool {
	for i := range list {
		if list[i].cmd != nil && list[i].cmd.RunsScript() {
			return true
		}
	}
	return false
}

// rights are by what scripts of this client call commands; nil: by everything.
func (who *identity) rights() *group.User {
	if who.user.Everything() {
		return nil
	}
	u := &group.User{Name: who.user.Name}
	for _, rule := range who.user.Rules() {
		if rule[0] != '#' { // its passwords are nobody's business
			u.Rules = append(u.Rules, rule)
		}
	}
	return u
}

// scripting is what scripts that run here, over a view, depend on.
func (l *lane) scripting() command.Scripting {
	return command.Scripting{Table: l.server.cfg.Table, User: l.who.user, Clock: time.Now}
}

// onShards has every shard evaluate a command, and hands its replies to f until that
// returns false. It answers the error if a shard has none.
func onShards(r *request, f func(id cluster.ShardID, reply []byte) bool, args ...string) bool {
	refusal, ok := everyShard(r.c, f, args...)
	r.Out = append(r.Out, refusal...)
	return ok
}

// everyShard is onShards for a connection that answers something else. Without ok it
// returns the error of a shard, or nothing if f has ended it.
func everyShard(c *conn, f func(id cluster.ShardID, reply []byte) bool, args ...string) (refusal []byte, ok bool) {
	for _, shard := range c.s.cfg.Router.Shards() {
		result := c.lanes.send(shard.ID, &group.Group{Proto: 2, Room: group.RepliesMax}, internal(args))
		switch {
		case result.Err != "":
			return resp.AppendError(nil, result.Err), false
		case len(result.Reply.Replies) != 1:
			return resp.AppendError(nil, errMoving), false
		case bytes.HasPrefix(result.Reply.Replies[0], []byte("-")):
			return result.Reply.Replies[0], false
		case !f(shard.ID, result.Reply.Replies[0]):
			return nil, false
		}
	}
	return nil, true
}

func anyReply(cluster.ShardID, []byte) bool { return true }

func scriptLoad(r *request, args [][]byte) {
	sha, err := r.s.cfg.Table.CompileScript(args[2])
	if err != nil {
		r.Error("ERR " + err.Error())
		return
	}
	if onShards(r, anyReply, "TUTTI.SCRIPT", "LOAD", string(args[2])) {
		r.BulkString(sha)
	}
}

// scriptKill ends the scripts that take long, wherever they run.
func scriptKill(r *request, _ [][]byte) {
	killed := r.s.cfg.Table.KillScripts() > 0 // those over views run where their clients are
	ok := onShards(r, func(_ cluster.ShardID, reply []byte) bool {
		killed = killed || string(reply) != ":0\r\n"
		return true
	}, "TUTTI.SCRIPT", "KILL")
	switch {
	case !ok:
	case killed:
		r.OK()
	default:
		r.Error("NOTBUSY No scripts in execution right now.")
	}
}

func scriptDebug(r *request, args [][]byte) {
	switch {
	case resp.IsWord(args[2], "NO"):
		r.OK()
	case resp.IsWord(args[2], "YES"), resp.IsWord(args[2], "SYNC"):
		r.Error("ERR scripts can't be debugged here: they run in the loop of a shard. Debug them on a Redis of your own.")
	default:
		r.Error("ERR Use SCRIPT DEBUG YES/SYNC/NO")
	}
}

func scriptFlush(r *request, args [][]byte) {
	if len(args) > 3 || len(args) == 3 && !resp.IsWord(args[2], "SYNC") && !resp.IsWord(args[2], "ASYNC") {
		r.Error("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	r.s.cfg.Table.ForgetScripts()
	if onShards(r, anyReply, "TUTTI.SCRIPT", "FLUSH") {
		r.OK()
	}
}

// scriptExists tells of each script whether it is known to every shard.
func scriptExists(r *request, args [][]byte) {
	words := []string{"TUTTI.SCRIPT", "EXISTS"}
	for _, a := range args[2:] {
		words = append(words, string(a))
	}
	missing := make([]bool, len(args)-2)
	ok := onShards(r, func(_ cluster.ShardID, reply []byte) bool {
		for i, line := range bytes.Split(reply, []byte("\r\n"))[1:] {
			if i < len(missing) && string(line) != ":1" {
				missing[i] = true
			}
		}
		return true
	}, words...)
	if !ok {
		return
	}
	r.Array(len(missing))
	for _, m := range missing {
		r.Bool(!m)
	}
}
