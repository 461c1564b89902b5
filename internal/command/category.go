package command

import "slices"

// groupCategories maps groups to the ACL category of the same commands. Groups
// that are missing imply none.
var groupCategories = map[string]string{
	"string": "string", "generic": "keyspace", "hash": "hash", "list": "list", "set": "set", "sorted-set": "sortedset",
	"bitmap": "bitmap", "hyperloglog": "hyperloglog", "geo": "geo", "stream": "stream", "scripting": "scripting",
	"pubsub": "pubsub", "connection": "connection", "transactions": "transaction", "task": "task",
}

// notByGroup lists commands whose categories Redis does not take from their
// group.
var notByGroup = []string{"sort", "sort_ro", "wait", "waitaof"}

// Categories lists the ACL categories, in Redis's order, and those of tutti's own.
var Categories = []string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
	"pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
	"task", "exec",
}

// ACLCategories lists the categories of c: those of its row and those that its
// group and its flags imply, in the order of Categories.
func (c *Command) ACLCategories() []string {
	if c.Container() {
		return []string{"slow"} // a container does nothing by itself
	}
	in := slices.Clone(c.Categories)
	if group := groupCategories[c.Group]; group != "" && !slices.Contains(notByGroup, c.Name) {
		in = append(in, group)
	}
	for _, implied := range []struct {
		flag       Flags
		categories []string
	}{
		{Write, []string{"write"}}, {ReadOnly, []string{"read"}}, {Admin, []string{"admin", "dangerous"}},
		{PubSub, []string{"pubsub"}}, {Blocking, []string{"blocking"}}, {Fast, []string{"fast"}},
	} {
		if c.Flags&implied.flag != 0 {
			in = append(in, implied.categories...)
		}
	}
	if c.Flags&Fast == 0 {
		in = append(in, "slow")
	}
	var list []string
	for _, name := range Categories {
		if slices.Contains(in, name) {
			list = append(list, name)
		}
	}
	return list
}
