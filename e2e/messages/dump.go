package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"tutti/internal/proof/respclient"
	"tutti/internal/resp"
)

// dumped is a key of some type and encoding, and how it is made.
type dumped struct {
	name string
	cmds [][]string
}

// many is a command that is given n groups of arguments.
func many(n int, cmd []string, group func(i int) []string) [][]string {
	for i := range n {
		cmd = append(cmd, group(i)...)
	}
	return [][]string{cmd}
}

func words(line string) [][]string { return [][]string{strings.Fields(line)} }

func number(i int) []string { return []string{strconv.Itoa(i)} }

func named(prefix string) func(int) []string {
	return func(i int) []string { return []string{prefix + strconv.Itoa(i)} }
}

// dumpedKeys are keys of all types, of so many elements where they are large.
func dumpedKeys(large int) []dumped {
	noise := make([]byte, 20*large)
	random := rand.New(rand.NewPCG(5, 5))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return append([]dumped{
		{"an empty string", [][]string{{"SET", "k", ""}}},
		{"a small number", words("SET k 12345")},
		{"a large number", words("SET k -9223372036854775808")},
		{"a string", [][]string{{"SET", "k", strings.Repeat("x", 40)}}},
		{"a string of bytes", [][]string{{"SET", "k", string(noise)}}},
		{"a string that can be compressed", [][]string{{"SET", "k", strings.Repeat("abc", 70*large)}}},
		{"a short list", words("RPUSH k 1 -5 70000 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")},
		{"a long list", many(large, []string{"RPUSH", "k"}, named("elem"))},
		{"a list with a large element", [][]string{{"RPUSH", "k", "a", strings.Repeat("y", 20000), "b"}}},
		{"a list changed in its middle", append(many(large, []string{"RPUSH", "k"}, number), []string{"LINSERT", "k", "BEFORE", "150", "new"}, []string{"LREM", "k", "1", "70"})},
		{"a set of small numbers", words("SADD k 1 2 3 -4")},
		{"a set of large numbers", words("SADD k 1 1099511627776 -1152921504606846976")},
		{"a set of many numbers", many(400, []string{"SADD", "k"}, number)},
		{"a small set", words("SADD k a b 7")},
		{"a large set", many(large, []string{"SADD", "k"}, named("m"))},
		{"a small sorted set", words("ZADD k 1 a 1.5 b -inf c +inf d 3e300 e")},
		{"a large sorted set", many(large, []string{"ZADD", "k"}, func(i int) []string { return []string{strconv.Itoa(i/2) + ".5", "m" + strconv.Itoa(i)} })},
		{"a small hash", [][]string{{"HSET", "k", "a", "1", "b", "\x00\xff", "c", strings.Repeat("x", 60)}}},
		{"a hash with a long value", [][]string{{"HSET", "k", "a", strings.Repeat("x", 100)}}},
		{"a large hash", many(large, []string{"HSET", "k"}, func(i int) []string { return []string{"f" + strconv.Itoa(i), "v" + strconv.Itoa(i)} })},
		{"a sparse HyperLogLog", words("PFADD k a b c")},
		{"a dense HyperLogLog", many(4*large, []string{"PFADD", "k"}, named("e"))},
		{"bits", words("SETBIT k 100000 1")},
		{"positions", words("GEOADD k 13.36 38.11 Palermo 15.08 37.5 Catania")},
		{"a key with a deadline", words("SET k v PX 100000000")},
	}, dumpedStreams(large)...)
}

func dumpedStreams(large int) []dumped {
	entries := func(n int) (cmds [][]string) {
		for i := range n {
			cmds = append(cmds, []string{"XADD", "k", fmt.Sprintf("%d-%d", i+1, i%3), "n", strconv.Itoa(i), "t", "text"})
		}
		return cmds
	}
	script := func(text string) (cmds [][]string) {
		for line := range strings.SplitSeq(text, "; ") {
			cmds = append(cmds, strings.Fields(line))
		}
		return cmds
	}
	var other [][]string
	for i := range 50 {
		other = append(other, many(1+i%4, []string{"XADD", "k", strconv.Itoa(i+1) + "-0"}, func(j int) []string { return []string{"f" + strconv.Itoa(j), strings.Repeat("v", j)} })...)
	}
	return []dumped{
		{"a stream with a group and nothing else", words("XGROUP CREATE k g $ MKSTREAM")},
		{"a stream of one entry", words("XADD k 5-5 a b")},
		{"a stream", entries(300)},
		{"a stream whose fields differ", other},
		{"a stream with groups", append(entries(300), script("XGROUP CREATE k g 0; XGROUP CREATE k h 10-0; XGROUP CREATE k lag 0 ENTRIESREAD 7; "+
			"XREADGROUP GROUP g c1 COUNT 100 STREAMS k >; XREADGROUP GROUP g c2 COUNT 20 STREAMS k >; XREADGROUP GROUP h c1 NOACK COUNT 5 STREAMS k >; "+
			"XACK k g 1-0 3-2; XCLAIM k g c3 0 5-1 JUSTID; XGROUP CREATECONSUMER k g idle; XDEL k 7-0 9-2 300-2; XTRIM k MAXLEN 280")...)},
		{"a long stream that was trimmed", append(entries(4*large), script(fmt.Sprintf("XDEL k 7-0 %d-1; XTRIM k MAXLEN %d; XGROUP CREATE k g 0; XREADGROUP GROUP g c COUNT %d STREAMS k >", 2*large, 3*large, large))...)},
	}
}

// pipelined is how many commands are sent at once.
const pipelined = 500

// tryDump makes each key here and on redis-server and restores each on the other.
func tryDump(ctx context.Context, t *trial) (string, error) {
	nodes, err := t.dialAll(ctx)
	if err != nil {
		return "", err
	}
	other, err := dial(ctx, t.redis, 2)
	if err != nil {
		return "", err
	}
	defer func() {
		for _, c := range append(nodes, other) {
			c.close()
		}
	}()
	keys := dumpedKeys(pick(t.short, 500, 5000))
	for _, k := range keys {
		if err := k.try(nodes, other); err != nil {
			return "", fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return fmt.Sprintf("%d keys of all types and encodings: made alike, and the same when restored from here to redis-server, from there to here, and back", len(keys)), nil
}

// try compares the key as it is made, and after each way.
func (k dumped) try(nodes []*conn, other *conn) error {
	for _, c := range []*conn{nodes[0], other} {
		if err := k.make(c); err != nil {
			return err
		}
	}
	want, err := content(other, "k")
	if err != nil {
		return err
	}
	// Each is dumped, and looked at where it was restored, on another node than before.
	for _, way := range []struct {
		what     string
		from     *conn
		key      string
		to, look *conn
		restored string
	}{
		{what: "made here", look: nodes[1], restored: "k"},
		{what: "from here to redis-server", from: nodes[2], key: "k", to: other, look: other, restored: "k2"},
		{what: "from redis-server to here", from: other, key: "k", to: nodes[1], look: nodes[0], restored: "k2"},
		{what: "there and back", from: nodes[2], key: "k2", to: other, look: other, restored: "k3"},
	} {
		if way.from != nil {
			dump, err := way.from.do("DUMP", way.key)
			if err != nil {
				return fmt.Errorf("%s: %w", way.what, err)
			}
			if _, err := way.to.do("RESTORE", way.restored, "0", string(dump.Str), "REPLACE"); err != nil {
				return fmt.Errorf("%s: %w", way.what, err)
			}
		}
		got, err := content(way.look, way.restored)
		if err != nil {
			return fmt.Errorf("%s: %w", way.what, err)
		}
		if got != want {
			return fmt.Errorf("%s: %s", way.what, difference(got, want))
		}
	}
	if strings.HasPrefix(want, "stream") {
		return k.goesOn(nodes[0], other)
	}
	return nil
}

// make makes the key.
func (k dumped) make(c *conn) error {
	if _, err := c.do("DEL", "k"); err != nil {
		return err
	}
	for at := 0; at < len(k.cmds); at += pipelined {
		part := k.cmds[at:min(at+pipelined, len(k.cmds))]
		replies, err := c.pipe(part)
		if err != nil {
			return err
		}
		for i, v := range replies {
			if err := respclient.Err(v); err != nil {
				return fmt.Errorf("%.60q: %w", part[i], err)
			}
		}
	}
	return nil
}

// goesOn works on with restored streams, which are the same after that too.
func (k dumped) goesOn(here, there *conn) error {
	for _, cmd := range [][]string{
		{"XADD", "k2", "900000-1", "z", "z"}, {"XLEN", "k2"}, {"XTRIM", "k2", "MAXLEN", "100"},
		{"XREADGROUP", "GROUP", "g", "c1", "COUNT", "2", "STREAMS", "k2", ">"},
		{"XAUTOCLAIM", "k2", "g", "cc", "0", "0", "COUNT", "3", "JUSTID"},
	} {
		got, err := here.ask(cmd...)
		if err != nil {
			return err
		}
		want, err := there.ask(cmd...)
		if err != nil {
			return err
		}
		if whole(got) != whole(want) {
			return fmt.Errorf("%q then: %s", cmd, difference(whole(got), whole(want)))
		}
	}
	return nil
}

// content is all that a key has, as text that begins with its type.
func content(c *conn, key string) (string, error) {
	t, err := c.do("TYPE", key)
	if err != nil {
		return "", err
	}
	cmds := map[string][]string{
		"string": {"GET", key}, "list": {"LRANGE", key, "0", "-1"}, "set": {"SMEMBERS", key},
		"zset": {"ZRANGE", key, "0", "-1", "WITHSCORES"}, "hash": {"HGETALL", key}, "stream": {"XRANGE", key, "-", "+"},
	}
	kind := string(t.Str)
	v, err := c.do(cmds[kind]...)
	if err != nil {
		return "", err
	}
	text := whole(v)
	switch kind {
	case "set":
		text = sorted(v, 1)
	case "hash":
		text = sorted(v, 2)
	case "zset":
		text, err = scores(v)
	case "stream":
		var more string
		more, err = groups(c, key)
		text += more
	}
	return kind + " " + text, err
}

// scores is a sorted set with its scores as numbers: 7.2 writes large ones otherwise than
// 7.0.
func scores(v resp.Value) (string, error) {
	var b strings.Builder
	for i := 0; i+1 < len(v.Elems); i += 2 {
		score, err := strconv.ParseFloat(string(v.Elems[i+1].Str), 64)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%q %g ", v.Elems[i].Str, score)
	}
	return b.String(), nil
}

// groups is what a stream has beside its entries, but for times, which each side has its own.
func groups(c *conn, key string) (string, error) {
	v, err := c.do("XINFO", "STREAM", key, "FULL", "COUNT", "0")
	if err != nil {
		return "", err
	}
	text := whole(timeless(v))
	v, err = c.do("XINFO", "GROUPS", key)
	if err != nil {
		return "", err
	}
	for _, g := range v.Elems {
		pending, err := c.do("XPENDING", key, string(g.Elems[1].Str), "-", "+", "10000000")
		if err != nil {
			return "", err
		}
		text += " " + string(g.Elems[1].Str)
		for _, p := range pending.Elems {
			text += fmt.Sprintf(" %s %s %d", p.Elems[0].Str, p.Elems[1].Str, p.Elems[3].Int)
		}
	}
	return text, nil
}

// ownFields are those of XINFO that each side has its own of: times, and the layout in
// memory of redis-server.
const ownFields = "radix-tree-keys radix-tree-nodes seen-time active-time idle inactive"

// lastYears is what is taken for a time in milliseconds.
const lastYears = 1_000_000_000_000

// timeless is a reply of XINFO without those.
func timeless(v resp.Value) resp.Value {
	if len(v.Elems) == 0 {
		return v
	}
	w := v
	w.Elems = nil
	for i := 0; i < len(v.Elems); i++ {
		e := v.Elems[i]
		if e.Kind == resp.KindBulk && len(e.Str) > 0 && strings.Contains(" "+ownFields+" ", " "+string(e.Str)+" ") {
			i++
			continue
		}
		if e.Kind == resp.KindInt && e.Int > lastYears {
			continue
		}
		w.Elems = append(w.Elems, timeless(e))
	}
	return w
}

// difference shows where two texts part.
func difference(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	from := max(i-40, 0)
	return fmt.Sprintf("… %.200s, redis-server has … %.200s", got[from:], want[from:])
}
