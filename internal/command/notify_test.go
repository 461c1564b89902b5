package command

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/keyspace"
)

// noted starts a transaction whose events somebody wants.
func (b *bench) noted() *keyspace.Tx {
	tx := b.begin()
	env := tx.Env
	env.Events = keyspace.EventsDefault
	tx.Reset(pebbleReader{b.db}, env)
	return tx
}

// TestEventsOfOneCommandAreBounded changes a key with a long name again and again behind one
// mark, as a script does: the change beyond the bound is refused, and what it told is gone.
func TestEventsOfOneCommandAreBounded(t *testing.T) {
	b := newBench(t)
	tx := b.noted()
	tx.Mark()
	key := strings.Repeat("k", 48<<10)
	n := 0
	for ; b.eval(tx, "SET "+key+" "+fmt.Sprint(n)) == "OK"; n++ {
		if n > 10_000 {
			t.Fatal("nothing bounds it")
		}
	}
	if got := keyspace.EventBytes(tx); got > keyspace.EventsMax || got < keyspace.EventsMax-2*len(key) {
		t.Errorf("after %d changes the events take %d bytes", n, got)
	}
	if got := b.eval(tx, "GET "+key); got != fmt.Sprintf("%q", fmt.Sprint(n-1)) {
		t.Errorf("the value is %.100s after %d changes", got, n)
	}
	if got := b.eval(tx, "SET "+key+" x"); got != "(error) "+errEvents {
		t.Errorf("one more change: %.200s", got)
	}
	if list := tx.TakeEvents(); len(list) != n {
		t.Errorf("%d events of %d changes", len(list), n)
	}
}

// TestManyKeysAreToldOfInTheirOrder: what a command does to many keys is told of each, and
// takes time by their number: comparing each with all others would take minutes here.
func TestManyKeysAreToldOfInTheirOrder(t *testing.T) {
	b := newBench(t)
	const keys = 200_000
	set, del := []string{"MSET"}, []string{"DEL"}
	for i := range keys {
		set, del = append(set, fmt.Sprint("k", i), "v"), append(del, fmt.Sprint("k", i))
	}
	tx := b.noted()
	for _, step := range []struct{ line, reply, event string }{
		{strings.Join(set, " "), "OK", "set"},
		{strings.Join(del, " "), fmt.Sprintf("(integer) %d", keys), "del"},
		{"SADD k0 a", "(integer) 1", ""},
		{strings.Join(set, " "), "OK", "set"}, // of which one was another type: deleted, made and changed
	} {
		if got := b.eval(tx, step.line); got != step.reply {
			t.Fatalf("%.40s: %.100s", step.line, got)
		}
		list := tx.TakeEvents()
		if step.event == "" {
			continue
		}
		if len(list) != keys {
			t.Fatalf("%.40s: %d events", step.line, len(list))
		}
		for i, e := range list {
			if e.Name != step.event || e.Key != fmt.Sprint("k", i) {
				t.Fatalf("%.40s: event %d is %s of %s", step.line, i, e.Name, e.Key)
			}
		}
	}
}
