package command

import (
	"fmt"
	"strings"
	"testing"
)

// stepsPerArg is what the groups of many clients count on, so that a full one stays
// below what a batch may take: see argsTogetherMax in internal/server.
const stepsPerArg = 4

// A light command takes a few steps for each of its arguments, whatever lies in its
// keys: large or small collections, strings, what has expired, nothing.
func TestLightCommandsAreLight(t *testing.T) {
	b := newBench(t)
	for n := range 40 {
		var fields, members, pairs strings.Builder
		for i := range 100 {
			fmt.Fprintf(&fields, " f%d v", n*100+i)
			fmt.Fprintf(&members, " m%d", n*100+i)
			fmt.Fprintf(&pairs, " %d m%d", i, n*100+i)
		}
		b.batch("HSET bighash"+fields.String(), "SADD bigset"+members.String(), "ZADD bigzset"+pairs.String(), "RPUSH biglist"+members.String(),
			"HSET goneh"+fields.String(), "PEXPIRE goneh 1000000", "SADD gones"+members.String(), "PEXPIRE gones 1000000")
	}
	b.batch("SET string 1", "HSET hash f1 1 f2 2", "SADD set m1 m2", "ZADD zset 1 m1 2 m2", "RPUSH list a b", "SET gone 1", "PEXPIRE gone 1000000")
	for i := range 40 {
		b.batch(fmt.Sprintf("XADD bigstream 7-%d"+strings.Repeat(" f v", 100), i))
	}
	b.batch("XADD stream 7-1 f v", "XADD stream 8-1 f v", "XGROUP CREATE stream group 0", "XREADGROUP GROUP group c STREAMS stream >",
		"XGROUP CREATE bigstream group 0", "XREADGROUP GROUP group c COUNT 30 STREAMS bigstream >")
	b.now += 2_000_000
	keys := []string{"bighash", "bigset", "bigzset", "biglist", "string", "hash", "set", "zset", "list", "gone", "goneh", "gones", "absent"}
	fill := func(word string, n int) string {
		var list strings.Builder
		for i := range n {
			fmt.Fprintf(&list, " "+word, i)
		}
		return list.String()
	}
	most := 0.0
	for _, name := range lightNames {
		keys := keys
		if name[0] == 'x' {
			keys = []string{"stream", "bigstream", "string", "absent"}
		}
		for i, key := range keys {
			several := strings.Join(append(append([]string{}, keys[i:]...), keys[:i]...), " ")
			for _, line := range []string{
				name + " " + key, name + " " + key + " f1", name + " " + key + " 1", name + " " + key + " f1 1", name + " " + key + " 1 f1",
				name + " " + key + " 1000 v", name + " " + key + fill("m%d", 30), name + " " + key + fill("f%d v", 15), name + " " + key + fill("7 m%d", 15),
				name + " " + key + " * f 1", name + " " + key + " *" + fill(" f%d v", 14), name + " " + key + " group 7-1", name + " " + key + " group" + fill("7-%d", 28),
				name + " " + several, name + " " + strings.ReplaceAll(several, " ", " v ") + " v", name + " " + key + fill("new%d", 30), name + " " + key + fill("7 new%d", 15),
			} {
				args := splitLine(t, line)
				cmd, _ := b.table.Lookup(args)
				if cmd == nil || !cmd.Light(args) {
					continue
				}
				tx := b.begin()
				ctx := Ctx{Tx: tx, Args: args}
				ctx.Proto = 2
				ctx.Run(cmd)
				if tx.Err() != nil {
					t.Fatal(tx.Err())
				}
				per := float64(tx.Steps()) / float64(len(args))
				if most = max(most, per); per > stepsPerArg {
					t.Errorf("%.60q takes %d steps for %d arguments", line, tx.Steps(), len(args))
				}
			}
		}
	}
	t.Logf("at most %.1f steps for each argument", most)
}

// What is too much for a light command, or not one at all.
func TestLight(t *testing.T) {
	table := NewTable()
	for line, want := range map[string]bool{
		"GET k": true, "SET k v": true, "SET k v EX 10": true, "INCR k": true, "LPOP k": true, "ZPOPMIN k": true, "DEL a b c": true,
		"LPOP k 100000": false, "ZPOPMAX k 9": false, "LRANGE k 0 -1": false, "SORT k": false, "KEYS *": false, "SUNIONSTORE a b c": false,
		"XADD k * f v": true, "XADD k 7-1 f v": true, "XLEN k": true, "XACK k g 7-1": true,
		"XADD k MAXLEN ~ 9 * f v": false, "XADD k NOMKSTREAM * f v": false, "XTRIM k MAXLEN 9": false, "XRANGE k - +": false,
		"SPOP k": false, "APPEND k v": false, "FLUSHALL": false, "PING": false, "GET": false,
		"MGET" + strings.Repeat(" k", lightArgsMax-1):   true,
		"MGET" + strings.Repeat(" k", lightArgsMax):     false,
		"SET k " + strings.Repeat("v", lightBytesMax-4): true,
		"SET k " + strings.Repeat("v", lightBytesMax-3): false,
	} {
		args := splitLine(t, line)
		cmd := table.Find(args[0])
		if got := cmd.Light(args) && !(cmd.Arity == 2 && len(args) == 1); got != want {
			t.Errorf("%.30s: %v", line, got)
		}
	}
}

// A call goes alone if all of it is evaluated in the loop of one shard, and at once.
func TestCallsThatGoAlone(t *testing.T) {
	b := newBench(t)
	for line, want := range map[string]bool{
		"EVAL x 1 k": true, "EVAL x 0": true, "EVALSHA 0 1 k": true, "FCALL f 1 k": true, "LREM k 0 x": true, "SET k v": true,
		"XREADGROUP GROUP g c STREAMS k >": true, "XADD k MAXLEN 1 * f v": true, "SINTERSTORE to a b": true, "SORT k STORE to": true,
		"XREADGROUP GROUP g c BLOCK 0 STREAMS k >": false, "BLPOP k 0": false, "BLMOVE a b LEFT LEFT 0": false, // they wait
		"EVAL_RO x 1 k": false, "LRANGE k 0 -1": false, "GET k": false, // for a view
		"FLUSHALL": false, "SUBSCRIBE c": false, "CONFIG SET timeout 1": false, // not of one shard
		"SET k " + strings.Repeat("v", lightBytesMax): false, // large
	} {
		args := splitLine(t, line)
		if cmd, why := b.table.Lookup(args); cmd == nil || cmd.Alone(args) != want {
			t.Errorf("%.60s: %s, want %t", line, why, want)
		}
	}
}
