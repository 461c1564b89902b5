package server

import (
	"tutti/internal/command"
	"tutti/internal/resp"
)

// COMMAND DOCS: commands described to people, and to the hints of redis-cli.

func commandDocs(r *request, args [][]byte) {
	list := r.s.cfg.Table.All()
	if len(args) > 2 {
		list = nil
		for _, name := range args[2:] {
			if cmd := r.s.cfg.Table.Find(name); cmd != nil {
				list = append(list, cmd)
			}
		}
	}
	writeDocs(&r.Writer, list)
}

func writeDocs(w *resp.Writer, list []*command.Command) {
	w.Map(len(list))
	for _, cmd := range list {
		w.BulkString(cmd.Name)
		writeDoc(w, cmd)
	}
}

func writeDoc(w *resp.Writer, cmd *command.Command) {
	var arguments []command.Argument
	if len(cmd.Subs) == 0 {
		arguments = cmd.Arguments()
	}
	w.Map(3 + min(len(arguments), 1) + min(len(cmd.Subs), 1))
	for _, pair := range [][2]string{{"summary", cmd.Doc}, {"since", cmd.Since}, {"group", cmd.Group}} {
		w.Pair(pair[0], pair[1])
	}
	if len(arguments) > 0 {
		w.BulkString("arguments")
		writeArguments(w, arguments)
	}
	if len(cmd.Subs) > 0 {
		w.BulkString("subcommands")
		writeDocs(w, cmd.Subs)
	}
}

func writeArguments(w *resp.Writer, list []command.Argument) {
	w.Array(len(list))
	for i := range list {
		writeArgument(w, &list[i])
	}
}

// writeArgument describes an argument by the fields that it has.
func writeArgument(w *resp.Writer, a *command.Argument) {
	var flags []string
	for _, f := range []struct {
		is   bool
		name string
	}{{a.Optional, "optional"}, {a.Multiple, "multiple"}, {a.Each, "multiple_token"}} {
		if f.is {
			flags = append(flags, f.name)
		}
	}
	pairs := [][2]string{{"name", a.Name}, {"type", a.Type}}
	if a.Text != "" {
		pairs = append(pairs, [2]string{"display_text", a.Text})
	}
	if a.Token != "" {
		pairs = append(pairs, [2]string{"token", a.Token})
	}
	isKey := a.Type == "key"
	n := len(pairs) + min(len(flags), 1) + min(len(a.Parts), 1)
	if isKey {
		n++
	}
	w.Map(n)
	for _, pair := range pairs {
		w.Pair(pair[0], pair[1])
	}
	if isKey {
		w.BulkString("key_spec_index")
		w.Int(int64(a.Key))
	}
	if len(flags) > 0 {
		w.BulkString("flags")
		w.Set(len(flags))
		for _, f := range flags {
			w.Simple(f)
		}
	}
	if len(a.Parts) > 0 {
		w.BulkString("arguments")
		writeArguments(w, a.Parts)
	}
}
