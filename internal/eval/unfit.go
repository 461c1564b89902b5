package eval

import (
	"tutti/internal/command"
	"tutti/internal/group"
)

// Replies that are too large for what their client's node keeps memory for. What was
// applied can't be taken back once its reply turns out not to fit: so a command that is
// evaluated where writes are, a GETDEL for instance, is taken back here, and its sender is
// told how much it needs. It keeps that, or refuses the command, and sends it again.

// repliesMost is how large the replies of a group may become before the command that is
// evaluated is taken back. Of a transaction all are made, for its sender to hear at once
// how much it needs.
func repliesMost(g *group.Group) int {
	if g.Atomic {
		return group.RepliesEnd
	}
	return min(g.ReplyRoom(), group.RepliesEnd)
}

// tooMuch says whether command i of a group was taken back because its reply did not fit,
// and may be sent again. What no frame can bring is refused for good, unless it only reads:
// its sender may read it by itself.
func tooMuch(ctx *command.Ctx, g *group.Group, row *command.Command, i int) group.Unfit {
	need := command.TooMuch(ctx)
	switch {
	case need == 0:
		return group.Unfit{}
	case g.Atomic, need > group.RepliesEnd && row.Changes():
		command.Instead(ctx, group.TextReplyLarge)
		return group.Unfit{}
	}
	return group.Unfit{From: i, Need: need}
}

// tooMany says whether so many bytes of replies are more than a transaction has room for.
func tooMany(g *group.Group, size int) group.Unfit {
	if !g.Atomic || size <= g.ReplyRoom() {
		return group.Unfit{}
	}
	return group.Unfit{Need: size}
}

// leaveOut answers a command of a group that was taken back, and those behind it, which
// are not evaluated.
func leaveOut(replies [][]byte, i int, reply []byte) [][]byte {
	for ; i < len(replies); i++ {
		replies[i] = reply
	}
	return replies
}

// noReply stands for the replies of a transaction that do not fit.
func noReply() []byte {
	var c command.Ctx
	c.Error(command.TextNoReply)
	return c.Out
}
