package server

import (
	"cmp"
	"encoding/binary"

	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/keyspace"
	"tutti/internal/router"
)

// A value that is larger than an entry should be goes to its shard in parts, each in a group
// and an entry of its own: what others send goes between them. The command follows without
// it. See keyspace.Upload.

// uploadFrom is how large a value is that goes in parts, unless the configuration says
// otherwise: below it an entry is none that others have to wait for long, and each part
// costs its client a round.
const uploadFrom = 256 << 10

// Uploads says which values go to their shards in parts, in bytes. The zero value is what
// nodes do.
type Uploads struct {
	From int // values that are larger. 0: uploadFrom
	Part int // how large a part is. 0: keyspace.PartBytes
}

// large returns which argument of a command goes in parts, 0: none.
func (u Uploads) large(cmd *command.Command, args [][]byte) (at int) {
	if at = cmd.Uploads(args); at > 0 && len(args[at]) <= cmp.Or(u.From, uploadFrom) {
		return 0
	}
	return at
}

// light reports whether a command that touches little has no value that goes in parts. Only
// tests have parts of what is light.
func (u Uploads) light(cmd *command.Command, args [][]byte) bool {
	return u.From == 0 || u.large(cmd, args) == 0
}

// upload sends the large values of commands in parts. Where that can't be done they go with
// their commands.
func (l *lane) upload(id cluster.ShardID, list []pending) {
	uploads := l.server.cfg.Uploads
	for i := range list {
		p := &list[i]
		p.upload = nil // this may be another attempt, at another shard
		if at := uploads.large(p.cmd, p.args); at > 0 && l.router.Map().Version >= cluster.V6 {
			p.upload = l.sendParts(id, p, p.args[at], cmp.Or(uploads.Part, keyspace.PartBytes))
		}
	}
}

// sendParts sends a value in parts, and returns the name of the upload; nil if that failed.
func (l *lane) sendParts(id cluster.ShardID, p *pending, value []byte, size int) (upload []byte) {
	name := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, l.rand(1<<63)), l.rand(1<<63))
	for n := 0; len(value) > 0; n++ {
		part := value[:min(size, len(value))]
		value = value[len(part):]
		args := command.PartArgs(p.args[1], name, n, part)
		result := l.deliver(id, &group.Group{Proto: 2, Claim: p.claim, Cmds: []group.Command{{DB: p.db, Args: args}}})
		if result.Err != "" || result.Reply.Refusal() != nil || len(result.Reply.Replies) != 1 || result.Reply.Replies[0][0] == '-' {
			return nil
		}
	}
	return name
}

// deliver sends a group, and waits for what came of it.
func (l *lane) deliver(id cluster.ShardID, g *group.Group) router.Result {
	if l.left() {
		return router.Result{Err: textGone}
	}
	l.router.Write(id, g, l.onResult)
	result, how := receive(l.wait, l.results, nil)
	if how == abandoned {
		l.unsure = true
		return router.Result{Err: textGone}
	}
	// An answer to a later attempt, or none at all, leaves an earlier attempt
	// somewhere that still refers to the arguments.
	l.unsure = l.unsure || result.Err != "" || g.Attempt > 1 || result.Reply.Attempt > 1
	return result
}

// sent is the arguments that a shard is sent.
func (p *pending) sent() [][]byte {
	if p.upload == nil {
		return p.args
	}
	return command.WithArgs(p.args, p.cmd.Uploads(p.args), p.upload)
}
