package server

import (
	"bytes"
	"slices"
	"strings"

	"tutti/internal/command"
	"tutti/internal/glob"
	"tutti/internal/resp"
)

func commandHandlers() map[string]handler {
	return map[string]handler{
		"command":         func(r *request, _ [][]byte) { writeInfos(&r.Writer, r.s.cfg.Table.All()) },
		"command|count":   func(r *request, _ [][]byte) { r.Int(int64(len(r.s.cfg.Table.All()))) },
		"command|info":    commandInfo,
		"command|docs":    commandDocs,
		"command|list":    commandList,
		"command|getkeys": func(r *request, args [][]byte) { r.commandKeys(args[2:], writeKey) },
		"command|getkeysandflags": func(r *request, args [][]byte) {
			r.commandKeys(args[2:], writeKeyAndFlags)
		},
		"command|help": help,
	}
}

func writeInfos(w *resp.Writer, list []*command.Command) {
	w.Array(len(list))
	for _, cmd := range list {
		writeInfo(w, cmd)
	}
}

func commandInfo(r *request, args [][]byte) {
	if len(args) == 2 {
		writeInfos(&r.Writer, r.s.cfg.Table.All())
		return
	}
	r.Array(len(args) - 2)
	for _, name := range args[2:] {
		if cmd := r.s.cfg.Table.Find(name); cmd != nil {
			writeInfo(&r.Writer, cmd)
		} else {
			r.Null()
		}
	}
}

// writeInfo describes a command to programs: name, arity, flags, first and
// last key and the step between, categories, tips, key specifications,
// subcommands.
func writeInfo(w *resp.Writer, cmd *command.Command) {
	w.Array(10)
	w.BulkString(cmd.Name)
	w.Int(int64(cmd.Arity))
	flags := cmd.Flags.Names()
	w.Set(len(flags))
	for _, f := range flags {
		w.Simple(f)
	}
	w.Int(int64(cmd.Keys.First))
	w.Int(int64(cmd.Keys.Last))
	w.Int(int64(cmd.Keys.Step))
	categories := cmd.ACLCategories()
	w.Set(len(categories))
	for _, name := range categories {
		w.Simple("@" + name)
	}
	tips := cmd.Tips()
	w.Set(len(tips))
	for _, tip := range tips {
		w.BulkString(tip)
	}
	writeKeySpecs(w, cmd)
	if len(cmd.Subs) == 0 {
		w.Set(0) // as Redis has it, though it is an array if there are any
		return
	}
	writeInfos(w, cmd.Subs)
}

// writeKeySpecs says where the keys are: in one range, or in two if the first key is
// treated otherwise than the rest. Keys that have to be searched for are not
// described; COMMAND GETKEYS finds them.
func writeKeySpecs(w *resp.Writer, cmd *command.Command) {
	first, rest := cmd.KeyAccess()
	k := cmd.Keys
	switch {
	case k.Find != nil:
		w.Set(1)
		w.Map(3)
		writeSpecFlags(w, append(slices.Clone(rest), "incomplete"))
		for _, part := range []string{"begin_search", "find_keys"} {
			w.BulkString(part)
			writeSpecPart(w, "unknown")
		}
	case k.First == 0:
		w.Set(0)
	case k.First == k.Last || slices.Equal(first, rest):
		w.Set(1)
		writeRangeSpec(w, first, k.First, k.Last, k.Step)
	default:
		w.Set(2)
		writeRangeSpec(w, first, k.First, k.First, k.Step)
		writeRangeSpec(w, rest, k.First+k.Step, k.Last, k.Step)
	}
}

func writeSpecFlags(w *resp.Writer, flags []string) {
	w.BulkString("flags")
	w.Set(len(flags))
	for _, f := range flags {
		w.Simple(f)
	}
}

// specPart writes a type and the numbers of its specification.
func writeSpecPart(w *resp.Writer, kind string, numbers ...any) {
	w.Map(2)
	w.BulkString("type")
	w.BulkString(kind)
	w.BulkString("spec")
	w.Map(len(numbers) / 2)
	for i := 0; i < len(numbers); i += 2 {
		w.BulkString(numbers[i].(string))
		w.Int(int64(numbers[i+1].(int)))
	}
}

func writeRangeSpec(w *resp.Writer, flags []string, first, last, step int) {
	if last >= 0 {
		last -= first
	}
	w.Map(3)
	writeSpecFlags(w, flags)
	w.BulkString("begin_search")
	writeSpecPart(w, "index", "index", first)
	w.BulkString("find_keys")
	writeSpecPart(w, "range", "lastkey", last, "keystep", step, "limit", 0)
}

func commandList(r *request, args [][]byte) {
	wanted := func(*command.Command) bool { return true }
	switch {
	case len(args) == 2:
	case len(args) != 5 || !resp.IsWord(args[2], "FILTERBY"):
		r.Error(command.TextSyntax)
		return
	case resp.IsWord(args[3], "MODULE"):
		wanted = func(*command.Command) bool { return false }
	case resp.IsWord(args[3], "ACLCAT"):
		category := strings.ToLower(string(args[4]))
		wanted = func(cmd *command.Command) bool { return slices.Contains(cmd.ACLCategories(), category) }
	case resp.IsWord(args[3], "PATTERN"):
		pattern := bytes.ToLower(args[4])
		wanted = func(cmd *command.Command) bool { return glob.Match(pattern, []byte(cmd.Name)) }
	default:
		r.Error(command.TextSyntax)
		return
	}
	var names []string
	for _, cmd := range everyCommand(r.s.cfg.Table) {
		if wanted(cmd) {
			names = append(names, cmd.Name)
		}
	}
	r.BulkStrings(names)
}

// commandKeys answers with the keys of the command in args.
func (r *request) commandKeys(args [][]byte, write func(w *resp.Writer, key []byte, access []string)) {
	cmd := r.s.cfg.Table.Find(args[0])
	if cmd != nil && len(cmd.Subs) > 0 && len(args) > 1 {
		cmd = r.s.cfg.Table.Find([]byte(cmd.Name + "|" + string(args[1])))
	}
	switch {
	case cmd == nil:
		r.Error("ERR Invalid command specified")
		return
	case cmd.Keys.First == 0 && cmd.Keys.Find == nil:
		r.Error("ERR The command has no key arguments")
		return
	case cmd.Arity > 0 && len(args) != cmd.Arity || len(args) < -cmd.Arity:
		r.Error("ERR Invalid number of arguments specified for command")
		return
	}
	found := cmd.KeyArgs(nil, args)
	if len(found) == 0 && cmd.Group != "scripting" { // a script may well have none
		r.Error("ERR Invalid arguments specified for command")
		return
	}
	first, rest := cmd.KeyAccessOf(args)
	r.Array(len(found))
	for i, at := range found {
		if i == 0 {
			write(&r.Writer, args[at], first)
		} else {
			write(&r.Writer, args[at], rest)
		}
	}
}

func writeKey(w *resp.Writer, key []byte, _ []string) { w.Bulk(key) }

func writeKeyAndFlags(w *resp.Writer, key []byte, access []string) {
	w.Array(2)
	w.Bulk(key)
	w.Set(len(access))
	for _, a := range access {
		w.Simple(a)
	}
}
