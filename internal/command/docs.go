package command

import (
	"fmt"
	"strings"
)

// groups lists the groups of commands in the order in which people read of
// them, with their headings.
var groups = []struct{ name, heading string }{
	{"string", "Strings"}, {"generic", "Keys"}, {"hash", "Hashes"}, {"list", "Lists"}, {"set", "Sets"},
	{"sorted-set", "Sorted sets"}, {"bitmap", "Bitmaps"}, {"hyperloglog", "HyperLogLog"}, {"geo", "Geo"}, {"stream", "Streams"}, {"task", "Tasks"},
	{"transactions", "Transactions"}, {"scripting", "Scripts and functions"}, {"pubsub", "Messages"},
	{"connection", "Connections"}, {"server", "Server"}, {"cluster", "Cluster"},
}

const docsIntro = `# Commands

<!-- Generated from the command table: go test ./internal/command -run TestDocs -update -->

%d commands and %d subcommands, with the meaning, the replies and the error texts of Redis 7.2 unless the line says
otherwise. Any node takes any command. "Since" is the version of Redis that has the command first. What became of each
command of Redis 7.2 says [COMPATIBILITY.md](COMPATIBILITY.md).

What is generally different:

- A write is answered when the disks of a majority hold it. If that is not known, the error says so; see GUARANTEES.md.
- A command, and what MULTI queues, writes at most 16 MiB. Keys of one command or transaction live in one shard.
- The replies of a transaction, and of the commands of a pipeline up to its last write, take at most 16 MiB; the commands behind
  the one that goes beyond are refused, of a transaction only those that read. Reads behind the last write have no such limit: they are read as the client takes them.
- A client that closes its connection, or only its own direction of it, while a command waits for its shard or for the end of
  CLIENT PAUSE, is not answered and what it sent behind that command is not executed; a write on its way may be applied. With
  CLIENT REPLY OFF all that was sent is executed.
- Numbers and settings that INFO, CONFIG, CLIENT and SLOWLOG show are those of the node that is asked. INFO does not count
  which keys expire: "expires" is 0.
- What clients send that waits (commands that have not come whole, queues of MULTI) and replies that are made, or wait to be taken, fit
  into maxmemory-clients, an eighth of the node's memory unless it is set: beyond it the newest is refused with -BUSY, and
  no client is evicted. A large read waits up to 0.25 s for others to give memory back before it is refused. A write
  (GETDEL, SPOP, LPOP with a count, EVAL) is refused before it is applied: nothing is lost for a reply that does not fit.
- The reply to a write, and all replies of a transaction that writes, have at most 18 MiB: beyond that nothing is applied.
- SLOWLOG measures from handing a command over to its answer, replication included; commands of a pipeline that went
  together share their time.
- TASK.* is tutti's own. Ids of tasks have the hash tag of their slot; key patterns of users are matched with the queue. Times are in
  milliseconds. PRIO is 5 if not given, 9 goes first; RETRY is how often a failed attempt is repeated, 10 times if not given, after
  BACKOFF 1000 3600000; KEEP is 3600000 and KEEPFAILED 604800000. A lease lasts LEASE 30000 if not given.
- Settings that would promise what is not done here (maxmemory, eviction policies, passwords, min-replicas-to-write,
  protected-mode no) are refused by CONFIG SET, with the reason; tuning settings of Redis are accepted without effect.
`

// Markdown documents the commands.
func (t *Table) Markdown() []byte {
	var b strings.Builder
	subs := 0
	for _, c := range t.sorted {
		subs += len(c.Subs)
	}
	fmt.Fprintf(&b, docsIntro, len(t.sorted), subs)
	for _, g := range groups {
		var rows strings.Builder
		for _, c := range t.sorted {
			if c.Group != g.name {
				continue
			}
			if c.Flags != 0 || len(c.Subs) == 0 { // otherwise a mere container
				c.markdown(&rows)
			}
			for _, s := range c.Subs {
				s.markdown(&rows)
			}
		}
		if rows.Len() > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n| Command | Arguments | What it does | Since |\n|---|---|---|---|\n%s", g.heading, rows.String())
		}
	}
	return []byte(b.String())
}

func (c *Command) markdown(b *strings.Builder) {
	name := strings.ToUpper(strings.ReplaceAll(c.Name, "|", " "))
	syntax := ""
	if c.Syntax != "" {
		syntax = "`" + strings.ReplaceAll(c.Syntax, "|", `\|`) + "`"
	}
	doc := c.Doc
	if c.Large != "" {
		doc += " " + c.Large
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, syntax, doc, c.Since)
}
