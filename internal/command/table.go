package command

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tutti/internal/acl"
	"tutti/internal/resp"
	"tutti/internal/script"
)

// Flags describe a command, with the meaning that COMMAND INFO gives them.
type Flags uint32

// The flags.
const (
	Write Flags = 1 << iota
	ReadOnly
	DenyOOM
	Admin
	PubSub
	NoScript
	Blocking
	Loading
	Stale
	Fast
	NoAuth
	NoMulti
	MovableKeys
	// AtOnce marks commands that MULTI does not queue: they begin, end or
	// prepare a transaction, or end the connection.
	AtOnce
	// WholeShard marks keyless commands about all keys: SCAN, DBSIZE, FLUSHALL.
	WholeShard
	// MayWrite marks commands that run scripts: whether they write is not known before.
	// They go where writes go.
	MayWrite
	// Internal marks what nodes say to shards; from clients it is refused.
	Internal
	// Tasks marks commands that change tasks. They are evaluated only where the memory
	// of the leader is, and in a transaction undo all of it if they can't be applied.
	Tasks
)

// Where says who executes a command.
type Where uint8

// The places.
const (
	// OnShard: Run evaluates it over a transaction of the shard with its keys.
	OnShard Where = iota
	// OnMeta: as OnShard, but over the meta shard, which has the rows of the
	// cluster itself: its members, what lives where, its settings.
	OnMeta
	// OnNode: the node that the client is connected to answers by itself.
	OnNode
	// OnConnection: as OnNode; it is about the connection and what its client
	// has chosen.
	OnConnection
)

// Evaluated reports whether commands of this place have a Run, and not a
// handler of the server.
func (w Where) Evaluated() bool { return w == OnShard || w == OnMeta }

var flagNames = []struct {
	flag Flags
	name string
}{
	{Write, "write"}, {ReadOnly, "readonly"}, {DenyOOM, "denyoom"}, {Admin, "admin"}, {PubSub, "pubsub"},
	{NoScript, "noscript"}, {Blocking, "blocking"}, {Loading, "loading"}, {Stale, "stale"}, {Fast, "fast"},
	{NoAuth, "no_auth"}, {NoMulti, "no_multi"}, {MovableKeys, "movablekeys"},
}

// Names lists the flags as COMMAND INFO spells them.
func (f Flags) Names() []string {
	var names []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// Keys says which arguments are keys: First, First+Step, … up to Last
// (negative: counted from the end). With Find, that finds them instead and
// First, Last, Step are only what COMMAND INFO reports. First 0: no keys.
type Keys struct {
	First, Last, Step int
	Find              func(args [][]byte) []int
	// TaskIDs, if not nil, tells which of the keys are ids of tasks: rights to them are
	// those to the queue that they name.
	TaskIDs func(args [][]byte, at int) bool
	// Split says how the command goes to the shards of all keys. Nil: they must be one
	// shard's.
	Split *Split
}

// The usual places of keys.
var (
	oneKey  = Keys{First: 1, Last: 1, Step: 1}
	twoKeys = Keys{First: 1, Last: 2, Step: 1}
	allKeys = Keys{First: 1, Last: -1, Step: 1}
	// keysBeforeLast are all arguments but the last, a time-out.
	keysBeforeLast = Keys{First: 1, Last: -2, Step: 1}
	keyPairs       = Keys{First: 1, Last: -1, Step: 2}
)

// Command is one row of the table.
type Command struct {
	Name  string // lower case; a subcommand is named "config|get"
	Arity int    // arguments including the name; negative: at least that many
	Where Where
	Flags Flags
	Keys  Keys
	// Channels are the arguments that name channels a user needs a right to.
	Channels Channels
	Group    string // as in COMMAND DOCS: string, generic, hash, …
	// Categories are ACL categories beyond those that Group and Flags imply.
	Categories []string
	Syntax     string // the arguments, as documentation shows them
	Doc        string // one line, what it does
	Since      string // version of Redis that has it first
	// Large says what to do instead where the command would write more than is allowed,
	// if that is not to split it into smaller ones. Documentation says it, too.
	Large string
	// Run evaluates the command, if Where says that it is evaluated. The others
	// are executed by handlers of the server, which has one for each.
	Run func(c *Ctx)
	// Waits says how the command waits if it finds nothing. Nil: it does not.
	Waits *Waits
	Subs  []*Command

	finds bool // looking for its keys counts as hits and misses
	demands

	cost
}

// cost is what is known of what a command costs.
type cost struct {
	light, counted, trims bool // see Light
	blind                 bool // see Blind
}

// demands is what a user needs to execute a command.
type demands struct {
	id       int          // its place in the catalog
	rights   [2]acl.Right // to the first key and to the others
	guard    *Command     // see Guard
	scripted bool         // see RunsScript
	loads    bool         // see Loads
}

// Changes reports whether the command may change something, so that it goes where writes
// go.
func (c *Command) Changes() bool { return c.Flags&(Write|MayWrite) != 0 }

// RunsScript reports whether the command calls others, by the rights of its user.
func (c *Command) RunsScript() bool { return c.scripted }

// Loads reports whether the command runs libraries, which call nothing.
func (c *Command) Loads() bool { return c.loads }

// ID is the number of the command in the catalog of its table.
func (c *Command) ID() int { return c.id }

// Container reports whether c is nothing but the name before subcommands.
func (c *Command) Container() bool { return len(c.Subs) > 0 && c.Flags == 0 && c.Run == nil }

// Table finds commands by name. It is immutable, but for the scripts that it knows: they
// run in an engine that belongs to it.
type Table struct {
	byName  map[string]*Command
	sorted  []*Command
	catalog *acl.Catalog
	scripts *script.Engine
}

// NewTable returns the table of all commands.
func NewTable() *Table {
	var rows []Command
	for _, family := range families() {
		rows = append(rows, family...)
	}
	t := newTable(rows)
	t.weigh()
	return t
}

// newTable panics if a row contradicts itself or another.
func newTable(rows []Command) *Table {
	t := &Table{byName: make(map[string]*Command, 2*len(rows)), scripts: script.NewEngine()}
	for i := range rows {
		c := &rows[i]
		t.add(c)
		t.sorted = append(t.sorted, c)
		c.Subs = slices.Clone(c.Subs)
		for i, s := range c.Subs {
			own := *s // the rows are those of all tables
			c.Subs[i] = &own
			t.add(&own)
		}
	}
	slices.SortFunc(t.sorted, func(a, b *Command) int { return cmp.Compare(a.Name, b.Name) })
	t.number()
	return t
}

// readingWrites are the writes that are answered with what was there, so that they
// count as looking for it.
var readingWrites = []string{"getdel", "getex", "getset"}

// loading are the commands that run libraries, to find out what functions they have.
var loading = []string{"tutti.function|load", "tutti.function|restore"}

// number makes the catalog.
func (t *Table) number() {
	var list []acl.Entry
	for _, c := range t.sorted {
		for _, each := range append([]*Command{c}, c.Subs...) {
			each.id = len(list)
			each.finds = each.Flags&ReadOnly != 0 || slices.Contains(readingWrites, each.Name)
			list = append(list, acl.Entry{Name: each.Name, Categories: each.ACLCategories()})
			first, rest := each.KeyAccess()
			each.rights = [2]acl.Right{rightOf(first), rightOf(rest)}
			each.loads = slices.Contains(loading, each.Name)
			each.scripted = each.Flags&MovableKeys != 0 && each.Group == "scripting"
			if each.Group == "task" && each.Flags&Write != 0 {
				each.guard = t.byName[guardName]
			}
		}
	}
	t.catalog = acl.NewCatalog(list, Categories)
}

// Catalog returns what the rules of users know of the commands.
func (t *Table) Catalog() *acl.Catalog { return t.catalog }

func (t *Table) add(c *Command) {
	switch {
	case t.byName[c.Name] != nil:
		panic("command: two rows for " + c.Name)
	case c.Container():
	case (c.Run != nil) != c.Where.Evaluated():
		panic("command: " + c.Name + " needs a Run if and only if a shard evaluates it")
	case c.Flags&AtOnce != 0 && c.Where != OnConnection:
		panic("command: " + c.Name + " can't be executed at once by a shard")
	}
	t.byName[c.Name] = c
}

// All lists the commands by name, without subcommands. Not to be changed.
func (t *Table) All() []*Command { return t.sorted }

// Find returns the command called name, in any case, or nil. A subcommand is
// called "config|get".
func (t *Table) Find(name []byte) *Command {
	var buf [32]byte
	if len(name) > len(buf) {
		return nil
	}
	return t.byName[string(appendLower(buf[:0], name))]
}

// Lookup returns the command that args call, a subcommand where there is one,
// or the text of the error that Redis gives.
func (t *Table) Lookup(args [][]byte) (*Command, string) {
	c := t.Find(args[0])
	if c == nil || bytes.IndexByte(args[0], '|') >= 0 { // subcommands are not called by their whole name
		return nil, unknownCommand(args)
	}
	if len(c.Subs) > 0 && len(args) > 1 {
		sub := t.Find([]byte(c.Name + "|" + string(args[1])))
		if sub == nil {
			return nil, fmt.Sprintf("ERR unknown subcommand '%.128s'. Try %s HELP.", args[1], strings.ToUpper(c.Name))
		}
		c = sub
	}
	if c.Arity > 0 && len(args) != c.Arity || len(args) < -c.Arity {
		return nil, TextArity(c.Name)
	}
	return c, ""
}

// unknownCommand echoes at most 128 bytes of arguments, and of each what comes
// before a NUL, as Redis does.
func unknownCommand(args [][]byte) string {
	var list strings.Builder
	for _, a := range args[1:] {
		if list.Len() >= 128 {
			break
		}
		fmt.Fprintf(&list, "'%.*s' ", 128-list.Len(), beforeNUL(a))
	}
	return fmt.Sprintf("ERR unknown command '%.128s', with args beginning with: %s", beforeNUL(args[0]), list.String())
}

func beforeNUL(b []byte) []byte {
	before, _, _ := bytes.Cut(b, []byte{0})
	return before
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// KeyArgs appends to dst the positions of the keys in args.
func (c *Command) KeyArgs(dst []int, args [][]byte) []int {
	if c.Keys.Find != nil {
		return append(dst, c.Keys.Find(args)...)
	}
	if c.Keys.First == 0 {
		return dst
	}
	last := c.Keys.Last
	if last < 0 {
		last += len(args)
	}
	for i := c.Keys.First; i <= last && i < len(args); i += c.Keys.Step {
		dst = append(dst, i)
	}
	return dst
}

// numKeys finds keys behind a count at position at: "numkeys key [key ...]".
// before lists key positions ahead of it, such as a destination. With a bad count
// there are no keys at all: the command will fail, and COMMAND GETKEYS says so.
func numKeys(at int, before ...int) Keys {
	first, step := 0, 0 // COMMAND INFO has no way to report keys behind a count
	if len(before) > 0 {
		first, step = before[0], 1
	}
	return Keys{First: first, Last: first, Step: step, Find: func(args [][]byte) []int {
		n, ok := resp.ParseInt(args[at])
		if !ok || n <= 0 || n > int64(len(args)-at-1) {
			return nil
		}
		keys := slices.Clone(before)
		for i := range int(n) {
			keys = append(keys, at+1+i)
		}
		return keys
	}}
}

func families() [][]Command {
	return [][]Command{
		stringCommands, genericCommands, hashCommands, hashExpireCommands, lockCommands, setCommands, listCommands, zsetCommands, streamCommands, hyperloglogCommands, geoCommands,
		connectionCommands, serverCommands, metaCommands, userCommands, clusterCommands, sentinelCommands, pubsubCommands, scriptingCommands,
		transactionCommands, uploadCommands, taskCommands, whyCommands,
	}
}
