package server

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// setting is a row of the table of settings.
type setting struct {
	name, alias string // alias: what older versions call it
	value       string // the default
	lock        lock
	hidden      bool // from patterns
	// check returns the value in its one form, or what is wrong with it.
	check func(text string) (value, wrong string)
}

// lock says who may change a setting.
type lock int

const (
	open      lock = iota
	immutable      // nobody while the node runs
	protected      // as immutable; Redis has it for what an intruder would change
	fixed          // as immutable, but its own value may be set again
)

// settings are those that clients, tools and test suites ask for. Those with an
// effect are applied by config.apply; the others are accepted with the values
// that Redis accepts where leaving them without effect harms nobody, such as
// tuning, and refused where somebody would rely on it.
var settings = []setting{
	{name: "acllog-max-len", value: "128", check: integer(0, math.MaxInt64)},
	{name: "activedefrag", value: "no", check: yesNo},
	{name: "active-expire-effort", value: "1", check: integer(1, 10)},
	{name: "activerehashing", value: "yes", check: yesNo},
	{name: "appendfilename", value: "appendonly.aof", lock: immutable},
	{name: "appendfsync", value: "always", check: choice("everysec", "always", "no")},
	{name: "appendonly", value: "yes", check: yesNo},
	{name: "aof-load-truncated", value: "yes", check: yesNo},
	{name: "aof-use-rdb-preamble", value: "yes", check: yesNo},
	{name: "auto-aof-rewrite-min-size", value: "67108864", check: memory(0, math.MaxInt64)},
	{name: "auto-aof-rewrite-percentage", value: "100", check: integer(0, math.MaxInt32)},
	{name: "bind", value: "", lock: fixed},
	{name: "busy-reply-threshold", alias: "lua-time-limit", value: "5000", check: integer(0, math.MaxInt64)},
	{name: "client-output-buffer-limit", value: "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", check: outputLimits},
	// Lower than Redis's 1 GiB: no command may write more than 16 MiB, so there
	// is no use in receiving more.
	{name: "client-query-buffer-limit", value: "67108864", check: memory(1<<20, math.MaxInt64)},
	{name: "cluster-allow-reads-when-down", value: "no", check: yesNo},
	{name: "cluster-enabled", value: "no", lock: immutable},
	{name: "cluster-node-timeout", value: "15000", check: integer(0, math.MaxInt64)},
	{name: "cluster-require-full-coverage", value: "yes", check: yesNo},
	{name: "daemonize", value: "no", lock: immutable},
	{name: "databases", value: "16", lock: immutable},
	{name: "dbfilename", value: "dump.rdb", lock: protected},
	{name: "dir", value: "", lock: protected},
	{name: "dynamic-hz", value: "yes", check: yesNo},
	{name: "enable-debug-command", value: "no", lock: immutable},
	{name: "enable-module-command", value: "no", lock: immutable},
	{name: "enable-protected-configs", value: "no", lock: immutable},
	{name: "hash-max-listpack-entries", alias: "hash-max-ziplist-entries", value: "512", check: integer(0, math.MaxInt64)},
	{name: "hash-max-listpack-value", alias: "hash-max-ziplist-value", value: "64", check: memory(0, math.MaxInt64)},
	{name: "hll-sparse-max-bytes", value: "3000", check: memory(0, math.MaxInt64)},
	{name: "hz", value: "10", check: clamped(1, 500)},
	{name: "io-threads", value: "1", lock: immutable},
	{name: "jemalloc-bg-thread", value: "yes", check: yesNo},
	{name: "key-load-delay", value: "0", hidden: true, check: integer(math.MinInt32, math.MaxInt32)},
	{name: "latency-monitor-threshold", value: "0", check: integer(0, math.MaxInt64)},
	{name: "latency-tracking", value: "yes", check: yesNo},
	{name: "latency-tracking-info-percentiles", value: "50 99 99.9", check: percentiles},
	{name: "lazyfree-lazy-eviction", value: "no", check: yesNo},
	{name: "lazyfree-lazy-expire", value: "no", check: yesNo},
	{name: "lazyfree-lazy-server-del", value: "no", check: yesNo},
	{name: "lazyfree-lazy-user-del", value: "no", check: yesNo},
	{name: "lazyfree-lazy-user-flush", value: "no", check: yesNo},
	{name: "lfu-decay-time", value: "1", check: integer(0, math.MaxInt32)},
	{name: "lfu-log-factor", value: "10", check: integer(0, math.MaxInt32)},
	{name: "list-compress-depth", value: "0", check: integer(0, math.MaxInt32)},
	{name: "list-max-listpack-size", alias: "list-max-ziplist-size", value: "-2", check: integer(math.MinInt32, math.MaxInt32)},
	{name: "logfile", value: "", lock: immutable},
	{name: "loglevel", value: "notice", check: choice("debug", "verbose", "notice", "warning", "nothing")},
	{name: "masterauth", value: "", check: only("", "nodes replicate by their own links, with certificates")},
	{name: "masteruser", value: "", check: only("", "nodes replicate by their own links, with certificates")},
	{name: "maxclients", value: "10000", check: integer(1, math.MaxUint32)},
	{name: "maxmemory", value: "0", check: memoryZero},
	// What does not fit is refused; no client is evicted.
	{name: "maxmemory-clients", value: "0", check: memory(0, math.MaxInt64)},
	{name: "maxmemory-eviction-tenacity", value: "10", check: integer(0, 100)},
	{name: "maxmemory-policy", value: "noeviction", check: noeviction},
	{name: "maxmemory-samples", value: "5", check: integer(1, 64)},
	{name: "min-replicas-max-lag", alias: "min-slaves-max-lag", value: "10", check: integer(0, math.MaxInt32)},
	{name: "min-replicas-to-write", alias: "min-slaves-to-write", value: "0", check: only("0", "every write is on the disks of a majority before it is answered; that can't be changed")},
	{name: "no-appendfsync-on-rewrite", value: "no", check: yesNo},
	{name: "notify-keyspace-events", value: "", check: eventClasses},
	{name: "pidfile", value: "", lock: immutable},
	{name: "port", value: "6379", lock: fixed},
	{name: "protected-mode", value: "yes", check: only("yes", "clients of other machines are served only once they have logged in: ACL SETUSER")},
	{name: "proto-max-bulk-len", value: "536870912", check: memory(1<<20, math.MaxInt64)},
	{name: "rdbchecksum", value: "yes", lock: immutable},
	{name: "rdbcompression", value: "yes", check: yesNo},
	{name: "rdb-key-save-delay", value: "0", hidden: true, check: integer(math.MinInt32, math.MaxInt32)},
	{name: "repl-backlog-size", value: "1048576", check: memory(1, math.MaxInt64)},
	{name: "repl-backlog-ttl", value: "3600", check: integer(0, math.MaxInt64)},
	{name: "repl-diskless-load", value: "disabled", check: choice("disabled", "on-empty-db", "swapdb")},
	{name: "repl-diskless-sync", value: "yes", check: yesNo},
	{name: "repl-diskless-sync-delay", value: "5", check: integer(0, math.MaxInt32)},
	{name: "repl-timeout", value: "60", check: integer(1, math.MaxInt32)},
	{name: "replica-priority", alias: "slave-priority", value: "100", check: integer(0, math.MaxInt32)},
	{name: "replica-read-only", alias: "slave-read-only", value: "yes", check: yesNo},
	{name: "replica-serve-stale-data", alias: "slave-serve-stale-data", value: "yes", check: yesNo},
	{name: "replicaof", alias: "slaveof", value: "", lock: immutable},
	{name: "requirepass", value: "", check: only("", "passwords belong to users, which all nodes share: ACL SETUSER")},
	{name: "sanitize-dump-payload", value: "yes", check: choice("no", "yes", "clients")},
	{name: "save", value: "", check: savePoints},
	{name: "set-max-intset-entries", value: "512", check: integer(0, math.MaxInt64)},
	{name: "set-max-listpack-entries", value: "128", check: integer(0, math.MaxInt64)},
	{name: "set-max-listpack-value", value: "64", check: memory(0, math.MaxInt64)},
	{name: "shutdown-timeout", value: "10", check: integer(0, math.MaxInt32)},
	{name: "slowlog-log-slower-than", value: "10000", check: integer(-1, math.MaxInt64/1000)},
	{name: "slowlog-max-len", value: "128", check: integer(0, slowlogLenMax)},
	{name: "stop-writes-on-bgsave-error", value: "yes", check: yesNo},
	{name: "stream-node-max-bytes", value: "4096", check: memory(0, math.MaxInt64)},
	{name: "stream-node-max-entries", value: "100", check: integer(0, math.MaxInt64)},
	{name: "supervised", value: "no", lock: immutable},
	{name: "tcp-backlog", value: "511", lock: immutable},
	{name: "tcp-keepalive", value: "300", check: integer(0, math.MaxInt32)},
	{name: "timeout", value: "0", check: integer(0, math.MaxInt32)},
	{name: "tls-port", value: "0", lock: immutable},
	{name: "tracking-table-max-keys", value: "1000000", check: integer(0, math.MaxInt64)},
	{name: "unixsocket", value: "", lock: immutable},
	{name: "zset-max-listpack-entries", alias: "zset-max-ziplist-entries", value: "128", check: integer(0, math.MaxInt64)},
	{name: "zset-max-listpack-value", alias: "zset-max-ziplist-value", value: "64", check: memory(0, math.MaxInt64)},
}

// slowlogLenMax bounds the memory of the slow log.
const slowlogLenMax = 1 << 20

// findSetting returns the row called name, in lower case, or nil.
func findSetting(name string) *setting {
	for i := range settings {
		if name != "" && (settings[i].name == name || settings[i].alias == name) {
			return &settings[i]
		}
	}
	return nil
}

// secretSetting reports whether values of the setting stay out of logs.
func secretSetting(name []byte) bool {
	switch strings.ToLower(string(name)) {
	case "requirepass", "masterauth", "masteruser", "tls-key-file-pass", "tls-client-key-file-pass":
		return true
	}
	return false
}

func yesNo(text string) (value, wrong string) {
	switch value = strings.ToLower(text); value {
	case "yes", "no":
		return value, ""
	}
	return "", "argument must be 'yes' or 'no'"
}

func choice(words ...string) func(text string) (value, wrong string) {
	return func(text string) (value, wrong string) {
		if value = strings.ToLower(text); slices.Contains(words, value) {
			return value, ""
		}
		return "", "argument(s) must be one of the following: " + strings.Join(words, ", ")
	}
}

// only accepts a single value and says why.
func only(value, why string) func(text string) (string, string) {
	return func(text string) (string, string) {
		if text == value {
			return value, ""
		}
		return "", why
	}
}

func integer(low, high int64) func(text string) (value, wrong string) {
	return func(text string) (value, wrong string) {
		n, ok := resp.ParseInt([]byte(text))
		if !ok {
			return "", "argument couldn't be parsed into an integer"
		}
		return inRange(n, low, high)
	}
}

// clamped takes any integer, and of those outside the nearest inside, as Redis does.
func clamped(low, high int64) func(text string) (value, wrong string) {
	return func(text string) (value, wrong string) {
		n, ok := resp.ParseInt([]byte(text))
		if !ok {
			return "", "argument couldn't be parsed into an integer"
		}
		return strconv.FormatInt(min(max(n, low), high), 10), ""
	}
}

func memory(low, high int64) func(text string) (value, wrong string) {
	return func(text string) (value, wrong string) {
		n, ok := parseMemory(text)
		if !ok {
			return "", "argument must be a memory value"
		}
		return inRange(n, low, high)
	}
}

func inRange(n, low, high int64) (value, wrong string) {
	if n < low || n > high {
		return "", fmt.Sprintf("argument must be between %d and %d inclusive", low, high)
	}
	return strconv.FormatInt(n, 10), ""
}

func memoryZero(text string) (value, wrong string) {
	n, ok := parseMemory(text)
	switch {
	case !ok:
		return "", "argument must be a memory value"
	case n != 0:
		return "", "data lives on disk, and nothing is ever evicted to save memory"
	}
	return "0", ""
}

var policies = choice("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction")

func noeviction(text string) (value, wrong string) {
	if value, wrong = policies(text); wrong == "" && value != "noeviction" {
		return "", "data lives on disk, and nothing is ever evicted to save memory"
	}
	return value, wrong
}

// parseMemory parses a number of bytes with a unit such as 64mb.
func parseMemory(text string) (int64, bool) {
	digits := strings.TrimRight(text, "bBkKmMgG")
	n, ok := resp.ParseInt([]byte(digits))
	if !ok || n < 0 {
		return 0, false
	}
	factors := map[string]int64{"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1000 * 1000, "mb": 1 << 20, "g": 1000 * 1000 * 1000, "gb": 1 << 30}
	factor, ok := factors[strings.ToLower(text[len(digits):])]
	if !ok || n > math.MaxInt64/factor {
		return 0, false
	}
	return n * factor, true
}

// savePoints accepts pairs of seconds and changes.
func savePoints(text string) (value, wrong string) {
	fields := strings.Fields(text)
	if len(fields)%2 != 0 {
		return "", "Invalid save parameters"
	}
	for i, f := range fields {
		if n, ok := resp.ParseInt([]byte(f)); !ok || n < 0 || n == 0 && i%2 == 0 {
			return "", "Invalid save parameters"
		}
	}
	return strings.Join(fields, " "), ""
}

// eventLetters are the letters of classes of events, in the order in which Redis shows
// them.
const eventLetters = "g$lshzxetdnKEm"

var eventBits = map[rune]keyspace.Classes{'g': keyspace.EventGeneric, '$': keyspace.EventString, 'l': keyspace.EventList, 's': keyspace.EventSet,
	'h': keyspace.EventHash, 'z': keyspace.EventZSet, 'x': keyspace.EventExpired, 'e': keyspace.EventEvicted, 't': keyspace.EventStream,
	'd': keyspace.EventModule, 'n': keyspace.EventNew, 'K': keyspace.ByKey, 'E': keyspace.ByEvent, 'm': keyspace.EventMissed, 'A': keyspace.EventsDefault}

// parseEvents parses letters of classes; ok is false if there are others.
func parseEvents(text string) (c keyspace.Classes, ok bool) {
	for _, letter := range text {
		bit := eventBits[letter]
		if bit == 0 {
			return 0, false
		}
		c |= bit
	}
	return c, true
}

func eventClasses(text string) (value, wrong string) {
	c, ok := parseEvents(text)
	switch {
	case !ok:
		return "", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
	case c&keyspace.EventMissed != 0:
		return "", "keys are read from any replica, which tells nobody of those that are not there"
	}
	rest := eventLetters
	if c&keyspace.EventsDefault == keyspace.EventsDefault {
		value, rest = "A", "nKEm" // n is none of them
	}
	for _, letter := range rest {
		if c&eventBits[letter] != 0 {
			value += string(letter)
		}
	}
	return value, ""
}

// percentiles accepts numbers from 0 to 100.
func percentiles(text string) (value, wrong string) {
	fields := strings.Fields(text)
	for _, f := range fields {
		switch p, err := strconv.ParseFloat(f, 64); {
		case err != nil || math.IsNaN(p):
			return "", "Invalid latency-tracking-info-percentiles parameters"
		case p < 0 || p > 100:
			return "", "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
		}
	}
	return strings.Join(fields, " "), ""
}

// outputLimits accepts classes of clients with their three limits each.
func outputLimits(text string) (value, wrong string) {
	fields := strings.Fields(text)
	if len(fields)%4 != 0 {
		return "", "Wrong number of arguments in buffer limit configuration."
	}
	for i := 0; i < len(fields); i += 4 {
		fields[i] = strings.ToLower(fields[i])
		if fields[i] == "replica" {
			fields[i] = "slave"
		}
		if !slices.Contains([]string{"normal", "slave", "pubsub"}, fields[i]) {
			return "", "Invalid client class specified in buffer limit configuration."
		}
		for j := i + 1; j < i+4; j++ {
			n, ok := parseMemory(fields[j])
			if !ok {
				return "", "Error in hard, soft or soft_seconds setting in buffer limit configuration."
			}
			fields[j] = strconv.FormatInt(n, 10)
		}
	}
	return strings.Join(fields, " "), ""
}

// mergeClasses replaces in old the classes that changed names.
func mergeClasses(old, changed string) string {
	merged, fields := strings.Fields(old), strings.Fields(changed)
	for i := 0; i < len(fields); i += 4 {
		at := slices.Index(merged, fields[i])
		copy(merged[at:at+4], fields[i:i+4])
	}
	return strings.Join(merged, " ")
}
