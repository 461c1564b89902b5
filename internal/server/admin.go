package server

import (
	"strconv"
	"strings"
)

// Commands about the machinery of a Redis server that tutti has none of, or
// another one. They are answered by what is true here, or refused.

const (
	errReplication = "ERR replication is not set up by commands: every node of the cluster holds a replica, and nodes follow each other by themselves. Nothing was changed."
	errFailover    = "ERR FAILOVER is not supported: the nodes elect leaders by themselves, and a stopped node hands over first. Nothing was changed."
	errShutdown    = "ERR SHUTDOWN is not supported: stop the node on its own machine, with SIGTERM. Nothing was changed."
	errMonitor     = "ERR MONITOR is not supported: it would show the data of all clients to this one. See SLOWLOG, CLIENT LIST and INFO commandstats."
	errModules     = "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
)

func adminHandlers() map[string]handler {
	all := map[string]handler{
		"info":         info,
		"time":         timeCmd,
		"role":         role,
		"lastsave":     func(c *conn, _ [][]byte) { c.int(c.s.cfg.Wall() / 1000) },
		"save":         func(c *conn, _ [][]byte) { c.ok() },
		"bgsave":       bgsave,
		"bgrewriteaof": func(c *conn, _ [][]byte) { c.simple("Background append only file rewriting started") },
		"wait":         wait,
		"waitaof":      waitaof,
		"lolwut":       lolwut,
		"debug":        debug,
		"module|list":  func(c *conn, _ [][]byte) { c.array(0) },
		"module|help":  help,

		"latency|doctor":    latencyDoctor,
		"latency|graph":     latencyGraph,
		"latency|histogram": func(c *conn, _ [][]byte) { c.pairs(0) },
		"latency|history":   func(c *conn, _ [][]byte) { c.array(0) },
		"latency|latest":    func(c *conn, _ [][]byte) { c.array(0) },
		"latency|reset":     func(c *conn, _ [][]byte) { c.int(0) },
		"latency|help":      help,
	}
	for text, names := range map[string][]string{
		errReplication: {"replicaof", "slaveof", "sync", "psync", "replconf"},
		errFailover:    {"failover"},
		errShutdown:    {"shutdown"},
		errMonitor:     {"monitor"},
		errModules:     {"module|load", "module|loadex", "module|unload"},
	} {
		for _, name := range names {
			all[name] = func(c *conn, _ [][]byte) { c.error(text) }
		}
	}
	return all
}

func timeCmd(c *conn, _ [][]byte) {
	ms := c.s.cfg.Wall()
	c.array(2)
	c.bulk(strconv.FormatInt(ms/1000, 10))
	c.bulk(strconv.FormatInt(ms%1000*1000, 10))
}

func role(c *conn, _ [][]byte) {
	c.array(3)
	c.bulk("master")
	c.int(0)
	c.array(0)
}

func bgsave(c *conn, args [][]byte) {
	if len(args) > 2 || len(args) == 2 && !is(args[1], "SCHEDULE") {
		c.error(errSyntax)
		return
	}
	c.simple("Background saving started")
}

// sureReplicas is how many nodes beside one are sure to hold every write that
// was acknowledged, on disk: a majority does. More may, and soon do, but nobody
// waits for them, so WAIT does not count them.
func (s *Server) sureReplicas() int64 { return int64(len(s.cfg.Node.Peers) / 2) }

// wait answers at once, even if more replicas are asked for: the number would
// not grow by waiting.
func wait(c *conn, args [][]byte) {
	if _, ok := parseInt(args[1]); !ok {
		c.error(errNotInt)
		return
	}
	if _, text := parseTimeout(args[2]); text != "" {
		c.error(text)
		return
	}
	c.int(c.s.sureReplicas())
}

func waitaof(c *conn, args [][]byte) {
	if n, ok := parseInt(args[1]); !ok || n < 0 || n > 1 {
		c.error("ERR value is out of range, value must between 0 and 1")
		return
	}
	if n, ok := parseInt(args[2]); !ok || n < 0 {
		c.error("ERR value is out of range, must be positive")
		return
	}
	if _, text := parseTimeout(args[3]); text != "" {
		c.error(text)
		return
	}
	c.array(2)
	c.int(1)
	c.int(c.s.sureReplicas())
}

func latencyDoctor(c *conn, _ [][]byte) {
	c.verbatim("Latency events are not sampled here. SLOWLOG GET lists the commands that took longest, INFO commandstats the time of each command.\n")
}

func latencyGraph(c *conn, args [][]byte) {
	c.error("ERR No samples available for event '" + string(args[2]) + "'")
}

// lolwut plays what the name says: all together.
func lolwut(c *conn, _ [][]byte) {
	staves := []string{
		"   _________________________________________ ",
		"  |____|\\_______________o___________________|",
		"  |____|/________o______|_______o___________|",
		"  |___/|_________|______|_______|_______o___|",
		"  |__(_|_)_______|______________|_______|___|",
		"  |____|_________|______________|_______|___|",
		"      _|                                     ",
	}
	c.verbatim(strings.Join(staves, "\n") + "\n\ntutti: many machines, one computer. tutti ver. " + c.s.cfg.Node.Version + "\n")
}
