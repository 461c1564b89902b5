package eval

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// script returns a group that runs a script.
func (c *testCore) script(source string, more ...string) *group.Group {
	g := c.write("EVAL x 0")
	g.Cmds[0].Args[1] = []byte(source)
	for _, m := range more {
		g.Cmds[0].Args = append(g.Cmds[0].Args, []byte(m))
	}
	return g
}

func TestScriptLeavesWhatItDidBeforeItFailed(t *testing.T) {
	c := newTestCore(t)
	got := c.run(c.script("redis.call('set','a',1) redis.pcall('incrby','a','x') redis.call('incrby','a','x')"))
	if !strings.HasPrefix(got[0], "-ERR value is not an integer or out of range script: ") {
		t.Error(got[0])
	}
	c.want(c.run(c.write("GET a")), "$1 1 ")
	// A call that fails leaves nothing, though it has written before it did.
	c.run(c.write("RPUSH l x y z"))
	c.want(c.run(c.script("redis.call('set','b',2) redis.pcall('sort','l','store','b') return redis.call('get','b')")), "$1 2 ")
}

// A script that is ended leaves nothing, in whatever way it was ended.
func TestScriptThatIsEndedLeavesNothing(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET a 0"))
	got := c.run(c.script("redis.call('set','a',1) local s = 'x' pcall(function() while true do s = s .. s end end) return s"))
	if !strings.HasPrefix(got[0], "-ERR the script was ended, and all that it did taken back: the script holds more than 64 MiB") {
		t.Error(got[0])
	}
	c.want(c.run(c.write("GET a")), "$1 0 ")

	// One of a key of another shard.
	c.owned.Slots = cluster.SlotRange{First: 0, End: int(keyspace.Slot([]byte("foreign")))}
	if !c.owned.Slots.Has(keyspace.Slot([]byte("a"))) {
		c.owned.Slots = cluster.SlotRange{First: int(keyspace.Slot([]byte("foreign"))) + 1, End: cluster.Slots}
	}
	g := c.script("redis.call('set','a',1) pcall(redis.call, 'set','foreign',1) return 1")
	g.Claim.Generation = c.owned.Generation
	got = c.run(g)
	if !strings.HasPrefix(got[0], "-CROSSSHARD") {
		t.Error(got[0])
	}
	c.want(c.run(c.write("GET a")), "$1 0 ")
}

func TestHeavyScript(t *testing.T) {
	c := newTestCore(t)
	const long = "local n = 0 for i = 1, 300000 do n = n + 1 end redis.call('set','a',n) return n"
	c.want(c.runAll(c.prepare(c.script(long))), ":300000 ")
	c.want(c.run(c.write("GET a")), "$6 300000 ")

	// One without an end is ended beside the loop, and leaves nothing.
	forever := c.script("redis.call('set','a',1) while true do pcall(function() while true do end end) end")
	got := c.runAll(c.prepare(forever))
	if got[0] != "-"+errScriptLong+" " {
		t.Error(got[0])
	}
	c.want(c.run(c.write("GET a")), "$6 300000 ")

	// In the loop it ends as well, after the evaluations beside it came too late.
	q := queue(forever)
	q[0].script, q[0].tries = scriptInLoop, heavyTriesMax
	c.want(c.runAll(q), "-"+errScriptLater+" ")
	c.want(c.run(c.write("GET a")), "$6 300000 ")

	v := c.view()
	defer v.Release()
	end := new(Ending)
	end.Drop()
	if p, err := c.core.Prepare(v, c.now, forever, end); p != nil || err != nil {
		t.Errorf("stopped: %v, %v", p, err)
	}
	// One that takes too long is told so, and leaves nothing; a library that does so is
	// told what it is told that takes too many steps.
	end.Late()
	load := c.write("TUTTI.FUNCTION LOAD x")
	load.Cmds[0].Args[2] = []byte("#!lua name=a\nwhile true do end")
	for _, x := range []struct {
		g    *group.Group
		want string
	}{{forever, errScriptTime}, {load, command.TextLoadLong}} {
		if p, err := c.core.Prepare(v, c.now, x.g, end); err != nil || p == nil || string(p.replies[0]) != "-"+x.want+"\r\n" || !p.tx.Empty() {
			t.Errorf("late: %v, %v, want %s", p, err, x.want)
		}
	}
}

// A script that has waited for others for as long as commands may is told that, and does
// not begin.
func TestScriptThatHasWaited(t *testing.T) {
	c := newTestCore(t)
	v := c.view()
	defer v.Release()
	end := new(Ending)
	end.Waited()
	if p, err := c.core.Prepare(v, c.now, c.script("redis.call('set','a',1)"), end); err != nil || p == nil || string(p.replies[0]) != "-"+errHeavyTime+"\r\n" || !p.tx.Empty() {
		t.Errorf("%v, %v", p, err)
	}
}

func TestScriptCallsByTheRightsOfItsUser(t *testing.T) {
	c := newTestCore(t)
	for _, x := range []struct{ call, want string }{
		{"redis.call('set','app:1',1)", "-ERR ACL failure in script: User bob has no permissions to run the 'set' command script: "},
		{"redis.call('get','other')", "-ERR ACL failure in script: User bob has no permissions to access the 'other' key script: "},
		{"return redis.call('get','app:1')", "$-1 "},
		{"return {redis.acl_check_cmd('get','app:1'), redis.acl_check_cmd('get','x'), redis.acl_check_cmd('set','app:1','x')}", "*3 :1 $-1 $-1 "},
	} {
		g := c.script(x.call)
		g.User = &group.User{Name: "bob", Rules: []string{"on", "~app:*", "+eval", "+get"}}
		if got := c.run(g); !strings.HasPrefix(got[0], x.want) {
			t.Errorf("%s: %s, want %s", x.call, got[0], x.want)
		}
	}
	g := c.script("return redis.call('get','app:1')")
	g.User = &group.User{Name: "bob", Rules: []string{"+a rule of a later version"}}
	if got := c.run(g); !strings.HasPrefix(got[0], "-ERR ACL failure in script: User bob") {
		t.Error(got[0])
	}
}

func TestScriptsByHash(t *testing.T) {
	c := newTestCore(t)
	sha := "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" // return 1
	if got := c.run(c.write("EVALSHA " + sha + " 0")); !strings.HasPrefix(got[0], "-NOSCRIPT") {
		t.Error(got[0])
	}
	load := c.write("TUTTI.SCRIPT LOAD x")
	load.Cmds[0].Args[2] = []byte("return 1")
	c.want(c.run(load), "$40 "+sha+" ")
	c.reign() // another leader, which has not run it
	c.want(c.run(c.write("EVALSHA "+sha+" 0")), ":1 ")
	c.want(c.run(c.write("TUTTI.SCRIPT EXISTS "+sha+" x")), "*2 :1 :0 ")
	c.want(c.run(c.write("TUTTI.SCRIPT FLUSH")), "+OK ")
	if got := c.run(c.write("EVALSHA " + sha + " 0")); !strings.HasPrefix(got[0], "-NOSCRIPT") {
		t.Error(got[0])
	}
	// What only ran is known to the leader that ran it.
	c.run(c.script("return 1"))
	c.want(c.run(c.write("EVALSHA "+sha+" 0")), ":1 ")
	if _, _, err := c.core.Evaluate(c.input(), queue(c.script("return 2 -- "+strings.Repeat("x", 400_000)))); !errors.Is(err, keyspace.ErrHeavy) {
		t.Errorf("a long text: %v, want it to be compiled beside the loop", err)
	}
}

// The time of a script is the shard's, and is remembered: another leader must not tell
// an earlier one.
func TestScriptTime(t *testing.T) {
	c := newTestCore(t)
	c.now += 5
	b := c.evaluate(c.input(), c.script("return redis.call('time')[1]"))
	if b.Data == nil {
		t.Error("the time that a script has told is not recorded")
	}
}

// What one batch has made of the libraries and is lost with its leader must not be known
// to the next one, which may make something else of them in the same epoch.
func TestLibrariesOfALostBatch(t *testing.T) {
	c := newTestCore(t)
	load := func(result string) *group.Group {
		g := c.write("TUTTI.FUNCTION LOAD x")
		g.Cmds[0].Args[2] = []byte("#!lua name=a\nredis.register_function('f', function() return '" + result + "' end)")
		return g
	}
	c.evaluate(c.input(), load("lost"), c.write("FCALL f 0")) // and never applied
	core := c.core
	c.reign()
	c.core.cfg.Table = core.cfg.Table // of the same node
	c.want(c.run(load("kept"), c.write("FCALL f 0")), "$1 a ", "$4 kept ")
}

func TestLibrariesAreKeptByEpoch(t *testing.T) {
	c := newTestCore(t)
	keep := func(epoch, id, result string) *group.Group {
		g := c.write("TUTTI.FUNCTION KEEP " + epoch + " " + id + " a x")
		g.Cmds[0].Args[5] = []byte("#!lua name=a\nredis.register_function{function_name='f', callback=function(k, a) return '" + result + "' .. a[1] end, flags={'no-writes'}}")
		return g
	}
	c.want(c.run(keep("2", "7", "new"), keep("1", "6", "old"), c.write("FCALL f 0 x"), c.write("FCALL_RO f 0 y")), "+OK ", "+OK ", "$4 newx ", "$4 newy ")
	v := c.view()
	defer v.Release()
	_, err := Over(v, group.Claim{}, World{Now: c.now, Scripts: c.core.scripting()}, func(r Reads) {
		args := [][]byte{[]byte("FCALL_RO"), []byte("f"), []byte("0"), []byte("z")}
		row, _ := c.core.cfg.Table.Lookup(args)
		if got := string(r.Run(row, 0, 2, args)); got != "$4\r\nnewz\r\n" {
			t.Errorf("over a view: %q", got)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// Nothing else ends a script over a view: the client waits for it, and no loop does.
func TestScriptOverAViewEnds(t *testing.T) {
	c := newTestCore(t)
	v := c.view()
	defer v.Release()
	_, err := Over(v, group.Claim{}, World{Now: c.now, Scripts: c.core.scripting()}, func(r Reads) {
		args := [][]byte{[]byte("EVAL_RO"), []byte("while true do pcall(function() while true do end end) end"), []byte("0")}
		row, _ := c.core.cfg.Table.Lookup(args)
		if got := string(r.Run(row, 0, 2, args)); !strings.HasPrefix(got, "-ERR the script was ended") {
			t.Errorf("answered %q", got)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// However slow the machine is, and whatever its calls take, it has its time.
func TestScriptOverAViewEndsInTime(t *testing.T) {
	c := newTestCore(t)
	c.run(c.write("SET k v"))
	v := c.view()
	defer v.Release()
	for script, each := range map[string]time.Duration{
		"while true do end": 10 * time.Millisecond, // a look at the clock
		"redis.call('GET', 'k') redis.call('GET', 'k') return 1": command.ScriptTimeMax / 2,
	} {
		scripts, now := c.core.scripting(), time.Time{}
		scripts.Clock = func() time.Time { now = now.Add(each); return now }
		_, err := Over(v, group.Claim{}, World{Now: c.now, Scripts: scripts}, func(r Reads) {
			args := [][]byte{[]byte("EVAL_RO"), []byte(script), []byte("0")}
			row, _ := c.core.cfg.Table.Lookup(args)
			if got := string(r.Run(row, 0, 2, args)); got != "-ERR the script was ended, and all that it did taken back: it takes more than 4s. Not applied.\r\n" {
				t.Errorf("%s: answered %q", script, got)
			}
			args = [][]byte{[]byte("GET"), []byte("k")}
			row, _ = c.core.cfg.Table.Lookup(args)
			if got := string(r.Run(row, 0, 2, args)); got != "$1\r\nv\r\n" {
				t.Errorf("behind it: %q", got)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
