package main

import (
	"bufio"
	"strings"
	"testing"
)

// A value is taken whole, whatever comes behind it.
func TestAppendReply(t *testing.T) {
	for _, value := range []string{"+OK\r\n", "-ERR no\r\n", ":7\r\n", "$3\r\na\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "_\r\n", "#t\r\n",
		"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n", "|1\r\n+k\r\n+v\r\n:7\r\n", ">2\r\n+a\r\n+b\r\n"} {
		got, err := appendReply(nil, bufio.NewReader(strings.NewReader(value+"+NEXT\r\n")))
		if err != nil || string(got) != value {
			t.Errorf("%q: took %q, %v", value, got, err)
		}
	}
}

// What has arrived goes together; a transaction that is open is not waited for.
func TestBatch(t *testing.T) {
	command := func(words ...string) string {
		var b strings.Builder
		b.WriteString("*" + string(rune('0'+len(words))) + "\r\n")
		for _, w := range words {
			b.WriteString("$" + string(rune('0'+len(w))) + "\r\n" + w + "\r\n")
		}
		return b.String()
	}
	for _, x := range []struct {
		sent    []string
		inMulti bool
		listens bool
	}{
		{[]string{command("SET", "a", "1"), command("GET", "a")}, false, false},
		{[]string{command("multi"), command("SET", "a", "1")}, true, false},
		{[]string{command("MULTI"), command("SET", "a", "1"), command("EXEC")}, false, false},
		{[]string{command("SUBSCRIBE", "a")}, false, true},
	} {
		inMulti := false
		all := strings.Join(x.sent, "")
		sent, n, listens, err := batch(bufio.NewReader(strings.NewReader(all)), &inMulti)
		if err != nil || string(sent) != all || n != len(x.sent) || inMulti != x.inMulti || listens != x.listens {
			t.Errorf("%q: %d commands, in MULTI %t, listens %t, %v", sent, n, inMulti, listens, err)
		}
	}
}
