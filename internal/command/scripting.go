package command

// Scripts and functions do not run yet; what test suites and clients call
// unasked, because it does no harm on an empty server, is answered.
var scriptingCommands = []Command{
	{Name: "function", Arity: -2, Group: "scripting", Since: "7.0.0", Syntax: "subcommand", Doc: "A container for commands about functions.",
		Subs: []*Command{
			{Name: "function|dump", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
				Doc: "Returns the serialized libraries: none."},
			{Name: "function|flush", Arity: -2, Where: OnNode, Flags: Write | NoScript, Group: "scripting", Since: "7.0.0",
				Syntax: "[ASYNC | SYNC]", Doc: "Deletes all libraries; there are none."},
			{Name: "function|list", Arity: -2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
				Syntax: "[LIBRARYNAME library-name-pattern] [WITHCODE]", Doc: "Returns nothing: there are no libraries."},
			{Name: "function|stats", Arity: 2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "7.0.0",
				Doc: "Tells that no function runs."},
		}},
	{Name: "script", Arity: -2, Group: "scripting", Since: "2.6.0", Syntax: "subcommand", Doc: "A container for commands about scripts.",
		Subs: []*Command{
			{Name: "script|exists", Arity: -3, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "2.6.0",
				Syntax: "sha1 [sha1 ...]", Doc: "Answers 0 for each: no script is stored."},
			{Name: "script|flush", Arity: -2, Where: OnNode, Flags: NoScript, Group: "scripting", Since: "2.6.0",
				Syntax: "[ASYNC | SYNC]", Doc: "Forgets all scripts; there are none."},
		}},
}
