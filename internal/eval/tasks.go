package eval

import (
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/task"
)

// Groups that change tasks are evaluated in the loop and nowhere else: there is the
// leader's memory of what is ready and who is alive. One that is too much for a batch
// is given more once, and then refused.

type tasksBudget uint8

const (
	tasksUsual tasksBudget = iota // as for all groups
	tasksWide                     // tasksStepsMax
	tasksRefused
)

// tasksStepsMax is enough for whatever one command about tasks may do, behind others
// that are not too much for a batch: about 20 ms.
const tasksStepsMax = 4 * batchStepsMax

const (
	errTasksHeavy = "ERR commands that change tasks touch too many rows together with the others of their transaction or pipeline. Not applied. Split it into smaller ones."
	errTasksLater = "ERR the commands before this one in the pipeline touch too many rows for tasks to be changed too. Not applied, safe to retry."
)

// changesTasks reports whether a command of the group does.
func changesTasks(table *command.Table, g *group.Group) bool {
	return hasCommand(table, g, func(c *command.Command) bool { return c.Flags&command.Tasks != 0 })
}

// refuse answers a group that is too much with an error.
func refuse(ctx *command.Ctx, g *group.Group, r *group.Reply, text string) {
	n := len(g.Cmds)
	if g.Atomic {
		r.Status, n = group.Undone, 1
	}
	at := len(ctx.Out)
	ctx.Error(text)
	for range n {
		r.Replies = append(r.Replies, ctx.Out[at:len(ctx.Out):len(ctx.Out)])
	}
}

// allOrNothing evaluates a transaction. Where one of its commands can't be done without
// which nothing is to be, all of it is undone. That is so if the replies do not fit, and of a
// command about tasks that fails: what a worker writes together with the end of its task
// must not stay if the task is not its own any more.
func allOrNothing(c *Core, ctx *command.Ctx, g *group.Group, in Input, r *group.Reply, how manner) (strayed bool) {
	mark := ctx.Tx.Mark()
	defer ctx.Tx.Release(mark)
	tasks := changesTasks(c.cfg.Table, g)
	ctx.Atomic(tasks)
	defer ctx.Atomic(false)
	r.Replies, r.Unfit, strayed = c.commands(ctx, g, &in.Owned, in.Shortage, how)
	if !strayed && undone(ctx, g, r.Replies, r.Unfit, tasks) {
		ctx.Tx.Rollback(mark)
		if r.Status = group.Undone; r.Unfit.Need > 0 {
			r.Replies = [][]byte{noReply()}
		}
	}
	return strayed
}

// undone reports whether nothing of a transaction is to stay, which was evaluated.
func undone(ctx *command.Ctx, g *group.Group, replies [][]byte, unfit group.Unfit, tasks bool) bool {
	return len(replies) < len(g.Cmds) || unfit.Need > 0 || len(g.Cmds) == 1 && ctx.Failed() && tasks
}

// Tallies lists what the leader tells of the queues of its shard, in no order.
func (c *Core) Tallies() []task.Tally {
	list := c.tasks.Tallies()
	for i := range list {
		list[i].Workers = c.waiting.registry.Waiting(task.QueueTopic([]byte(list[i].Name)))
	}
	return list
}
