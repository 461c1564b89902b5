package command

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"tutti/internal/keyspace"
	"tutti/internal/resp"
)

// malformedLines are commands on one key each, %s, of whatever type it has; most
// look at all of it or change it.
var malformedLines = []string{
	"GET %s", "SET %s v", "APPEND %s x", "STRLEN %s", "SETRANGE %s 3 x", "INCR %s", "GETDEL %s", "BITCOUNT %s", "PFADD %s a", "PFCOUNT %s", "PFMERGE %s", "SETBIT %s 7 1",
	"HGETALL %s", "HSET %s m1 v new v", "HDEL %s m1 m2 m3", "HLEN %s", "HRANDFIELD %s -5", "HRANDFIELD %s 5 WITHVALUES", "HSCAN %s 0", "HINCRBY %s m1 1", "HGET %s m1",
	"SMEMBERS %s", "SADD %s m1 new", "SREM %s m1 m2", "SPOP %s 3", "SPOP %s", "SRANDMEMBER %s 99", "SRANDMEMBER %s -5", "SUNIONSTORE %s:2 %s", "SMOVE %s %s:2 m1", "SSCAN %s 0", "SISMEMBER %s m1",
	"LRANGE %s 0 -1", "LRANGE %s -5 -2", "LPUSH %s a b", "RPUSH %s a b", "LPOP %s 3", "RPOP %s 50", "LINDEX %s 17", "LSET %s 20 x", "LINSERT %s BEFORE m3 x", "LREM %s 0 m3", "LTRIM %s 5 9",
	"LTRIM %s 1 -1", "LPOS %s m30", "LMOVE %s %s:2 LEFT RIGHT", "RPOPLPUSH %s %s",
	"ZRANGE %s 0 -1 WITHSCORES", "ZRANGE %s 0 -1 REV", "ZRANGE %s 30 39", "ZRANGE %s 2 5", "ZADD %s 5 m1 7 new", "ZINCRBY %s 3 m1", "ZREM %s m1 m2", "ZPOPMIN %s 3", "ZPOPMAX %s 50", "ZRANK %s m30",
	"ZREVRANK %s m3", "ZCOUNT %s -inf +inf", "ZCOUNT %s 3 3000", "ZRANGEBYSCORE %s 0 5 WITHSCORES", "ZREMRANGEBYRANK %s 1 3", "ZREMRANGEBYSCORE %s 1 3", "ZREMRANGEBYLEX %s - +", "ZLEXCOUNT %s - +",
	"ZRANDMEMBER %s 5 WITHSCORES", "ZSCAN %s 0", "ZMSCORE %s m1 m2", "ZUNIONSTORE %s:2 2 %s %s", "ZRANGESTORE %s:2 %s 0 -1", "ZDIFF 2 %s %s:2",
	"XADD %s * f v", "XADD %s MAXLEN 2 * f v", "XLEN %s", "XRANGE %s - +", "XREVRANGE %s + - COUNT 2", "XDEL %s 1-1 20-1 3-1", "XTRIM %s MAXLEN 1", "XTRIM %s MINID 10", "XSETID %s 99-1", "XREAD STREAMS %s 0",
	"XREADGROUP GROUP g alice STREAMS %s >", "XREADGROUP GROUP g alice STREAMS %s 0", "XREADGROUP GROUP g new COUNT 2 STREAMS %s >", "XACK %s g 1-1 2-1", "XPENDING %s g", "XPENDING %s g - + 10", "XPENDING %s g - + 10 alice",
	"XCLAIM %s g bob 0 1-1 2-1 3-1", "XAUTOCLAIM %s g bob 0 0", "XGROUP CREATE %s h 0", "XGROUP DESTROY %s g", "XGROUP DELCONSUMER %s g alice", "XGROUP CREATECONSUMER %s g alice", "XGROUP SETID %s g 0", "XINFO STREAM %s", "XINFO STREAM %s FULL",
	"XINFO GROUPS %s", "XINFO CONSUMERS %s g",
	"DEL %s", "EXISTS %s", "TYPE %s", "TTL %s", "EXPIRE %s 100", "PERSIST %s", "RENAME %s %s:2", "RENAME %s other", "COPY %s %s:2", "DUMP %s", "SORT %s ALPHA", "OBJECT ENCODING %s", "TOUCH %s", "MOVE %s 3",
	"KEYS *", "SCAN 0 COUNT 100", "SCAN 0 TYPE hash", "RANDOMKEY", "DBSIZE",
}

// TestMalformedRows spoils one row after the other of keys of all types, and runs
// all commands that could meet it: each gives one well-formed reply, one that fails
// changes nothing, and none ends the transaction, as that would end the node.
func TestMalformedRows(t *testing.T) {
	b := newBench(t)
	for _, n := range []int{3, 40} {
		for i := range n {
			for _, line := range []string{"HSET {k}h%d m%d v", "SADD {k}s%d m%d", "RPUSH {k}l%d m%d"} {
				b.do(fmt.Sprintf(line, n, i))
			}
			b.do(fmt.Sprintf("ZADD {k}z%d %d m%d", n, i, i))
		}
	}
	for i := range 20 {
		b.do(fmt.Sprintf("XADD {k}x %d-1 f v", i+1))
	}
	b.do("XGROUP CREATE {k}x g 0")
	b.do("XGROUP CREATE {k}x other 0")
	b.do("XREADGROUP GROUP g alice COUNT 3 STREAMS {k}x >")
	b.do("XREADGROUP GROUP g bob COUNT 3 STREAMS {k}x >")
	b.do("SET {k}string value PX 100000")
	b.do("SET other v")
	type row struct{ key, val []byte }
	var rows []row
	it, err := b.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		rows = append(rows, row{slices.Clone(it.Key()), slices.Clone(it.Value())})
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	refused := map[string]int{}
	elements := map[string]int{}
	for _, r := range rows {
		if r.key[3] != 'm' { // of the elements of one object the first and some behind
			prefix := string(r.key[:12])
			if elements[prefix]++; elements[prefix]%13 != 1 {
				continue
			}
		}
		for name, spoil := range map[string]func() ([]byte, bool){
			"missing":    func() ([]byte, bool) { return nil, false },
			"empty":      func() ([]byte, bool) { return nil, true },
			"cut":        func() ([]byte, bool) { return r.val[:len(r.val)/2], true },
			"longer":     func() ([]byte, bool) { return append(slices.Clone(r.val), 0xff), true },
			"first byte": func() ([]byte, bool) { return spoiled(r.val, 0, 0x0b), true },
			"last byte":  func() ([]byte, bool) { return spoiled(r.val, len(r.val)-1, 0xff), true },
			"count":      func() ([]byte, bool) { return spoiled(r.val, 17, 0x01), true },
			"later":      func() ([]byte, bool) { return append([]byte{0x27, 9}, r.val...), true },
		} {
			val, there := spoil()
			if !there {
				err = b.db.Delete(r.key, pebble.NoSync)
			} else {
				err = b.db.Set(r.key, val, pebble.NoSync)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"{k}string", "{k}h3", "{k}h40", "{k}s3", "{k}s40", "{k}l3", "{k}l40", "{k}z3", "{k}z40", "{k}x"} {
				for _, line := range malformedLines {
					if line[0] == 'X' && key != "{k}x" {
						continue // it would only say that this is no stream
					}
					line = strings.ReplaceAll(line, "%s", key)
					if code := b.spoiledRun(fmt.Sprintf("%c row %x %s: %s", r.key[3], r.key, name, line), line); code != "" {
						refused[code]++
					}
				}
			}
			if err := b.db.Set(r.key, r.val, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
	}
	if refused["BADROW"] == 0 || refused["NEEDVERSION"] == 0 {
		t.Errorf("refused: %v", refused)
	}
}

func spoiled(val []byte, at int, by byte) []byte {
	val = slices.Clone(val)
	if at >= 0 && at < len(val) {
		val[at] ^= by
	}
	return val
}

// spoiledRun evaluates a command for nothing and returns the code of a refusal.
func (b *bench) spoiledRun(what, line string) (code string) {
	b.t.Helper()
	tx := b.tx()
	args := splitLine(b.t, line)
	cmd, text := b.table.Lookup(args)
	if cmd == nil {
		b.t.Fatal(text)
	}
	c := &Ctx{Writer: resp.Writer{Proto: b.proto}, Tx: tx, Args: args, Office: Office{Tasks: b.tasks}}
	defer func() {
		if p := recover(); p != nil {
			b.t.Fatalf("%s: panic: %v", what, p)
		}
	}()
	c.Run(cmd)
	if err := tx.Err(); err != nil {
		b.t.Fatalf("%s: the transaction has ended: %v", what, err)
	}
	if c.Failed() && tx.Size() != 0 {
		b.t.Fatalf("%s: failed, and changed something", what)
	}
	r := bufio.NewReader(bytes.NewReader(c.Out))
	v, err := resp.ReadValue(r)
	if err != nil {
		b.t.Fatalf("%s: reply %.200q: %v", what, c.Out, err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		b.t.Fatalf("%s: more than one reply: %.200q", what, c.Out)
	}
	for _, code := range []string{"BADROW", "NEEDVERSION"} {
		if strings.HasPrefix(string(v.Str), code) {
			return code
		}
	}
	return ""
}

// TestNestedCommands runs commands within a command, as a script does: one that
// fails takes back its own writes only, and 16 MiB bound all of them together.
func TestNestedCommands(t *testing.T) {
	b := newBench(t)
	call := func(c *Ctx, words ...string) bool {
		inner := &Ctx{Writer: resp.Writer{Proto: 2}, Tx: c.Tx}
		for _, w := range words {
			inner.Args = append(inner.Args, []byte(w))
		}
		cmd, text := b.table.Lookup(inner.Args)
		if cmd == nil {
			t.Fatal(text)
		}
		inner.Run(cmd)
		return !inner.Failed()
	}
	big := strings.Repeat("x", 6<<20)
	run := func(fail bool) *keyspace.Tx {
		tx := b.tx()
		c := &Ctx{Writer: resp.Writer{Proto: 2}, Tx: tx}
		c.Run(&Command{Name: "outer", Run: func(c *Ctx) {
			for _, step := range []struct {
				words []string
				ok    bool
			}{
				{[]string{"SET", "a", big}, true},
				{[]string{"LPUSH", "a", "x"}, false},
				{[]string{"SET", "b", big}, true},
				{[]string{"SET", "c", big}, false}, // 18 MiB together
				{[]string{"SET", "d", "small"}, true},
				{[]string{"MSET", "e", "1", "c", big}, false},
			} {
				if ok := call(c, step.words...); ok != step.ok {
					t.Errorf("%.20q: %v, want %v", step.words, ok, step.ok)
				}
			}
			if fail {
				c.Error("ERR in the end")
				return
			}
			c.OK()
		}})
		if c.Failed() != fail {
			t.Errorf("the outer command failed: %v, %.100q", c.Failed(), c.Out)
		}
		return tx
	}
	tx := run(false)
	for key, want := range map[string]bool{"a": true, "b": true, "c": false, "d": true, "e": false} {
		if got := tx.Open(0, []byte(key)) != nil; got != want {
			t.Errorf("%s exists: %v, want %v", key, got, want)
		}
	}
	if tx := run(true); !tx.Empty() || len(tx.KeyCounts()) > 0 {
		t.Errorf("%d bytes are left of a command that failed", tx.Size())
	}
}
