package check

import "fmt"

// checkAdds judges a set or list to which unique elements are added and which
// is read whole: at the end by the final reader, and by anybody before.
func checkAdds(h *History, k keyOps) (found []Violation, err error) {
	adds := additions{by: make(map[string]int)}
	final := false
	for _, i := range k.ops {
		op := &h.Ops[i]
		final = final || op.Client == FinalReader && op.Outcome == OK
		for _, c := range op.Cmds {
			switch c.Args[0] {
			case "SADD", "RPUSH":
				for _, e := range c.Args[2:] {
					if _, twice := adds.by[e]; twice {
						return nil, fmt.Errorf("adds %v: elements must be unique", op)
					}
					adds.by[e] = i
					adds.elems = append(adds.elems, e)
				}
				if c.Args[0] == "SADD" && c.Reply.Kind == KindInt && int(c.Reply.Int) != len(c.Args)-2 {
					found = append(found, Violation{Name: "doubled", Key: k.key, Ops: []int{i}, Text: op.String() + ": was there before"})
				}
			case "SMEMBERS", "LRANGE":
			default:
				return nil, fmt.Errorf("adds %v: only SADD, RPUSH, SMEMBERS and LRANGE key 0 -1", op)
			}
		}
	}
	if !final {
		return nil, fmt.Errorf("adds %s: no final read", quote(k.key))
	}
	for _, i := range k.ops {
		for _, c := range h.Ops[i].Cmds {
			if c.Reply.Kind == KindArray && h.Ops[i].Outcome == OK {
				found = append(found, checkAdded(h, k.key, i, c.Reply, adds)...)
			}
		}
	}
	return found, nil
}

// additions are elements and the operations that added them.
type additions struct {
	elems []string // in the order of the history
	by    map[string]int
}

// checkAdded judges one read.
func checkAdded(h *History, key string, reader int, r Reply, adds additions) (found []Violation) {
	read := &h.Ops[reader]
	seen := make(map[string]bool, len(r.Elems))
	report := func(name string, op int, format string, args ...any) {
		if len(found) < foundMax {
			found = append(found, Violation{Name: name, Key: key, Ops: []int{op, reader}, Text: fmt.Sprintf(format, args...)})
		}
	}
	for _, e := range r.Elems {
		if seen[e.Str] {
			report("doubled", reader, "%v stands twice in a read of client %d through node %d", e, read.Client, read.Node)
		}
		seen[e.Str] = true
		i, added := adds.by[e.Str]
		switch {
		case !added:
			report("phantom", reader, "%v was never added", e)
		case h.Ops[i].Outcome == Failed, h.Ops[i].Call > read.Return:
			report("phantom", i, "%v was read, but its addition failed or came later", e)
		}
	}
	for _, e := range adds.elems {
		i := adds.by[e]
		if op := &h.Ops[i]; op.Outcome == OK && op.Return < read.Call && !seen[e] {
			report("lost", i, "%s was acknowledged and is missing in a later read of client %d through node %d", quote(e), read.Client, read.Node)
		}
	}
	return found
}
