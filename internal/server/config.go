package server

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/command"
	"tutti/internal/glob"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// config is the settings that CONFIG GET and CONFIG SET know. They belong to
// the node, not to the cluster, and last until it stops.
type config struct {
	held       budget       // maxmemory-clients
	timeout    atomic.Int64 // seconds an idle client is kept; 0: for ever
	clientsMax atomic.Int64
	limits     atomic.Pointer[resp.Limits] // of every connection's reader
	outBounds  atomic.Pointer[outBounds]   // of every connection's outbox

	mu     sync.Mutex        // guards values
	values map[string]string // by name, of every row of settings
	denied *denials          // which a setting bounds
	wants  func(events uint16)
	tracks func(keysMax int)
}

// newConfig returns the defaults, with what this node knows of itself.
func newConfig(cfg Config, log *slowlog, denied *denials) *config {
	c := &config{values: make(map[string]string, len(settings)), denied: denied, wants: cfg.Messages.SetEvents, tracks: cfg.Tracked.SetMax}
	for i := range settings {
		c.values[settings[i].name] = settings[i].value
	}
	c.values["maxclients"] = fmt.Sprint(cfg.ClientsMax)
	c.values["maxmemory-clients"] = fmt.Sprint(cfg.ClientBytesMax)
	c.values["dir"] = cfg.Node.Dir
	if cfg.Debug {
		c.values["enable-debug-command"] = "yes"
	}
	if cfg.Node.Client != "" {
		c.values["bind"], c.values["port"] = splitAddr(cfg.Node.Client)
	}
	c.limits.Store(&resp.Limits{})
	c.held.turns = newTurns(cfg.ClientBytesMax)
	c.apply(log)
	return c
}

func (c *config) idleTimeout() time.Duration { return time.Duration(c.timeout.Load()) * time.Second }

// number returns a setting whose row checks that it is an integer.
func (c *config) number(name string) int64 {
	n, ok := resp.ParseInt([]byte(c.values[name]))
	if !ok {
		panic("server: setting " + name + " is no number: " + c.values[name])
	}
	return n
}

// apply hands the settings that have an effect to what they affect. c.mu is
// held, or c is still being made.
func (c *config) apply(log *slowlog) {
	c.timeout.Store(c.number("timeout"))
	c.clientsMax.Store(c.number("maxclients"))
	c.held.max.Store(c.number("maxmemory-clients"))
	limits := resp.Limits{BulkLenMax: c.number("proto-max-bulk-len"), CommandLenMax: c.number("client-query-buffer-limit")}
	if limits != *c.limits.Load() {
		c.limits.Store(&limits)
	}
	bounds := parseOutBounds(c.values["client-output-buffer-limit"])
	c.outBounds.Store(&bounds)
	log.threshold.Store(c.number("slowlog-log-slower-than"))
	log.setLenMax(int(c.number("slowlog-max-len")))
	log.spikes.Keep(c.number("latency-monitor-threshold"))
	events, _ := parseEvents(c.values["notify-keyspace-events"])
	if events&(keyspace.ByKey|keyspace.ByEvent) == 0 {
		events = 0
	}
	c.wants(uint16(events))
	c.tracks(int(c.number("tracking-table-max-keys")))
	c.denied.setLenMax(int(min(c.number("acllog-max-len"), denialsMax)))
}

// value returns the value of one setting.
func (c *config) value(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values[name]
}

// match lists the settings that are asked for, with their values: those whose name,
// or other name, matches a pattern in any case, and those asked for by name, hidden
// ones too, which are called as they were asked for.
func (c *config) match(patterns [][]byte) [][2]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list [][2]string
	for i := range settings {
		row := &settings[i]
		for _, name := range []string{row.name, row.alias} {
			if as, asked := askedAs(patterns, name, row.hidden); asked {
				list = append(list, [2]string{as, c.values[row.name]})
			}
		}
	}
	return list
}

// askedAs returns what a setting called name is to be called in the reply to patterns.
func askedAs(patterns [][]byte, name string, hidden bool) (as string, asked bool) {
	for _, p := range patterns {
		switch lower := bytes.ToLower(p); {
		case name == "":
		case string(lower) == name:
			return string(p), true
		case !hidden && glob.Match(lower, []byte(name)):
			return name, true
		}
	}
	return "", false
}

// set changes several settings, or none: then text is the error.
func (c *config) set(pairs [][]byte, log *slowlog) (text string) {
	if len(pairs)%2 != 0 {
		return command.TextSyntax
	}
	rows := make([]*setting, 0, len(pairs)/2)
	failed := func(i int, why string) string {
		return "ERR CONFIG SET failed (possibly related to argument '" + strings.ToLower(string(pairs[2*i])) + "') - " + why
	}
	for i := range len(pairs) / 2 {
		row := findSetting(strings.ToLower(string(pairs[2*i])))
		if row == nil {
			return "ERR Unknown option or number of arguments for CONFIG SET - '" + string(pairs[2*i]) + "'"
		}
		if slices.Contains(rows, row) {
			return failed(i, "duplicate parameter")
		}
		rows = append(rows, row)
	}
	changed := make(map[string]string)
	for i, row := range rows {
		value, wrong := row.parse(string(pairs[2*i+1]), c.value(row.name))
		if wrong != "" {
			return failed(i, wrong)
		}
		changed[row.name] = value
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, value := range changed {
		if name == "client-output-buffer-limit" {
			value = mergeClasses(c.values[name], value)
		}
		c.values[name] = value
	}
	c.apply(log)
	return ""
}

func (row *setting) parse(text, now string) (value, wrong string) {
	switch row.lock {
	case immutable:
		return "", "can't set immutable config"
	case protected:
		return "", "can't set protected config"
	case fixed:
		if text != now {
			return "", "a node can't change its address while it runs"
		}
		return text, ""
	}
	return row.check(text)
}

func configHandlers() map[string]handler {
	return map[string]handler{
		"config|get": configGet,
		"config|set": func(r *request, args [][]byte) {
			if text := r.s.config.set(args[2:], &r.s.logs.slow); text != "" {
				r.Error(text)
				return
			}
			settleMessages(r) // of notify-keyspace-events leaders must know
			r.OK()
		},
		"config|resetstat": func(r *request, _ [][]byte) { r.s.stats.reset(r.s.cfg.Router.Finds()); r.OK() },
		"config|rewrite":   func(r *request, _ [][]byte) { r.Error("ERR The server is running without a config file") },
		"config|help":      help,
	}
}

func configGet(r *request, args [][]byte) {
	list := r.s.config.match(args[2:])
	r.Map(len(list))
	for _, pair := range list {
		r.Pair(pair[0], pair[1])
	}
}
