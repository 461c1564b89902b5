package node_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tutti/internal/node/nodetest"
	"tutti/internal/proof/check"
)

// forms are commands of each model; % is a value not used before, # a small
// number.
var forms = map[string][]string{
	"register": {"GET k", "SET k %", "SET k % NX", "SET k % XX GET", "SET k # GET", "GETSET k %", "GETDEL k", "APPEND k x", "STRLEN k",
		"EXISTS k", "SETNX k %", "INCR k", "DECR k", "INCRBY k #", "DECRBY k #", "DEL k", "SET k text"},
	"list": {"RPUSH k %", "RPUSH k % a %", "LPUSH k % b", "LPOP k", "RPOP k", "LLEN k", "LRANGE k 0 -1", "LRANGE k -# #", "LRANGE k # 5", "DEL k"},
	"hash": {"HSET k # %", "HSET k # % # %", "HSETNX k # %", "HGET k #", "HDEL k # #", "HGETALL k", "HLEN k", "HEXISTS k #", "HINCRBY k # #",
		"HSET k # text", "DEL k"},
	"set":        {"SADD k # # #", "SREM k # #", "SMEMBERS k", "SISMEMBER k #", "SCARD k", "DEL k"},
	"sorted set": {"ZADD k # #", "ZADD k -# #", "ZINCRBY k # #", "ZREM k #", "ZPOPMIN k", "ZSCORE k #", "ZRANK k #", "ZCARD k", "ZRANGE k 0 -1", "ZRANGE k # -#", "DEL k"},
	"stream": {"XADD k 7-* v %", "XADD k 7-* v %", "XADD k 7-* v %", "XGROUP CREATE k g 0 MKSTREAM", "XREADGROUP GROUP g c# COUNT # STREAMS k >", "XREADGROUP GROUP g c# COUNT # STREAMS k >",
		"XREADGROUP GROUP g c# COUNT # STREAMS k 0", "XACK k g 7-#", "XACK k g 7-#", "XACK k g 7-1#", "XAUTOCLAIM k g c# 0 0 COUNT #", "XPENDING k g", "XLEN k", "XRANGE k - +"},
	"expiry": {"SET k %", "SET k % PX 1#000", "SET k % NX GET PX 1#000", "SET k % XX PX 1", "GET k", "PTTL k", "PEXPIRE k 1#000", "PEXPIRE k #",
		"DEL k", "GET k", "PTTL k"},
}

// The models say what the product does, not only what the manual says: random
// commands of one client must be explained by them, alone and in MULTI.
func TestModelsAgreeWithTheProduct(t *testing.T) {
	c := nodetest.Start(t, nodetest.Options{})
	conn := c.Dial(0)
	for model, commands := range forms {
		t.Run(strings.ReplaceAll(model, " ", "_"), func(t *testing.T) {
			suite := check.Suite{Rules: []check.Rule{{Prefix: model, Check: model}}, TimeError: check.TimeError{Early: check.Slack{Fixed: 2 * time.Second}, Late: check.Slack{Fixed: 2 * time.Second}}}
			record := check.NewRecorder(suite, 0)
			r := rand.New(rand.NewPCG(1, 2))
			for n := range 600 {
				key := fmt.Sprint(model, n/100)
				args := draw(r, commands, key, n)
				if n%5 > 0 {
					op := record.Call(1, 1, check.Command(args...))
					record.Answered(op, check.FromRESP(conn.Do(args...)))
					continue
				}
				more := draw(r, commands, key, n+1000)
				op := record.Call(1, 1, check.Command(args...), check.Command(more...))
				conn.Do("MULTI")
				conn.Do(args...)
				conn.Do(more...)
				record.Executed(op, check.FromRESP(conn.Do("EXEC")))
			}
			h := record.History()
			found, err := check.Check(h)
			if err != nil {
				t.Fatal(err)
			}
			for i := range found {
				t.Error(found[i].Story(h))
			}
			if n := h.Count(check.OK); n != 600 {
				t.Errorf("only %d of 600 were answered", n)
			}
		})
	}
}

func draw(r *rand.Rand, commands []string, key string, n int) []string {
	args := strings.Fields(commands[r.IntN(len(commands))])
	for i := range args {
		switch {
		case args[i] == "k":
			args[i] = key
		case i > 1:
			args[i] = strings.ReplaceAll(args[i], "%", fmt.Sprint(n*100+i))
			args[i] = strings.ReplaceAll(args[i], "#", fmt.Sprint(1+r.IntN(7)))
		}
	}
	return args
}
