package command

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tutti/internal/acl"
	"tutti/internal/keyspace"
	"tutti/internal/resp"
	"tutti/internal/script"
)

// A script is one command: what it calls is evaluated over the same transaction, each
// with a mark of its own. A call that fails leaves nothing; a script that fails leaves
// what it has done until then, as in Redis; and one that is ended by a limit, or comes to
// a key of another shard, leaves nothing either.

// ScriptVersion is the version of Redis that scripts are told.
const ScriptVersion = "7.2.4"

// Scripting is what scripts depend on beside the state.
type Scripting struct {
	Table *Table
	// Row begins the rows of the scripts that the shard was told to keep.
	Row []byte
	// Libraries begins the rows of the libraries of functions.
	Libraries []byte
	// User is by whose rights they call commands; nil: everything is allowed.
	User *acl.User
	// Refuse says why a command can't be executed now, "" if it can. Nil: all can.
	Refuse func(cmd *Command) string
	// Clock bounds scripts over a view to ScriptTimeMax. Nil: whoever evaluates them ends
	// them by itself.
	Clock func() time.Time
}

// ScriptTimeMax bounds a script, however fast the machine is: less than clients are let
// wait, so that they hear what became of it.
const ScriptTimeMax = 4 * time.Second

// Errors of scripts, as Redis words them.
const (
	errNoScriptFound  = "NOSCRIPT No matching script. Please use EVAL."
	errKeysNegative   = "ERR Number of keys can't be negative"
	errKeysTooMany    = "ERR Number of keys can't be greater than number of args"
	errScriptUnknown  = "ERR Unknown Redis command called from script"
	errScriptArity    = "ERR Wrong number of args calling Redis command from script"
	errScriptRefuses  = "ERR This Redis command is not allowed from script"
	errScriptReadOnly = "ERR Write commands are not allowed from read-only scripts."
	errScriptEnded    = "ERR the script was ended, and all that it did taken back: "
)

// errScriptForeign ends a script that came to a key of another shard.
var errScriptForeign = errors.New("a key of another shard")

func eval(c *Ctx)      { evalText(c, false) }
func evalRO(c *Ctx)    { evalText(c, true) }
func evalSHA(c *Ctx)   { evalHash(c, false) }
func evalSHARO(c *Ctx) { evalHash(c, true) }

func evalText(c *Ctx, readOnly bool) {
	keys, args, ok := scriptArgs(c)
	if !ok {
		return
	}
	if p := compileScript(c, c.Args[1]); p != nil {
		executeScript(c, p, keys, args, readOnly)
	}
}

func evalHash(c *Ctx, readOnly bool) {
	keys, args, ok := scriptArgs(c)
	if !ok {
		return
	}
	sha := strings.ToLower(string(c.Args[1]))
	p := c.Scripts.Table.scripts.Find(sha)
	if p == nil {
		source, found := keptScript(c, sha)
		if !found {
			c.Error(errNoScriptFound)
			return
		}
		if p = compileScript(c, source); p == nil {
			return
		}
	}
	executeScript(c, p, keys, args, readOnly)
}

// scriptArgs returns what a script is given, or answers the error.
func scriptArgs(c *Ctx) (keys, args [][]byte, ok bool) {
	n, ok := c.int(2)
	switch {
	case !ok:
		return nil, nil, false
	case n < 0:
		c.Error(errKeysNegative)
		return nil, nil, false
	case n > int64(len(c.Args)-3):
		c.Error(errKeysTooMany)
		return nil, nil, false
	}
	return c.Args[3 : 3+n], c.Args[3+n:], true
}

// compileScript returns the program of a text, or answers the error. The work counts.
func compileScript(c *Ctx, source []byte) *script.Program {
	engine := c.Scripts.Table.scripts
	if p := engine.FindText(source); p != nil {
		return p
	}
	if c.Tx.Spend(script.CompileSteps(source)); c.Tx.Err() != nil {
		return nil
	}
	p, err := engine.Compile(source)
	if err != nil {
		c.Error("ERR " + oneLine(err.Error()))
		return nil
	}
	return p
}

func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

// runScript answers with what a program returns.
func executeScript(c *Ctx, p *script.Program, keys, args [][]byte, readOnly bool) {
	if readOnly && p.Header.Declared && !p.Header.NoWrites {
		c.Error("ERR Can not execute a script with write flag using *_ro command.")
		return
	}
	x, run := newCalls(c, keys, args, readOnly || p.Header.NoWrites)
	x.ended(c.Scripts.Table.scripts.Run(p, run, &c.Writer))
}

// newCalls returns what executes the commands of a script, and the run of it.
func newCalls(c *Ctx, keys, args [][]byte, readOnly bool) (*calls, *script.Run) {
	x := &calls{outer: c, inner: Ctx{Tx: c.Tx, DB: c.DB, Users: c.Users, Office: c.Office}, readOnly: readOnly}
	if c.Scripts.Clock != nil {
		x.began = c.Scripts.Clock()
	}
	return x, &script.Run{Keys: keys, Args: args, Version: ScriptVersion, Seed: seedOf(c), Do: x.do, Permitted: x.permitted,
		Spend: x.spend}
}

// readStepsMax bounds a script that is evaluated over a view, where nothing else does: to
// a few seconds.
const readStepsMax = 10_000_000

var (
	errReadLong = fmt.Errorf("it takes more than %d steps, a few seconds", readStepsMax)
	errReadLate = fmt.Errorf("it takes more than %v", ScriptTimeMax)
)

// late reports whether the time of a script over a view is over.
func (x *calls) late() bool {
	clock := x.outer.Scripts.Clock
	return clock != nil && clock().Sub(x.began) > ScriptTimeMax
}

// spend counts work.
func (x *calls) spend(steps int) error {
	tx := x.inner.Tx
	if x.steps += steps; x.steps > readStepsMax && !tx.Writable() {
		return errReadLong
	}
	if x.late() {
		return errReadLate
	}
	tx.Spend(steps)
	return tx.Err()
}

// ended answers for a script that has ended with an error, or none.
func (x *calls) ended(err error) {
	c := x.outer
	var failed *script.Error
	switch {
	case err == nil:
	case errors.As(err, &failed):
		c.Writer.Error(failed.Text) // what it has written stays
	case errors.Is(err, errScriptForeign):
		c.foreign = true
	case c.Tx.Err() == nil:
		c.Error(errScriptEnded + err.Error() + ". Not applied.")
	}
}

// seedOf is where the random numbers of a script begin.
func seedOf(c *Ctx) int32 {
	if c.Tx.Rand == nil {
		return 0
	}
	return int32(c.Tx.Rand(1 << 31))
}

// calls executes what a script calls.
type calls struct {
	outer    *Ctx
	inner    Ctx
	readOnly bool
	steps    int // of the script itself
	began    time.Time
}

// do executes one command. Its reply is valid until the next one.
func (x *calls) do(args [][]byte, proto int) ([]byte, error) {
	c := &x.inner
	c.Out, c.Proto, c.Args = c.Out[:0], proto, args
	cmd, text := x.find(args)
	if text == "" {
		text = x.denied(cmd, args)
	}
	if text == "" && c.Scripts.Refuse != nil {
		text = c.Scripts.Refuse(cmd)
	}
	if text != "" {
		return resp.AppendError(c.Out, text), nil
	}
	if cmd.Flags&WholeShard != 0 && c.Tx.Owns != nil {
		return nil, errScriptForeign // it is about the keys of all shards
	}
	c.Tx.Spend(1)
	if own := ofScripts[cmd.Name]; own != nil {
		own(c)
	} else {
		c.Run(cmd)
	}
	if c.foreign {
		return nil, errScriptForeign
	}
	if x.late() { // what it calls may take more than its own steps
		return nil, errReadLate
	}
	return c.Out, c.Tx.Err()
}

// find returns the command that a script calls, or why it can't.
func (x *calls) find(args [][]byte) (cmd *Command, text string) {
	table := x.inner.Scripts.Table
	cmd, text = table.Lookup(args)
	switch {
	case cmd == nil && table.Find(args[0]) == nil:
		return nil, errScriptUnknown
	case cmd == nil && strings.HasPrefix(text, "ERR wrong number"):
		return nil, errScriptArity
	case cmd == nil:
		return nil, errScriptUnknown
	case cmd.Flags&(NoScript|Internal|Tasks|MayWrite) != 0 || cmd.Where != OnShard && ofScripts[cmd.Name] == nil:
		return nil, errScriptRefuses
	case x.readOnly && (cmd.Flags&Write != 0 || strings.HasSuffix(cmd.Name, "publish")):
		return nil, errScriptReadOnly
	}
	return cmd, ""
}

// permitted is what redis.acl_check_cmd asks.
func (x *calls) permitted(args [][]byte) (may, ok bool) {
	cmd, _ := x.inner.Scripts.Table.Lookup(args)
	if cmd == nil {
		return false, false
	}
	return x.denied(cmd, args) == "", true
}

// ofScripts are commands that elsewhere a node or a connection answers by itself.
var ofScripts = map[string]func(c *Ctx){
	"echo":     func(c *Ctx) { c.Bulk(c.Args[1]) },
	"publish":  func(c *Ctx) { scriptPublish(c, keyspace.Published) },
	"spublish": func(c *Ctx) { scriptPublish(c, keyspace.PublishedToShard) },
	"ping":     scriptPing,
	"select":   scriptSelect,
	"time":     scriptTime,
}

// scriptPublish publishes a message once what the script has done is applied. Nobody can
// say before who hears it, so the answer is 0.
func scriptPublish(c *Ctx, how keyspace.Message) {
	keyspace.Publish(c.Tx, how, c.Args[1], c.Args[2])
	c.Int(0)
}

func scriptPing(c *Ctx) {
	if len(c.Args) > 1 {
		c.Bulk(c.Args[1])
		return
	}
	c.Simple("PONG")
}

// scriptSelect chooses the database for the rest of the script.
func scriptSelect(c *Ctx) {
	n, ok := c.int(1)
	switch {
	case !ok:
	case n < 0 || n >= keyspace.LogicalDatabases:
		c.Error("ERR DB index is out of range")
	default:
		c.DB = uint8(n)
		c.OK()
	}
}

// scriptTime is the time of the shard, which does not go back when another node leads.
func scriptTime(c *Ctx) {
	now := keyspace.Time(c.Tx)
	c.Array(2)
	c.BulkString(strconv.FormatInt(now/1000, 10))
	c.BulkString(strconv.FormatInt(now%1000*1000, 10))
}

// scriptRow is the row of a script: version:1=1, the text.
func scriptRow(c *Ctx, sha string) []byte {
	return append(bytes.Clone(c.Scripts.Row), sha...)
}

const scriptRowVersion = 1

// keptScript returns the text of a script that the shard was told to keep.
func keptScript(c *Ctx, sha string) (source []byte, found bool) {
	if len(sha) != 40 || c.Scripts.Row == nil {
		return nil, false
	}
	val, ok := c.Tx.Get(scriptRow(c, sha), nil)
	if !ok || len(val) == 0 || val[0] != scriptRowVersion {
		return nil, false
	}
	return val[1:], true
}

// keptMax bounds how many scripts a shard keeps.
const keptMax = 10_000

func tuttiScriptLoad(c *Ctx) {
	if compileScript(c, c.Args[2]) == nil {
		return
	}
	sha := script.SHA1(c.Args[2])
	if _, found := keptScript(c, sha); !found {
		n := 0
		eachKept(c, func([]byte) { n++ })
		if n >= keptMax {
			c.Error("ERR the shard keeps 10000 scripts, the most that it does. Not applied. SCRIPT FLUSH forgets them.")
			return
		}
		c.Tx.Put(scriptRow(c, sha), append([]byte{scriptRowVersion}, c.Args[2]...))
	}
	c.BulkString(sha)
}

func tuttiScriptExists(c *Ctx) {
	c.Array(len(c.Args) - 2)
	for _, a := range c.Args[2:] {
		sha := strings.ToLower(string(a))
		known := c.Scripts.Table.scripts.Find(sha) != nil
		if !known {
			_, known = keptScript(c, sha)
		}
		c.Bool(known)
	}
}

// tuttiScriptKill ends the scripts that are evaluated beside a loop of this node, and
// answers how many there were.
func tuttiScriptKill(c *Ctx) { c.Int(int64(c.Scripts.Table.scripts.Kill(killSteps))) }

// killSteps is how much a script has done that is killed: those in a loop end by
// themselves before anybody could.
const killSteps = 50_000

func tuttiScriptFlush(c *Ctx) {
	var rows [][]byte
	eachKept(c, func(row []byte) { rows = append(rows, bytes.Clone(row)) })
	for _, row := range rows {
		c.Tx.Delete(row)
	}
	c.Scripts.Table.scripts.Forget()
	c.OK()
}

// eachKept calls f with the rows of the scripts that the shard keeps.
func eachKept(c *Ctx, f func(row []byte)) {
	upper := bytes.Clone(c.Scripts.Row)
	upper[len(upper)-1]++
	it := c.Tx.Iter(c.Scripts.Row, upper)
	for ok := it.First(); ok; ok = it.Next() {
		f(it.Key())
	}
	_ = it.Close() // its error is the transaction's
}

// ScriptOnlyReads reports whether a script that EVAL has, or EVALSHA names and this node
// knows, says that it only reads.
func (t *Table) ScriptOnlyReads(cmd *Command, args [][]byte) bool {
	switch {
	case cmd.Name == "evalsha":
		p := t.scripts.Find(strings.ToLower(string(args[1])))
		return p != nil && p.Header.NoWrites
	case cmd.Name == "eval" && bytes.HasPrefix(args[1], []byte("#!")):
		p, err := t.scripts.Compile(args[1])
		return err != nil || p.Header.NoWrites // one that is none is answered with its error
	}
	return false
}

// CompileScript returns the hash of a script, or the error of a text that is none.
func (t *Table) CompileScript(source []byte) (sha string, err error) {
	p, err := t.scripts.Compile(source)
	if err != nil {
		return "", err
	}
	return p.SHA, nil
}

// MetScript takes note of a script that a client has sent to this node, to be executed
// wherever its keys are. args are those of EVAL: what it refuses by its number of keys,
// before it looks at the text, stays unknown, as in Redis.
func (t *Table) MetScript(args [][]byte) {
	if n, ok := resp.ParseInt(args[2]); !ok || n < 0 || n > int64(len(args)-3) {
		return
	}
	source := args[1]
	p, err := t.scripts.Compile(source)
	if err != nil {
		return // whoever executes it says so
	}
	// A client that sends the text may know that the shards were told to forget it.
	t.scripts.SetKept(p.SHA, false)
}

// HasScript reports whether this node has met the text of a script, and still has it.
func (t *Table) HasScript(source []byte) bool { return t.scripts.FindText(source) != nil }

// UnkeptScript returns the text of a script that this node has met, and of which it does
// not know that the shards keep it.
func (t *Table) UnkeptScript(sha []byte) (source string, found bool) {
	p := t.scripts.Unkept(strings.ToLower(string(sha)))
	if p == nil {
		return "", false
	}
	return p.Source, true
}

// KeptScript notes that every shard keeps a script.
func (t *Table) KeptScript(sha []byte) { t.scripts.SetKept(strings.ToLower(string(sha)), true) }

// KillScripts ends the scripts that take long on this node, and returns how many.
func (t *Table) KillScripts() int { return t.scripts.Kill(killSteps) }

// ForgetScripts forgets the scripts that this node has run.
func (t *Table) ForgetScripts() { t.scripts.Forget() }

// Scripted is what a node knows of scripts and functions.
type Scripted struct {
	Scripts, Bytes       int // compiled, and their texts
	Libraries, Functions int
}

// Scripted returns what this node knows of scripts and functions, as of when it needed them last.
func (t *Table) Scripted() Scripted {
	scripts, bytes, functions := t.scripts.Known()
	return Scripted{scripts, bytes, len(functions.Libraries), len(functions.ByName)}
}
