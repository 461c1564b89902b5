package check

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What each model takes and what it does not.
func TestModels(t *testing.T) {
	const bad = "not linearizable"
	for _, c := range []struct {
		model, name string
		want        string
		ops         string
	}{
		{"register", "serial", "", `
			1-2 1: GET k -> nil
			3-4 1: SET k a -> OK
			5-6 1: GETSET k 5 -> a
			7-8 1: INCR k -> (6)
			9-10 1: DECRBY k 10 -> (-4)
			11-12 1: SET k x NX -> nil
			13-14 1: SET k x NX GET -> -4
			15-16 1: SET k x XX GET -> -4
			17-18 1: INCR k -> -ERR value is not an integer or out of range
			19-20 1: SETNX k y -> (0)
			21-22 1: APPEND k yz -> (3)
			23-24 1: GETDEL k -> xyz
			25-26 1: SET k x XX -> nil
			27-28 1: SET k x GET -> nil
			29-30 1: DEL k -> (1)
			31-32 1: DEL k -> (0)`},
		{"register", "concurrent", "", `
			1-9 1: SET k a -> OK
			2-8 2: SET k b -> OK
			3-4 3: GET k -> b
			5-6 3: GET k -> a
			10-11 3: GET k -> a`},
		{"register", "stale read", bad, `
			1-2 1: SET k a -> OK
			3-4 1: SET k b -> OK
			5-6 2: GET k -> a`},
		{"register", "two reads out of order", bad, `
			1-2 1: SET k a -> OK
			3-9 1: SET k b -> OK
			4-5 2: GET k -> b
			6-7 3: GET k -> a`},
		{"register", "unknown write, applied later", "", `
			1-? 1: SET k a
			2-3 2: GET k -> nil
			4-5 2: GET k -> a`},
		{"register", "unknown write, applied and gone", bad, `
			1-? 1: SET k a
			2-3 2: GET k -> a
			4-5 2: GET k -> nil`},
		{"register", "unknown write, read under WATCH did not hold", "", `
			1-2 1: SET k a -> OK
			3-? 2: @GET k -> a; SET k b
			4-5 1: SET k c -> OK
			6-7 1: GET k -> c`},
		{"register", "unknown write, read under WATCH did not hold, applied", bad, `
			1-2 1: SET k a -> OK
			3-4 1: SET k c -> OK
			5-? 2: @GET k -> a; SET k b
			6-7 1: GET k -> b`},
		{"register", "failed write read", bad, `
			1-2! 1: SET k a
			3-4 1: GET k -> a`},
		{"register", "applied twice", bad, `
			1-2 1: INCR k -> (1)
			3-4 1: GET k -> 2`},
		{"register", "compare and set, both", bad, `
			1-2 1: SET k a -> OK
			3-9 1: @GET k -> a; SET k b -> OK
			4-8 2: @GET k -> a; SET k c -> OK`},
		{"register", "half of a transaction", bad, `
			1-9 1: SET k a -> OK; SET k b -> OK
			3-4 2: GET k -> a`},
		{"list", "serial", "", `
			1-2 1: LPOP k -> nil
			3-4 1: RPUSH k a b -> (2)
			5-6 1: LPUSH k c d -> (4)
			7-8 1: LRANGE k 0 -1 -> [d c a b]
			9-10 1: LRANGE k 1 -2 -> [c a]
			11-12 1: LPOP k -> d
			13-14 1: RPOP k -> b
			15-16 1: LLEN k -> (2)
			17-18 1: LRANGE k 5 9 -> []
			19-20 1: DEL k -> (1)`},
		{"list", "popped twice", bad, `
			1-2 1: RPUSH k a -> (1)
			3-9 1: LPOP k -> a
			4-8 2: LPOP k -> a`},
		{"list", "lost push", bad, `
			1-2 1: RPUSH k a -> (1)
			3-4 1: LRANGE k 0 -1 -> []`},
		{"hash", "serial", "", `
			1-2 1: HSET k f 1 g 2 -> (2)
			3-4 1: HSET k f 3 h 4 -> (1)
			5-6 1: HGETALL k -> [h 4 f 3 g 2]
			7-8 1: HINCRBY k f 2 -> (5)
			9-10 1: HSETNX k f 9 -> (0)
			11-12 1: HDEL k f x -> (1)
			13-14 1: HGET k f -> nil
			15-16 1: HEXISTS k g -> (1)
			17-18 1: HLEN k -> (2)
			19-20 1: HSET k s t -> (1)
			21-22 1: HINCRBY k s 1 -> -ERR hash value is not an integer
			23-24 1: DEL k -> (1)`},
		{"hash", "lost field", bad, `
			1-2 1: HSET k f 1 -> (1)
			3-4 1: HSET k g 1 -> (1)
			5-6 1: HGETALL k -> [g 1]`},
		{"set", "serial", "", `
			1-2 1: SADD k a b -> (2)
			3-4 1: SADD k b c -> (1)
			5-6 1: SMEMBERS k -> [c a b]
			7-8 1: SREM k a x -> (1)
			9-10 1: SISMEMBER k a -> (0)
			11-12 1: SCARD k -> (2)`},
		{"set", "back again", bad, `
			1-2 1: SADD k a -> (1)
			3-4 1: SREM k a -> (1)
			5-6 1: SMEMBERS k -> [a]`},
		{"sorted set", "serial", "", `
			1-2 1: ZADD k 5 a -> (1)
			3-4 1: ZADD k 3 b -> (1)
			5-6 1: ZINCRBY k 1 b -> 4
			7-8 1: ZINCRBY k 1 b -> 5
			9-10 1: ZRANGE k 0 -1 -> [a b]
			11-12 1: ZRANK k b -> (1)
			13-14 1: ZSCORE k c -> nil
			15-16 1: ZPOPMIN k -> [a 5]
			17-18 1: ZREM k a -> (0)
			19-20 1: ZCARD k -> (1)
			21-22 1: ZPOPMIN k -> [b 5]
			23-24 1: ZPOPMIN k -> []`},
		{"sorted set", "wrong order", bad, `
			1-2 1: ZADD k 5 a -> (1)
			3-4 1: ZADD k 3 b -> (1)
			5-6 1: ZRANGE k 0 -1 -> [a b]`},
		{"stream", "serial", "", `
			1-2 1: XREADGROUP GROUP g a COUNT 2 STREAMS k > -> -NOGROUP No such key 'k' or consumer group 'g' in XREADGROUP with GROUP option
			3-4 1: XGROUP CREATE k g 0 MKSTREAM -> OK
			5-6 1: XGROUP CREATE k g 0 MKSTREAM -> -BUSYGROUP Consumer Group name already exists
			7-8 1: XREADGROUP GROUP g a COUNT 2 STREAMS k > -> nil
			9-10 1: XADD k 7-* v x -> 7-0
			11-12 1: XADD k 7-* v y -> 7-1
			13-14 1: XREADGROUP GROUP g a COUNT 2 STREAMS k > -> [[k [[7-0 [v x]] [7-1 [v y]]]]]
			15-16 1: XREADGROUP GROUP g b COUNT 2 STREAMS k 0 -> [[k []]]
			17-18 1: XACK k g 7-0 -> (1)
			19-20 1: XACK k g 7-0 -> (0)
			21-22 1: XAUTOCLAIM k g b 0 0 COUNT 5 -> [0-0 [[7-1 [v y]]] []]
			23-24 1: XPENDING k g -> [(1) 7-1 7-1 [[b 1]]]
			25-26 1: XRANGE k - + -> [[7-0 [v x]] [7-1 [v y]]]`},
		{"stream", "delivered to two", bad, `
			1-2 1: XGROUP CREATE k g 0 MKSTREAM -> OK
			3-4 1: XADD k 7-* v x -> 7-0
			5-6 1: XREADGROUP GROUP g a COUNT 1 STREAMS k > -> [[k [[7-0 [v x]]]]]
			7-8 2: XREADGROUP GROUP g b COUNT 1 STREAMS k > -> [[k [[7-0 [v x]]]]]`},
		{"stream", "acknowledged by two", bad, `
			1-2 1: XGROUP CREATE k g 0 MKSTREAM -> OK
			3-4 1: XADD k 7-* v x -> 7-0
			5-6 1: XREADGROUP GROUP g a COUNT 1 STREAMS k > -> [[k [[7-0 [v x]]]]]
			7-10 1: XACK k g 7-0 -> (1)
			8-9 2: XACK k g 7-0 -> (1)`},
		{"stream", "delivered and forgotten", bad, `
			1-2 1: XGROUP CREATE k g 0 MKSTREAM -> OK
			3-4 1: XADD k 7-* v x -> 7-0
			5-? 1: XREADGROUP GROUP g a COUNT 1 STREAMS k >
			6-7 2: XREADGROUP GROUP g b COUNT 1 STREAMS k > -> nil
			8-9 2: XPENDING k g -> [(0) nil nil nil]`},
		{"stream", "id given twice", bad, `
			1-4 1: XADD k 7-* v x -> 7-0
			2-3 2: XADD k 7-* v y -> 7-0`},
		// Places are milliseconds; the bound on the error of time is 10.
		{"expiry", "serial", "", `
			1-2 1: SET k v PX 100 -> OK
			3-4 1: PTTL k -> (98)
			50-51 1: GET k -> v
			60-61 1: PEXPIRE k 1000 -> (1)
			900-901 1: GET k -> v
			1100-1101 1: GET k -> nil
			1102-1103 1: PTTL k -> (-2)
			1104-1105 1: PEXPIRE k 10 -> (0)
			1106-1107 1: SET k w NX -> OK
			1108-1109 1: PTTL k -> (-1)
			9000-9001 1: SET k x XX GET PX 5 -> w`},
		{"expiry", "within the bound", "", `
			1-2 1: SET k v PX 100 -> OK
			93-94 1: GET k -> nil
			95-96 1: SET k w PX 100 -> OK
			203-204 1: GET k -> w
			205-206 1: GET k -> nil`},
		{"expiry", "too early", bad, `
			1-2 1: SET k v PX 100 -> OK
			80-81 1: GET k -> nil`},
		{"expiry", "too late", bad, `
			1-2 1: SET k v PX 100 -> OK
			120-121 1: GET k -> v`},
		{"expiry", "back again", bad, `
			1-2 1: SET k v PX 100 -> OK
			100-101 1: GET k -> nil
			102-103 1: GET k -> v`},
		{"expiry", "expired without a time to live", bad, `
			1-2 1: SET k v -> OK
			9000-9001 1: GET k -> nil`},
		{"expiry", "wrong time to live", bad, `
			1-2 1: SET k v PX 1000 -> OK
			3-4 1: PTTL k -> (900)`},
		{"expiry", "expires inside a transaction", bad, `
			1-2 1: SET k v PX 100 -> OK
			100-101 1: GET k -> v; GET k -> nil`},
		{"expiry", "unknown prolonged", "", `
			1-2 1: SET k v PX 100 -> OK
			3-? 2: PEXPIRE k 1000
			500-501 1: GET k -> v`},
		{"expiry", "unknown without time to live does not expire anything", bad, `
			1-2 1: SET k v -> OK
			3-? 2: PEXPIRE x 5
			4-5 1: GET k -> nil`},
		{"lock", "passed on", "", `
			1-2 1: SET k t1 NX PX 1000 -> OK
			3-4 2: SET k t2 NX PX 1000 -> nil
			5-6 1: @GET k -> t1; DEL k -> (1)
			7-8 2: SET k t2 NX PX 1000 -> OK
			1050-1051 1: SET k t3 NX PX 1000 -> OK
			1052-1053! 2: @GET k -> t2; DEL k`},
		{"lock", "two holders", bad, `
			1-2 1: SET k t1 NX PX 1000 -> OK
			500-501 2: SET k t2 NX PX 1000 -> OK`},
		{"lock", "somebody else's released", bad, `
			1-2 1: SET k t1 NX PX 1000 -> OK
			1100-1101 2: SET k t2 NX PX 1000 -> OK
			1102-1103 1: @GET k -> t1; DEL k -> (1)`},
		{"lock", "held for ever", bad, `
			1-2 1: SET k t1 NX PX 1000 -> OK
			3000-3001 2: SET k t2 NX PX 1000 -> nil`},
	} {
		t.Run(c.model+"/"+strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			h := history(t, c.ops, Rule{Prefix: "k", Check: c.model}, Rule{Prefix: "x", Check: c.model})
			h.Suite.TimeError = TimeError{Early: Slack{Fixed: 10 * time.Millisecond}, Late: Slack{Fixed: 10 * time.Millisecond}}
			var want []string
			if c.want != "" {
				want = append(want, c.want)
			}
			wantNames(t, h, want...)
		})
	}
}

// What a search cannot do, and what no checker looks at, is no pass.
func TestHarnessMustKeepItsLimits(t *testing.T) {
	var long, crowd strings.Builder
	for i := range keyOpsMax + 1 {
		fmt.Fprintf(&long, "%d-%d 1: INCR k -> (%d)\n", 2*i+1, 2*i+2, i+1)
	}
	for i := range clientsMax + 1 {
		fmt.Fprintf(&crowd, "%d-%d %d: INCR k -> (%d)\n", 2*i+1, 2*i+2, i+1, i+1)
	}
	for name, c := range map[string]struct{ ops, check, want string }{
		"too many operations":  {long.String(), "register", "can be checked"},
		"too many clients":     {crowd.String(), "register", "can be checked"},
		"no such command":      {"1-2 1: RPUSH k a -> (1)", "register", "no such command"},
		"no such option":       {"1-2 1: SET k a PX 5 -> OK", "register", "no such command"},
		"wrong arity":          {"1-2 1: GET k k -> nil", "register", "no such command"},
		"several keys":         {"1-2 1: SET k a -> OK; SET k2 a -> OK", "register", "of one key"},
		"no checker":           {"1-2 1: SET k a -> OK", "registers", `no checker "registers"`},
		"no rule":              {"1-2 1: SET other a -> OK", "register", "no rule"},
		"no key":               {"1-2 1: PING -> PONG", "register", "no key"},
		"nothing":              {"", "register", "empty"},
		"value written twice":  {"1-2 1: RPUSH k a -> (1)\n3-4 1: RPUSH k a -> (2)", "append", "unique"},
		"no transaction":       {"1-2 1: LPUSH k a -> (1)", "append", "transactions are of"},
		"part of a list":       {"1-2 1: LRANGE k 0 5 -> []", "append", "transactions are of"},
		"keys of two rules":    {"1-2 1: RPUSH k a -> (1); RPUSH other a -> (1)", "append", "no rule"},
		"bank without a look":  {"1-2 1: SET k 5 -> OK", "bank", "nobody has read"},
		"counter counted down": {"1-2 1: INCRBY k -5 -> (-5)", "counter", "counters have"},
		"no final read":        {"1-2 1: INCR k -> (1)", "counter", "no final read"},
		"adds without an end":  {"1-2 1: SADD k a -> (1)", "adds", "no final read"},
		"adds not unique":      {"1-2 1: SADD k a -> (1)\n3-4 1: SADD k a -> (0)", "adds", "unique"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			_, err := Check(history(t, c.ops, Rule{Prefix: "k", Check: c.check}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A search without the time to finish is a violation, not a pass.
func TestUndecidedIsNoPass(t *testing.T) {
	h := history(t, "1-2 1: GET k -> nil", Rule{Check: "register"})
	j := judge{h: h, end: time.Now()}
	found, err := j.search(keyOps{"k", []int{0}}, Register())
	if err != nil || len(found) != 1 || found[0].Name != "undecided" {
		t.Errorf("%v, %v", found, err)
	}
}

// Many operations whose outcome nobody knows, and whose effect nobody saw, have
// millions of orders.
func TestManyUnknownAreDecided(t *testing.T) {
	text := func(unknown int, last string) string {
		text := "1-2 1: RPUSH k a -> (1)\n"
		for i := range unknown {
			text += fmt.Sprintf("3-? %d: RPUSH k v%d\n", 2+i%8, i)
		}
		return text + last
	}
	h := history(t, text(14, "5-6 1: LRANGE k 0 -1 -> [a]"), Rule{Check: "list"})
	began := time.Now()
	if found, err := Check(h); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if took := time.Since(began); took > searchTimeout/2 {
		t.Errorf("it took %v", took)
	}
	// That they are left out must not hide what is wrong.
	h = history(t, text(unknownFew+1, "5-6 1: LRANGE k 0 -1 -> [b]"), Rule{Check: "list"})
	if found, err := Check(h); err != nil || len(found) != 1 || found[0].Name != "not linearizable" {
		t.Errorf("%v, %v", found, err)
	}
}

// A swarm's history whose search did not end in 10 s beside other load: eight
// operations of unknown outcome, three of which had happened, and one more that could
// only have.
func TestUnknownThatNobodySawAreLeftOut(t *testing.T) {
	text, err := os.ReadFile("testdata/late.txt")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	h := history(t, string(text), Rule{Check: "stream"})
	if found, err := Check(h); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	if took := time.Since(began); took > searchTimeout/4 {
		t.Errorf("it took %v", took)
	}
	all := make([]int, len(h.Ops))
	for i := range all {
		all[i] = i
	}
	m := Stream()
	ops, err := m.operations(h, keyOps{"x:{52}", all})
	if err != nil {
		t.Fatal(err)
	}
	parts := guesses(ops)
	if len(parts) != 2 || len(parts[0]) != 21 || len(parts[1]) != 26 {
		t.Errorf("%d parts of %d operations", len(parts), len(ops))
	}
}

// When everything is wrong, only some of it is drawn.
func TestPicturesAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range picturesMax + 2 {
		fmt.Fprintf(&text, "%d-%d 1: GET k%d -> v\n", 2*i+1, 2*i+2, i)
	}
	found, err := Check(history(t, text.String(), Rule{Check: "register"}))
	if err != nil || len(found) != picturesMax+2 {
		t.Fatalf("%d violations, %v", len(found), err)
	}
	for i, v := range found {
		if (len(v.Page) > 0) != (i < picturesMax) {
			t.Errorf("violation %d: a picture of %d bytes", i, len(v.Page))
		}
	}
}

// A deadline may be bounded more tightly on its early side than on its late one,
// and by a share of the time to live.
func TestEarlyEndsHaveBoundsOfTheirOwn(t *testing.T) {
	late := TimeError{Early: Slack{10 * time.Millisecond, 0.05}, Late: Slack{2 * time.Second, 0.06}}
	for name, c := range map[string]struct{ model, ops, want string }{
		"early within bounds": {"expiry", `
			1-2 1: SET k v PX 1000 -> OK
			940-942 1: GET k -> nil`, ""},
		"seen absent early": {"expiry", `
			1-2 1: SET k v PX 1000 -> OK
			935-940 1: GET k -> nil`, "not linearizable"},
		"late within bounds": {"expiry", `
			1-2 1: SET k v PX 1000 -> OK
			3000-3001 1: GET k -> v`, ""},
		"lock passed on early": {"lock", `
			1-2 1: SET k t1 NX PX 1500 -> OK
			900-901 2: SET k t2 NX PX 1500 -> OK`, "not linearizable"},
		"prolonged, and early": {"lock", `
			1-2 1: SET k t1 NX PX 1000 -> OK
			500-501 1: @GET k -> t1; PEXPIRE k 1000 -> (1)
			1200-1201 2: SET k t2 NX PX 1500 -> OK`, "not linearizable"},
		"lock passed on in time": {"lock", `
			1-2 1: SET k t1 NX PX 1500 -> OK
			1400-1417 2: SET k t2 NX PX 1500 -> OK`, ""},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			h := history(t, c.ops, Rule{Prefix: "k", Check: c.model})
			h.Suite.TimeError = late
			var want []string
			if c.want != "" {
				want = append(want, c.want)
			}
			wantNames(t, h, want...)
		})
	}
}
