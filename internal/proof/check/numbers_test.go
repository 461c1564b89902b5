package check

import (
	"strings"
	"testing"
)

// What the checkers of numbers, of adds and of final reads take and do not.
func TestCheckersOfOneNumber(t *testing.T) {
	for _, c := range []struct {
		name, want, ops string
		rule            Rule
	}{
		{"bank", "", `
			1-2 1: MSET a 60 b 40 -> OK
			3-9 1: DECRBY a 10 -> (50); INCRBY b 10 -> (50)
			4-8 2: GET a -> 50; GET b -> 50
			10-11 2: MGET a b -> [50 50]
			12-13 2: GET a -> 50`, Rule{Check: "bank", Total: 100}},
		{"bank torn", "sum", `
			1-2 1: MSET a 60 b 40 -> OK
			3-9 1: DECRBY a 10 -> (50); INCRBY b 10 -> (50)
			4-8 2: MGET a b -> [50 40]`, Rule{Check: "bank", Total: 100}},
		{"bank below zero", "negative", `
			1-2 1: MSET a 5 b 95 -> OK
			3-4 1: DECRBY a 10 -> (-5); INCRBY b 10 -> (105)
			5-6 2: MGET a b -> [-5 105]`, Rule{Check: "bank", Total: 100}},
		{"bank below zero allowed", "", `
			1-2 1: MSET a 5 b 95 -> OK
			3-4 1: DECRBY a 10 -> (-5); INCRBY b 10 -> (105)
			5-6 2: MGET a b -> [-5 105]`, Rule{Check: "bank", Total: 100, Negative: true}},
		{"bank lost an account", "balance sum", `
			1-2 1: MSET a 60 b 40 -> OK
			3-4 2: GET a -> 60; GET b -> nil
			5-6 2: GET a -> 60; GET b -> 30`, Rule{Check: "bank", Total: 100}},
		{"counter", "", `
			1-2 1: INCR k -> (1)
			3-9 1: INCR k -> (3)
			4-? 2: INCRBY k 5
			5-8 3: INCR k -> (2)
			10-11 1000: GET k -> 3
			12-13 1000: GET k -> 8`, Rule{Check: "counter"}},
		{"counter lost one", "count", `
			1-2 1: INCR k -> (1)
			3-4 1: INCR k -> (2)
			5-6 1000: GET k -> 1`, Rule{Check: "counter"}},
		{"counter counted one twice", "count", `
			1-2 1: INCR k -> (1)
			5-6 1000: GET k -> 2`, Rule{Check: "counter"}},
		{"counter counted a failed one", "count", `
			1-2! 1: INCR k
			5-6 1000: GET k -> 1`, Rule{Check: "counter"}},
		{"counter told two the same", "counted-twice", `
			1-9 1: INCR k -> (1)
			2-8 2: INCR k -> (1)
			3-? 3: INCR k
			10-11 1000: GET k -> 2`, Rule{Check: "counter"}},
		{"adds", "", `
			1-2 1: SADD k a b -> (2)
			3-? 1: SADD k c
			4-5! 1: SADD k d
			6-7 1000: SMEMBERS k -> [c a b]`, Rule{Check: "adds"}},
		{"adds to a list", "", `
			1-2 1: RPUSH k a -> (1)
			3-? 1: RPUSH k c
			6-7 1000: LRANGE k 0 -1 -> [a]`, Rule{Check: "adds"}},
		{"add lost", "lost", `
			1-2 1: SADD k a -> (1)
			6-7 1000: SMEMBERS k -> []`, Rule{Check: "adds"}},
		{"add lost for a while", "lost", `
			1-2 1: SADD k a -> (1)
			3-4 1: SMEMBERS k -> []
			6-7 1000: SMEMBERS k -> [a]`, Rule{Check: "adds"}},
		{"add doubled", "doubled", `
			1-2 1: RPUSH k a -> (1)
			6-7 1000: LRANGE k 0 -1 -> [a a]`, Rule{Check: "adds"}},
		{"add sent again", "doubled", `
			1-2 1: SADD k a -> (0)
			6-7 1000: SMEMBERS k -> [a]`, Rule{Check: "adds"}},
		{"phantom", "phantom", `
			1-2 1: SADD k a -> (1)
			6-7 1000: SMEMBERS k -> [a z]`, Rule{Check: "adds"}},
		{"phantom that failed", "phantom", `
			1-2! 1: SADD k a
			6-7 1000: SMEMBERS k -> [a]`, Rule{Check: "adds"}},
		{"phantom from the future", "phantom", `
			1-2 1: SMEMBERS k -> [a]
			3-4 1: SADD k a -> (1)
			6-7 1000: SMEMBERS k -> [a]`, Rule{Check: "adds"}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			wantNames(t, history(t, c.ops, c.rule), strings.Fields(c.want)...)
		})
	}
}

func TestFinalReads(t *testing.T) {
	const end = `
		1-2 1: HSET k a 1 b 2 -> (2)
		3-4 1000/1: HGETALL k -> [a 1 b 2]
		5-6 1000/2: HGETALL k -> [b 2 a 1]`
	h := history(t, end, Rule{Check: "hash"})
	h.Suite.FinalNodes = []int{1, 2}
	wantNames(t, h)

	h.Suite.FinalNodes = []int{1, 2, 3}
	if _, err := Check(h); err == nil || !strings.Contains(err.Error(), "not read through nodes [3]") {
		t.Errorf("a node was left out: %v", err)
	}

	// An unknown write that one node has and the other has not, for ever: each
	// read alone could be right.
	h = history(t, `
		1-? 1: SET k a
		3-4 1000/1: GET k -> nil
		5-6 1000/2: GET k -> a`, Rule{Check: "register"})
	h.Suite.FinalNodes = []int{1, 2}
	wantNames(t, h, "final-reads-differ")
}
