package server

import (
	"slices"

	"tutti/internal/command"
	"tutti/internal/resp"
)

func commandHandlers() map[string]handler {
	return map[string]handler{
		"command":         func(c *conn, _ [][]byte) { c.commandInfos(c.s.cfg.Table.All()) },
		"command|count":   func(c *conn, _ [][]byte) { c.int(int64(len(c.s.cfg.Table.All()))) },
		"command|info":    commandInfo,
		"command|docs":    commandDocs,
		"command|list":    commandList,
		"command|getkeys": func(c *conn, args [][]byte) { c.commandKeys(args[2:], (*conn).keyName) },
		"command|getkeysandflags": func(c *conn, args [][]byte) {
			c.commandKeys(args[2:], (*conn).keyAndFlags)
		},
		"command|help": help,
	}
}

// everyCommand lists the commands by name, each followed by its subcommands.
func (s *Server) everyCommand() []*command.Command {
	var list []*command.Command
	for _, cmd := range s.cfg.Table.All() {
		list = append(append(list, cmd), cmd.Subs...)
	}
	return list
}

func (c *conn) commandInfos(list []*command.Command) {
	c.array(len(list))
	for _, cmd := range list {
		c.commandInfo(cmd)
	}
}

func commandInfo(c *conn, args [][]byte) {
	if len(args) == 2 {
		c.commandInfos(c.s.cfg.Table.All())
		return
	}
	c.array(len(args) - 2)
	for _, name := range args[2:] {
		if cmd := c.s.cfg.Table.Find(name); cmd != nil {
			c.commandInfo(cmd)
		} else {
			c.null()
		}
	}
}

// commandInfo describes a command to programs: name, arity, flags, first and
// last key and the step between, categories, tips, key specifications,
// subcommands.
func (c *conn) commandInfo(cmd *command.Command) {
	c.array(10)
	c.bulk(cmd.Name)
	c.int(int64(cmd.Arity))
	flags := cmd.Flags.Names()
	c.set(len(flags))
	for _, f := range flags {
		c.simple(f)
	}
	c.int(int64(cmd.Keys.First))
	c.int(int64(cmd.Keys.Last))
	c.int(int64(cmd.Keys.Step))
	categories := cmd.ACLCategories()
	c.set(len(categories))
	for _, name := range categories {
		c.simple("@" + name)
	}
	c.array(0)
	c.keySpecs(cmd)
	c.commandInfos(cmd.Subs)
}

// keySpecs says where the keys are: in one range, or in two if the first key is
// treated otherwise than the rest. Keys that have to be searched for are not
// described; COMMAND GETKEYS finds them.
func (c *conn) keySpecs(cmd *command.Command) {
	first, rest := cmd.KeyAccess()
	k := cmd.Keys
	switch {
	case k.Find != nil:
		c.set(1)
		c.pairs(3)
		c.specFlags(append(slices.Clone(rest), "incomplete"))
		for _, part := range []string{"begin_search", "find_keys"} {
			c.bulk(part)
			c.specPart("unknown")
		}
	case k.First == 0:
		c.set(0)
	case k.First == k.Last || slices.Equal(first, rest):
		c.set(1)
		c.rangeSpec(first, k.First, k.Last, k.Step)
	default:
		c.set(2)
		c.rangeSpec(first, k.First, k.First, k.Step)
		c.rangeSpec(rest, k.First+k.Step, k.Last, k.Step)
	}
}

func (c *conn) specFlags(flags []string) {
	c.bulk("flags")
	c.set(len(flags))
	for _, f := range flags {
		c.simple(f)
	}
}

// specPart writes a type and the numbers of its specification.
func (c *conn) specPart(kind string, numbers ...any) {
	c.pairs(2)
	c.bulk("type")
	c.bulk(kind)
	c.bulk("spec")
	c.pairs(len(numbers) / 2)
	for i := 0; i < len(numbers); i += 2 {
		c.bulk(numbers[i].(string))
		c.int(int64(numbers[i+1].(int)))
	}
}

func (c *conn) rangeSpec(flags []string, first, last, step int) {
	if last >= 0 {
		last -= first
	}
	c.pairs(3)
	c.specFlags(flags)
	c.bulk("begin_search")
	c.specPart("index", "index", first)
	c.bulk("find_keys")
	c.specPart("range", "lastkey", last, "keystep", step, "limit", 0)
}

func commandDocs(c *conn, args [][]byte) {
	list := c.s.cfg.Table.All()
	if len(args) > 2 {
		list = nil
		for _, name := range args[2:] {
			if cmd := c.s.cfg.Table.Find(name); cmd != nil {
				list = append(list, cmd)
			}
		}
	}
	c.commandDocs(list)
}

func (c *conn) commandDocs(list []*command.Command) {
	c.pairs(len(list))
	for _, cmd := range list {
		c.bulk(cmd.Name)
		c.commandDoc(cmd)
	}
}

// commandDoc describes a command to people. The arguments come as one whose
// text is the syntax, for the hints that redis-cli gives.
func (c *conn) commandDoc(cmd *command.Command) {
	n := 3
	if cmd.Syntax != "" && len(cmd.Subs) == 0 {
		n++
	}
	if len(cmd.Subs) > 0 {
		n++
	}
	c.pairs(n)
	for _, pair := range [][2]string{{"summary", cmd.Doc}, {"since", cmd.Since}, {"group", cmd.Group}} {
		c.bulk(pair[0])
		c.bulk(pair[1])
	}
	if cmd.Syntax != "" && len(cmd.Subs) == 0 {
		c.bulk("arguments")
		c.array(1)
		c.pairs(3)
		for _, pair := range [][2]string{{"name", "arguments"}, {"type", "string"}, {"display_text", cmd.Syntax}} {
			c.bulk(pair[0])
			c.bulk(pair[1])
		}
	}
	if len(cmd.Subs) > 0 {
		c.bulk("subcommands")
		c.commandDocs(cmd.Subs)
	}
}

func commandList(c *conn, args [][]byte) {
	wanted := func(*command.Command) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) != 5 || !is(args[2], "FILTERBY"):
		c.error(errSyntax)
		return
	case is(args[3], "MODULE"):
		wanted = func(*command.Command) bool { return false }
	case is(args[3], "ACLCAT"):
		category := string(args[4])
		wanted = func(cmd *command.Command) bool { return slices.Contains(cmd.ACLCategories(), category) }
	case is(args[3], "PATTERN"):
		pattern := slices.Clone(args[4])
		wanted = func(cmd *command.Command) bool { return command.GlobMatch(pattern, []byte(cmd.Name)) }
	default:
		c.error(errSyntax)
		return
	}
	var names []string
	for _, cmd := range c.s.everyCommand() {
		if wanted(cmd) {
			names = append(names, cmd.Name)
		}
	}
	c.bulks(names)
}

// commandKeys answers with the keys of the command in args.
func (c *conn) commandKeys(args [][]byte, write func(c *conn, key []byte, access []string)) {
	cmd := c.s.cfg.Table.Find(args[0])
	if cmd != nil && len(cmd.Subs) > 0 && len(args) > 1 {
		cmd = c.s.cfg.Table.Find([]byte(cmd.Name + "|" + string(args[1])))
	}
	switch {
	case cmd == nil:
		c.error("ERR Invalid command specified")
		return
	case cmd.Keys.First == 0 && cmd.Keys.Find == nil:
		c.error("ERR The command has no key arguments")
		return
	case cmd.Arity > 0 && len(args) != cmd.Arity || len(args) < -cmd.Arity:
		c.error("ERR Invalid number of arguments specified for command")
		return
	}
	found := cmd.KeyArgs(nil, args)
	if len(found) == 0 {
		c.error("ERR Invalid arguments specified for command")
		return
	}
	first, rest := cmd.KeyAccess()
	c.array(len(found))
	for i, at := range found {
		if i == 0 {
			write(c, args[at], first)
		} else {
			write(c, args[at], rest)
		}
	}
}

func (c *conn) keyName(key []byte, _ []string) { c.out = resp.AppendBulk(c.out, key) }

func (c *conn) keyAndFlags(key []byte, access []string) {
	c.array(2)
	c.out = resp.AppendBulk(c.out, key)
	c.set(len(access))
	for _, a := range access {
		c.simple(a)
	}
}
