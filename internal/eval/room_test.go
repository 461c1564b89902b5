package eval

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tutti/internal/command"
	"tutti/internal/group"
)

// Replies and values for which there is no room end their command before they are there,
// and leave the other commands over the view as they are.
func TestRoom(t *testing.T) {
	const free, most, element = 10_000, 50_000, 1000
	c := newTestCore(t)
	c.run(c.write("SET small v", "RPUSH list "+strings.TrimSpace(strings.Repeat(strings.Repeat("e", element)+" ", 200))))
	c.run(c.write("SET large " + strings.Repeat("x", most-element)))
	c.run(c.write("SET larger " + strings.Repeat("x", most+1)))
	v := c.view()
	defer v.Release()
	var values []int
	asked, largest := 0, 0
	room := &Room{Free: free, Value: func(n int) bool {
		values = append(values, n)
		return n <= most
	}, Replies: func(n int) int {
		asked, largest = asked+1, max(largest, n)
		return most
	}}
	var bytesOut int
	_, err := Over(v, group.Claim{}, World{Now: c.now, Room: room}, func(r Reads) {
		run := func(line string) []byte {
			var args [][]byte
			for _, a := range strings.Fields(line) {
				args = append(args, []byte(a))
			}
			cmd, text := c.core.cfg.Table.Lookup(args)
			if cmd == nil {
				t.Fatal(text)
			}
			before := r.Tx.Steps()
			reply := r.Run(cmd, 0, 2, args)
			if bytesOut = cap(r.ctx.Out); r.Tx.Steps()-before > 2*most/element {
				t.Errorf("%s: %d rows read", line, r.Tx.Steps()-before)
			}
			return reply
		}
		refused := []byte("-" + command.TextNoRoom + "\r\n")
		for range 2 {
			if got := run("LRANGE list 0 -1"); !bytes.Equal(got, refused) {
				t.Errorf("%.100q", got)
			}
			if got := run("GET small"); string(got) != "$1\r\nv\r\n" {
				t.Errorf("%q", got)
			}
		}
		if got := run("GET larger"); !bytes.Equal(got, refused) {
			t.Errorf("%.100q", got)
		}
		if got := run("STRLEN larger"); !bytes.Equal(got, refused) {
			t.Errorf("%.100q", got)
		}
		if got := run("LRANGE list 0 4"); !bytes.HasPrefix(got, []byte("*5\r\n$1000\r\neee")) || len(got) < 5*element {
			t.Errorf("%.100q", got)
		}
		if got := run("GET large"); !bytes.Equal(got, refused) { // with what is there already
			t.Errorf("%.100q", got)
		}
		if got := run("STRLEN large"); string(got) != ":49000\r\n" {
			t.Errorf("%.100q", got)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if asked == 0 || bytesOut > 2*most || largest > 2*most {
		t.Errorf("asked %d times, for %d at most, %d bytes taken", asked, largest, bytesOut)
	}
	for _, n := range values {
		if n <= free {
			t.Errorf("asked for a value of %d", n)
		}
	}
}

// What it costs that replies are bounded, where they are small: 64 GETs over a view, as a
// loop of clients has them, and LRANGE of 100.
func BenchmarkRoom(b *testing.B) {
	c := newTestCore(b)
	c.run(c.write("SET small 0123456789abcdef", "RPUSH list "+strings.TrimSpace(strings.Repeat("element ", 100))))
	v := c.view()
	defer v.Release()
	for _, line := range []string{"GET small", "LRANGE list 0 -1"} {
		var args [][]byte
		for _, a := range strings.Fields(line) {
			args = append(args, []byte(a))
		}
		cmd, _ := c.core.cfg.Table.Lookup(args)
		n := 1
		if len(args) == 2 {
			n = 64
		}
		for _, room := range []*Room{nil, {Free: 512 << 10}} {
			b.Run(fmt.Sprintf("%s/bounded=%v", args[0], room != nil), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Over(v, group.Claim{}, World{Now: c.now, Room: room}, func(r Reads) {
						for range n {
							r.Run(cmd, 0, 2, args)
						}
					}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
