package server

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/resp"
)

// Commands about the machinery of a Redis server that tutti has none of, or
// another one. They are answered by what is true here, or refused.

const (
	errReplication = "ERR replication is not set up by commands: the cluster places its replicas by itself, and they follow each other by themselves. Nothing was changed."
	errFailover    = "ERR FAILOVER is not supported: the nodes elect leaders by themselves, and a stopped node hands over first. Nothing was changed."
	errShutdown    = "ERR SHUTDOWN is not supported: stop the node on its own machine, with SIGTERM. Nothing was changed."
	errModules     = "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
)

func adminHandlers() map[string]handler {
	all := map[string]handler{
		"info":             info,
		"time":             timeCmd,
		"role":             role,
		"lastsave":         func(r *request, _ [][]byte) { r.Int(r.s.cfg.Wall() / 1000) },
		"save":             func(r *request, _ [][]byte) { r.OK() },
		"bgsave":           bgsave,
		"bgrewriteaof":     func(r *request, _ [][]byte) { r.Simple("Background append only file rewriting started") },
		"wait":             wait,
		"waitaof":          waitaof,
		"lolwut":           lolwut,
		"monitor":          monitor,
		"debug":            debug,
		"tutti.doctor":     doctor,
		"tutti.status":     status,
		"tutti.why":        why,
		"tutti.runners":    runners,
		"tutti.cert|renew": renewCerts,
		"module|list":      func(r *request, _ [][]byte) { r.Array(0) },
		"module|help":      help,
	}
	for text, names := range map[string][]string{
		errReplication: {"replicaof", "slaveof", "sync", "psync", "replconf"},
		errFailover:    {"failover"},
		errShutdown:    {"shutdown"},
		errModules:     {"module|load", "module|loadex", "module|unload"},
	} {
		for _, name := range names {
			all[name] = func(r *request, _ [][]byte) { r.Error(text) }
		}
	}
	return all
}

func timeCmd(r *request, _ [][]byte) {
	ms := r.s.cfg.Wall()
	r.Array(2)
	r.BulkString(strconv.FormatInt(ms/1000, 10))
	r.BulkString(strconv.FormatInt(ms%1000*1000, 10))
}

func role(r *request, _ [][]byte) {
	r.Array(3)
	r.BulkString("master")
	r.Int(0)
	r.Array(0)
}

func bgsave(r *request, args [][]byte) {
	if len(args) > 2 || len(args) == 2 && !resp.IsWord(args[1], "SCHEDULE") {
		r.Error(command.TextSyntax)
		return
	}
	r.Simple("Background saving started")
}

// sureReplicas is how many nodes beside one are sure to hold every write that
// was acknowledged, on disk: a majority of the voters of its shard does, so the
// shard with the fewest counts. More may, and soon do, but nobody waits for them,
// so WAIT does not count them.
func (s *Server) sureReplicas() int64 {
	fewest := cluster.ReplicasMax
	for _, sh := range s.cfg.Router.Shards() {
		fewest = min(fewest, len(sh.Voters()))
	}
	return int64(fewest / 2)
}

// wait answers at once, even if more replicas are asked for: the number would
// not grow by waiting.
func wait(r *request, args [][]byte) {
	if _, ok := resp.ParseInt(args[1]); !ok {
		r.Error(command.TextNotInt)
		return
	}
	if _, text := parseTimeout(args[2]); text != "" {
		r.Error(text)
		return
	}
	r.Int(r.s.sureReplicas())
}

func waitaof(r *request, args [][]byte) {
	if n, ok := resp.ParseInt(args[1]); !ok || n < 0 || n > 1 {
		r.Error("ERR value is out of range, value must between 0 and 1")
		return
	}
	if n, ok := resp.ParseInt(args[2]); !ok || n < 0 {
		r.Error("ERR value is out of range, must be positive")
		return
	}
	if _, text := parseTimeout(args[3]); text != "" {
		r.Error(text)
		return
	}
	r.Array(2)
	r.Int(1)
	r.Int(r.s.sureReplicas())
}

// lolwut plays what the name says: all together.
func lolwut(r *request, _ [][]byte) {
	staves := []string{
		"   _________________________________________ ",
		"  |____|\\_______________o___________________|",
		"  |____|/________o______|_______o___________|",
		"  |___/|_________|______|_______|_______o___|",
		"  |__(_|_)_______|______________|_______|___|",
		"  |____|_________|______________|_______|___|",
		"      _|                                     ",
	}
	r.Verbatim(strings.Join(staves, "\n") + "\n\ntutti: many machines, one computer. tutti ver. " + r.s.cfg.Node.Version + "\n")
}

func doctor(r *request, _ [][]byte) {
	b, err := r.s.cfg.Doctor(r.s.ctx)
	if err != nil {
		r.Error("ERR " + err.Error())
		return
	}
	r.Bulk(b)
}

func status(r *request, args [][]byte) {
	alone := len(args) == 2
	if len(args) > 2 || alone && !resp.IsWord(args[1], "LOCAL") {
		r.Error(command.TextSyntax)
		return
	}
	b, err := r.s.cfg.Status(r.s.ctx, alone)
	if err != nil {
		r.Error("ERR " + err.Error())
		return
	}
	r.Bulk(b)
}

// renewTimeout is what a node may take to get new certificates.
const renewTimeout = 15 * time.Second

func renewCerts(r *request, _ [][]byte) {
	ctx, cancel := context.WithTimeout(r.s.ctx, renewTimeout)
	defer cancel()
	if err := r.s.cfg.RenewCerts(ctx); err != nil {
		r.Error(fmt.Sprintf("ERR the certificates were not renewed: %v. The old ones are used on; the node tries again by itself.", err))
		return
	}
	r.OK()
}
