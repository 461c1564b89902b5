package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tutti/internal/keyspace"
	"tutti/internal/task"
)

// unquote takes a string out of the quotes of redis-cli.
func unquote(s string) string { return strings.Trim(s, `"`) }

// claimed is what TASK.CLAIM gave of one task.
func claimed(t *testing.T, reply string) (id, token string) {
	t.Helper()
	words := strings.Fields(strings.ReplaceAll(reply, `"`, ""))
	if len(words) < 6 {
		t.Fatalf("claimed %s", reply)
	}
	return words[2], words[4]
}

// field returns a field of TASK.GET.
func (b *bench) field(id, name string) string {
	lines := strings.Split(b.do("TASK.GET "+id), "\n")
	for i, line := range lines {
		if strings.HasSuffix(line, `) "`+name+`"`) {
			_, value, _ := strings.Cut(lines[i+1], ") ")
			return unquote(strings.TrimPrefix(value, "(integer) "))
		}
	}
	return "none"
}

func (b *bench) want(line, reply string) {
	b.t.Helper()
	if got := b.do(line); got != reply {
		b.t.Errorf("%s\n got: %s\nwant: %s", line, got, reply)
	}
}

func TestTaskIsClaimedAndDone(t *testing.T) {
	b := newBench(t)
	id := unquote(b.do("TASK.ADD q work"))
	if slot := keyspace.Slot([]byte(id)); slot != keyspace.Slot([]byte("q")) || !strings.HasSuffix(id, "}q:1") {
		t.Errorf("id %s in slot %d", id, slot)
	}
	b.want("TASK.CLAIM w FROM none q2", "(nil)")
	got := b.do("TASK.CLAIM w COUNT 5 FROM none q")
	if want := fmt.Sprintf("1) 1) %q\n   2) %q\n   3) %q\n   4) (integer) 1\n   5) %q", id, "1099511627777", "q", "work"); got != want {
		t.Fatalf("got %s", got)
	}
	b.want("TASK.CLAIM w FROM q", "(nil)")
	b.want("TASK.DONE "+id+" 1099511627776 wrong", "(integer) 0")
	b.want("TASK.DONE "+id+" 1099511627778 wrong", "(integer) 0")
	b.want("TASK.DONE "+id+" 1099511627777 right", "(integer) 1")
	b.want("TASK.DONE "+id+" 1099511627777 again", "(integer) 1")
	b.want("TASK.FAIL "+id+" 1099511627777 late", "(integer) 0")
	if state, result := b.field(id, "state"), b.field(id, "result"); state != "done" || result != "right" {
		t.Errorf("%s with %s", state, result)
	}
	b.want("TASK.CANCEL "+id, "(integer) 0")
	b.want("TASK.RETRY "+id, "(integer) 0")
}

// A finish of many that is refused in the middle has the error for its only reply: with a
// part of the others' before it, the client would take later replies for the rest.
func TestTaskDoneOfManyIsRefusedAsAWhole(t *testing.T) {
	b := newBench(t)
	b.do("TASK.ADD q COUNT 3 a b c")
	var words []string
	for range 3 {
		id, token := claimed(t, b.do("TASK.CLAIM w FROM q"))
		words = append(words, id, token, "r")
	}
	for _, at := range []int{0, 3, 6} {
		wrong := slices.Clone(words)
		wrong[at] = "none"
		b.want("TASK.DONE "+strings.Join(wrong, " "), `(error) ERR "none" is not the id of a task`)
		wrong[at], wrong[at+1] = words[at], "x"
		b.want("TASK.DONE "+strings.Join(wrong, " "), "(error) ERR the token must be the one that TASK.CLAIM gave")
	}
	if got := b.field(words[0], "state"); got != "running" {
		t.Errorf("the first one is %s", got)
	}
	b.want("TASK.DONE "+strings.Join(words, " "), "1) (integer) 1\n2) (integer) 1\n3) (integer) 1")
}

// A task that is added in a batch is claimed in the same batch; one whose addition
// is taken back is not.
func TestTaskIsClaimedInTheBatchOfItsAdd(t *testing.T) {
	b := newBench(t)
	b.index++
	tx := b.begin()
	b.eval(tx, "TASK.ADD q first")
	mark := tx.Mark()
	b.eval(tx, "TASK.ADD q gone")
	if got := b.eval(tx, "TASK.CLAIM w COUNT 9 FROM q"); strings.Count(got, "1099511627777") != 1 || !strings.Contains(got, "gone") {
		t.Fatalf("claimed %s", got)
	}
	tx.Rollback(mark)
	tx.Release(mark)
	got := b.eval(tx, "TASK.CLAIM w COUNT 9 FROM q")
	if strings.Contains(got, "gone") || !strings.Contains(got, "first") {
		t.Errorf("claimed %s", got)
	}
	if got := b.eval(tx, "TASK.CLAIM w COUNT 9 FROM q"); got != "(nil)" {
		t.Errorf("claimed %s", got)
	}
}

// A worker that stops gives back what it has not tried: no attempt is lost by that,
// and what it says later is fenced.
func TestTaskIsGivenBack(t *testing.T) {
	b := newBench(t)
	id := unquote(b.do("TASK.ADD q work RETRY 0"))
	_, first := claimed(t, b.do("TASK.CLAIM w FROM q"))
	b.want("TASK.FAIL "+id+" "+first+" stops AGAIN", `"scheduled"`)
	b.want("TASK.FAIL "+id+" "+first+" stops AGAIN", `"scheduled"`) // an answer that was lost
	_, token := claimed(t, b.do("TASK.CLAIM v FROM q"))
	b.want("TASK.DONE "+id+" "+first+" late", "(integer) 0")
	if failures, crashes := b.field(id, "failures"), b.field(id, "crashes"); failures != "0" || crashes != "0" {
		t.Errorf("%s failures, %s crashes", failures, crashes)
	}
	b.want("TASK.FAIL "+id+" "+token+" why RESULT made", `"dead"`)
	if got := b.field(id, "result"); got != "made" {
		t.Errorf("the result of the last attempt is %s", got)
	}
	b.want("TASK.RETRY "+id, "(integer) 1")
	if got := b.field(id, "result"); got != "(nil)" {
		t.Errorf("a task that is tried again has the result %s", got)
	}
	for _, bad := range []string{"DEAD AGAIN", "RESULT", "IN", "IN x", "AGAIN RESULT"} {
		if got := b.do("TASK.FAIL " + id + " " + token + " why " + bad); !strings.HasPrefix(got, "(error) ERR") {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

func TestTaskFails(t *testing.T) {
	b := newBench(t)
	id := unquote(b.do("TASK.ADD q work RETRY 1 BACKOFF 1000 1000"))
	_, token := claimed(t, b.do("TASK.CLAIM w FROM q"))
	b.want("TASK.FAIL "+id+" "+token+" first", `"scheduled"`)
	b.want("TASK.FAIL "+id+" "+token+" again", `"scheduled"`) // an answer that was lost
	if n := b.field(id, "failures"); n != "1" {
		t.Errorf("%s failures", n)
	}
	b.want("TASK.CLAIM w FROM q", "(nil)")
	b.later(999)
	b.want("TASK.CLAIM w FROM q", "(nil)")
	b.later(1)
	_, token = claimed(t, b.do("TASK.CLAIM w FROM q"))
	b.want("TASK.FAIL "+id+" "+token+" second", `"dead"`)
	b.want("TASK.FAIL "+id+" "+token+" again", `"dead"`)
	b.want("TASK.DONE "+id+" "+token+" late", "(integer) 0")
	b.want("TASK.RETRY "+id, "(integer) 1")
	b.want("TASK.DONE "+id+" "+token+" late", "(integer) 0")
	_, token = claimed(t, b.do("TASK.CLAIM w FROM q"))
	b.want("TASK.FAIL "+id+" "+token+" third DEAD", `"dead"`)
}

// later lets time pass, and the background do what it asks for.
func (b *bench) later(ms int64) {
	b.t.Helper()
	b.now += ms
	b.index++
	tx := b.begin()
	b.tasks.Step(tx)
	b.apply(tx)
	if err := b.tasks.Settle(pebbleReader{b.db}); err != nil {
		b.t.Fatal(err)
	}
}

func TestTaskSyntax(t *testing.T) {
	b := newBench(t)
	for line, want := range map[string]string{
		"TASK.ADD q COUNT":                                     "{2Rh}q:",
		"TASK.ADD q COUNT IN 5":                                "{2Rh}q:",
		"TASK.ADD q COUNT 2 a":                                 `ERR syntax error at "a"`,
		"TASK.ADD q COUNT 0 a":                                 "ERR COUNT must be from 1 to 1000",
		"TASK.ADD q COUNT 1001 a":                              "ERR COUNT must be from 1 to 1000",
		"TASK.ADD q p q":                                       `ERR syntax error at "q"`,
		"TASK.ADD q p IN":                                      `ERR syntax error at "IN"`,
		"TASK.ADD q p IN x":                                    "ERR the number after IN must be",
		"TASK.ADD q p PRIO 10":                                 "ERR the number after PRIO must be an integer from 0 to 9",
		"TASK.ADD q p NEW 10":                                  `ERR syntax error at "NEW"`,
		"TASK.ADD q p AFTER 2 {2Rh}q:1":                        `ERR syntax error at "AFTER"`,
		"TASK.ADD q p AFTER {2Rh}q:1":                          `ERR syntax error at "AFTER": it takes a number from 1 to 1024 and so many ids`,
		"TASK.ADD q p AFTER 0 IN 5":                            `ERR syntax error at "AFTER": it takes a number`,
		"TASK.ADD q p IN 5 AT 6":                               `ERR syntax error at "AT": there is "IN" already`,
		"TASK.ADD q p AT 5 PRIO 1 in 6":                        `ERR syntax error at "in": there is "AT" already`,
		"TASK.ADD q p PRIO 1 Prio 2":                           `ERR syntax error at "Prio": there is "PRIO" already`,
		"TASK.ADD q p KEY prio PRIO 2":                         "{2Rh}q:", // a key is no option
		"TASK.QUEUE q PAUSE LIMIT 5 RESUME":                    "ERR syntax error: TASK.QUEUE takes one of PAUSE and RESUME",
		"TASK.ADD q p AFTER 1 key":                             `ERR "key" is not the id of a task`,
		"TASK.ADD q p AFTER 1 {aaa}q:1":                        "is not the id of a task", // not the tag of its slot
		"TASK.ADD q p BACKOFF 5 1":                             "ERR BACKOFF takes",
		"TASK.ADD q p UNIQUE u IN 5":                           "{2Rh}q:",
		"TASK.ADD q COUNT 2 a b UNIQUE u":                      "ERR UNIQUE is of one task",
		"TASK.ADD \"\" p":                                      "ERR the name of a queue",
		"TASK.ADD " + strings.Repeat("q", 129) + " p":          "ERR the name of a queue",
		"TASK.CLAIM w FROM":                                    "ERR wrong number of arguments",
		"TASK.CLAIM w COUNT 1":                                 "ERR TASK.CLAIM needs FROM",
		"TASK.CLAIM w COUNT 1 FROM":                            "ERR TASK.CLAIM takes 1 to",
		"TASK.CLAIM w COUNT 0 FROM q":                          "ERR the number after COUNT",
		"TASK.CLAIM w LEASE 1 FROM q":                          "ERR the number after LEASE",
		"TASK.CLAIM \"\" FROM q":                               "ERR the name of a worker",
		"TASK.DONE {2Rh}q:1 1 r {2Rh}q:1 1":                    "ERR wrong number of arguments",
		"TASK.DONE {2Rh}q:1 x":                                 "ERR the token must be",
		"TASK.DONE {2Rh}q:1 0":                                 "ERR the token must be",
		"TASK.DONE {2Rh}q:Z 1":                                 "is not the id of a task",
		"TASK.DONE {2Rh}q:01 1":                                "is not the id of a task",
		"TASK.FAIL {2Rh}q:1 1 e NEVER":                         `ERR syntax error at "NEVER"`,
		"TASK.BEAT w {2Rh}q:1 2 m":                             "ERR the fraction must be from 0 to 1",
		"TASK.BEAT w {2Rh}q:1":                                 "ERR wrong number of arguments",
		"TASK.GET {2Rh}q:1 WAIT":                               `ERR syntax error at "WAIT"`,
		"TASK.GET {2Rh}q:zzzzzzzzzzzzzz":                       "is not the id of a task",
		"TASK.ADD q " + strings.Repeat("p", 1<<20|1):           "ERR a payload has at most 1 MiB",
		"TASK.DONE {2Rh}q:1 1 " + strings.Repeat("r", 1<<20|1): "ERR a result has at most 1 MiB",
	} {
		if got := b.do(line); !strings.Contains(got, want) {
			t.Errorf("%.60s: %.100s, want %s", line, got, want)
		}
	}
	// The number of a task with the name of another queue is no way to it.
	id := unquote(b.do("TASK.ADD secret p"))
	if got := b.do("TASK.GET " + strings.Replace(id, "secret", "public", 1)); got != "(nil)" {
		t.Errorf("by another queue's name: %s", got)
	}
}

func TestTaskKeys(t *testing.T) {
	table := NewTable()
	for line, want := range map[string]string{
		"TASK.ADD q p":           "q",
		"TASK.ADD q NEAR NEAR k": "q k",
		"TASK.ADD q p NEAR {abc}x:1 AFTER 2 {2Rh}a:1 b": "q {abc}x:1 a b",
		"TASK.ADD q COUNT 2 NEAR x AFTER 1 {2Rh}a:1":    "q a",
		"TASK.CLAIM w COUNT 2 FROM a b":                 "a b",
		"TASK.CLAIM FROM FROM a FROM":                   "a FROM",
		"TASK.DONE {2Rh}q:1 5 r {2Rh}p:1 5 r":           "q p",
		"TASK.BEAT w {2Rh}q:1 .5 {2Rh}m:1":              "q",
		"TASK.BEAT w":                                   "",
		"TASK.GET {2Rh}q:with:colons:1":                 "q:with:colons",
	} {
		args := splitLine(t, line)
		cmd, text := table.Lookup(args)
		if cmd == nil {
			t.Fatal(text)
		}
		names := cmd.Keys.KeyNames(args)
		var got []string
		for _, k := range cmd.KeyRights(nil, args) {
			got = append(got, string(names[k.At]))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", line, got, want)
		}
	}
	for _, c := range table.All() {
		if c.Group == "task" && !slices.Contains(c.ACLCategories(), "task") {
			t.Errorf("%s is in %v", c.Name, c.ACLCategories())
		}
	}
	if q := task.QueueOf([]byte("{abc}:1")); q != nil {
		t.Errorf("queue %q", q)
	}
}

func TestTaskList(t *testing.T) {
	b := newBench(t)
	b.do("TASK.ADD q COUNT 30 " + strings.Repeat("p ", 30))
	b.do("TASK.ADD q near NEAR other")
	b.do("TASK.ADD q COUNT 2 later later IN 1000 NEAR elsewhere")
	b.do("TASK.CLAIM w COUNT 3 FROM q")
	seen := map[string]string{}
	list := func(options string) (n int) {
		clear(seen)
		for cursor := "0"; ; {
			lines := strings.Split(b.do("TASK.LIST q CURSOR "+cursor+options), "\n")
			words := strings.Fields(strings.ReplaceAll(strings.Join(lines, " "), `"`, ""))
			cursor = words[1]
			for i, w := range words {
				if strings.HasPrefix(w, "{") {
					seen[w] = words[i+2]
					n++
				}
			}
			if cursor == "0" {
				return n
			}
		}
	}
	for options, want := range map[string]int{"": 33, " COUNT 1": 33, " STATE running": 3, " STATE scheduled COUNT 2": 2, " STATE done": 0, " STATE ready": 28} {
		if n := list(options); n != want || len(seen) != want {
			t.Errorf("TASK.LIST q%s: %d, %d different ones, want %d", options, n, len(seen), want)
		}
	}
	for _, line := range []string{"TASK.LIST q STATE lost", "TASK.LIST q CURSOR x", "TASK.LIST q CURSOR n5", "TASK.LIST q COUNT", "TASK.LIST q SINCE 5"} {
		if got := b.do(line); !strings.HasPrefix(got, "(error) ERR") {
			t.Errorf("%s: %s", line, got)
		}
	}
}

func TestTaskQueue(t *testing.T) {
	b := newBench(t)
	b.want("TASK.QUEUES", "(empty array)")
	b.do("TASK.ADD a p")
	b.do("TASK.ADD ab p")
	b.do("TASK.QUEUE c PAUSE LIMIT 3 MAXLEN 5")
	b.want("TASK.QUEUES c*", `1) "c"`)
	if got := b.do("TASK.QUEUES"); strings.Count(got, ")") != 3 {
		t.Errorf("queues: %s", got)
	}
	for _, c := range []struct{ line, want string }{
		{"TASK.QUEUE a", `"ready" 16) (integer) 1 `},
		{"TASK.QUEUE c", `"paused" 4) (integer) 1 `},
		{"TASK.QUEUE c RESUME", `"paused" 4) (integer) 0 5) "limit" 6) (integer) 3 `},
		{"TASK.QUEUE c LIMIT 0", `"limit" 6) (integer) 0 `},
		{"TASK.QUEUE none", `"maxlen"`},
		{"TASK.QUEUE c LIMIT", `ERR syntax error at "LIMIT"`},
		{"TASK.QUEUE c LIMIT -1", "ERR the number after LIMIT"},
		{"TASK.QUEUE c FASTER", "ERR syntax error"},
	} {
		got := strings.Join(strings.Fields(b.do(c.line)), " ") + " "
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.line, got, c.want)
		}
	}
	b.do("TASK.QUEUE d MAXLEN 2")
	b.do("TASK.ADD d COUNT 2 p p")
	b.want("TASK.ADD d p", `(error) BUSY queue "d" has 2 of at most 2 tasks that have not ended. Not applied, safe to retry later.`)
	b.want("TASK.ADD d p UNIQUE u", `(error) BUSY queue "d" has 2 of at most 2 tasks that have not ended. Not applied, safe to retry later.`)
	b.do("TASK.QUEUE d MAXLEN 0")
	first := b.do("TASK.ADD d p UNIQUE u")
	b.want("TASK.ADD d p UNIQUE u", first)
	b.want("TASK.CANCEL "+unquote(first), "(integer) 1")
	if again := b.do("TASK.ADD d p UNIQUE u"); again == first {
		t.Errorf("%s has its unique key though it ended", again)
	}
	b.want("TASK.RETRY "+unquote(first), "(integer) 0") // another one has it
	b.do("FLUSHALL")
	b.want("TASK.QUEUES d", `1) "d"`)
}
