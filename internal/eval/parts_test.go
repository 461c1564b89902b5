package eval

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/cluster"
)

const partsValue = "0123456789-abcdefghij-ABCDEFGHIJ"

// parts lists the rows of parts.
func (c *testCore) parts() (rows []string) {
	c.t.Helper()
	view := c.state.View(testShard, c.at, c.dbs, func() {})
	defer view.Release()
	if err := view.Rows(cluster.AllSlots, func(row, val []byte) error {
		if len(row) > 3 && row[0] == 1 && row[3] == 's' {
			rows = append(rows, string(val))
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	return rows
}

// inParts makes keys the same value, the first in its row, the other in rows of parts.
func (c *testCore) inParts(row, parts string) {
	c.t.Helper()
	c.run(c.write("SET " + row + " " + partsValue))
	for n, part := range []string{partsValue[:12], partsValue[12:24], partsValue[24:]} {
		c.want(c.run(c.write(fmt.Sprintf("TUTTI.PART %s upload %d %s", parts, n, part))), "+OK ")
	}
	// An empty argument is none in a line.
	g := c.write(fmt.Sprintf("TUTTI.WITH SET upload %d SET %s v", len(partsValue), parts))
	g.Cmds[0].Args[6] = nil
	c.want(c.run(g), "+OK ")
}

// called returns a line with k, what shares its slot and what does not called for a key.
func called(line, key string) string {
	words := strings.Fields(line)
	for i, word := range words[1:] {
		switch {
		case word == "k":
			words[i+1] = key
		case strings.HasPrefix(word, "{k}"):
			words[i+1] = "{" + key + "}" + word[3:]
		case word == "elsewhere":
			words[i+1] = word + key
		}
	}
	return strings.Join(words, " ")
}

// TestStringsInPartsAreStrings has every command answer of a string in parts, and leave of
// it, what it does of one in a row.
func TestStringsInPartsAreStrings(t *testing.T) {
	for _, line := range []string{
		"GET k", "STRLEN k", "GETRANGE k 5 14", "GETRANGE k -5 -1", "SUBSTR k 0 3", "MGET k none k", "TYPE k", "EXISTS k", "DUMP k",
		"OBJECT ENCODING k", "GETBIT k 100", "BITCOUNT k", "BITPOS k 1", "BITFIELD k GET u8 80", "LCS k k LEN", "INCR k", "INCRBYFLOAT k 1", "PFCOUNT k", "LPUSH k v",
		"APPEND k more", "SETRANGE k 12 XYZ", "SETBIT k 100 1", "BITFIELD k SET u8 80 65", "BITOP NOT k k",
		"SET k short", "SET k other GET", "SET k v NX", "SET k v XX", "SET k v KEEPTTL", "SETNX k v", "SETEX k 100 v", "GETSET k v", "MSET k v", "MSETNX k v", "SET k v NX; SET k v; GET k",
		"GETDEL k", "GETEX k EX 100", "EXPIRE k 100", "PEXPIRE k -1", "PERSIST k", "DEL k", "UNLINK k", "RENAME k {k}2", "RENAMENX k {k}2", "RENAME k k", "RENAME k elsewhere",
		"COPY k {k}3", "COPY k {k}3 DB 4", "COPY k elsewhere", "MOVE k 3", "SORT none BY nosort GET k", "TUTTI.KEYVERSION none", "RESTORE k 0 x REPLACE",
		"EVAL return(redis.call('GET',KEYS[1])..'.') 1 k", "EVAL return(redis.call('SET',KEYS[1],'v')) 1 k", "FLUSHALL",
	} {
		c := newTestCore(t)
		c.inParts("row", "parts")
		var got [2]string
		for i, key := range []string{"row", "parts"} {
			for part := range strings.SplitSeq(line, "; ") {
				got[i] += c.run(c.write(called(part, key)))[0]
			}
			for _, of := range []string{"%[1]s", "{%[1]s}2", "{%[1]s}3", "elsewhere%[1]s"} {
				k := fmt.Sprintf(of, key)
				for _, r := range c.run(c.write("GET "+k), c.write("TTL "+k)) {
					got[i] += "| " + r
				}
			}
			if line == "FLUSHALL" {
				c.inParts("row", "parts")
			}
		}
		if got[0] != got[1] {
			t.Errorf("%s\nof a row:   %s\nin parts: %s", line, got[0], got[1])
		}
		for _, key := range []string{"parts", "{parts}2", "{parts}3", "elsewhereparts"} {
			c.run(c.write("DEL " + key))
		}
		if rows := c.parts(); len(rows) > 0 && !strings.Contains(line, " DB ") && !strings.HasPrefix(line, "MOVE") && line != "FLUSHALL" {
			t.Errorf("%s: %d parts are left: %q", line, len(rows), rows)
		}
	}
}

// TestCommandsWithParts has commands execute with values that have come in parts, and be
// refused if these are not there.
func TestCommandsWithParts(t *testing.T) {
	for _, x := range []struct{ before, line, want, value string }{
		{"", "SET k v", "+OK ", partsValue},
		{"SET k old", "SET k v GET", "$3 old ", partsValue},
		{"SET k old", "SET k v NX", "$-1 ", "old"},
		{"", "SET k v XX", "$-1 ", ""},
		{"SET k old PX 5000", "SET k v KEEPTTL", "+OK ", partsValue},
		{"SET k old", "SET k v PXAT 1", "+OK ", ""},
		{"SET k old", "SET k v NOSUCH", "-ERR syntax error ", "old"},
		{"SET k old", "SETNX k v", ":0 ", "old"},
		{"", "SETNX k v", ":1 ", partsValue},
		{"", "SETEX k 100 v", "+OK ", partsValue},
		{"", "PSETEX k 100 v", "+OK ", partsValue},
		{"SET k old", "GETSET k v", "$3 old ", partsValue},
		{"RPUSH k e", "GETSET k v", "-WRONGTYPE Operation against a key holding the wrong kind of value ", ""},
		{"RPUSH k e", "SET k v", "+OK ", partsValue},
	} {
		c := newTestCore(t)
		if x.before != "" {
			c.run(c.write(x.before))
		}
		words := strings.Fields(x.line)
		with := func(size int) string {
			g := c.write(fmt.Sprintf("TUTTI.WITH %s upload %d %s", words[0], size, x.line))
			for i, a := range g.Cmds[0].Args {
				if string(a) == "v" {
					g.Cmds[0].Args[i] = nil
				}
			}
			return c.run(g)[0]
		}
		gone := "-TRYAGAIN the parts of this value are not all there any more. Not applied, safe to retry. "
		if got := with(len(partsValue)); got != gone {
			t.Errorf("%s before its parts: %s", x.line, got)
		}
		c.run(c.write("TUTTI.PART k upload 0 "+partsValue[:20]), c.write("TUTTI.PART k upload 1 "+partsValue[20:]))
		if got := with(len(partsValue) - 1); got != gone {
			t.Errorf("%s with parts of another size: %s", x.line, got)
		}
		if got := with(len(partsValue)); got != x.want {
			t.Errorf("%s: %s, want %s", x.line, got, x.want)
		}
		if got := c.run(c.write("GET k"))[0]; x.value == "" && strings.HasPrefix(got, "$") && got != "$-1 " || x.value != "" && got != fmt.Sprintf("$%d %s ", len(x.value), x.value) {
			t.Errorf("%s: the value is %s", x.line, got)
		}
		if got := with(len(partsValue)); got != gone && x.want[:4] != "-ERR" && x.want[:4] != "-WRO" {
			t.Errorf("%s again: %s", x.line, got)
		}
		if rows := c.parts(); x.value != partsValue && x.want[0] != '-' && len(rows) > 0 {
			t.Errorf("%s left parts: %q", x.line, rows)
		}
	}
}
