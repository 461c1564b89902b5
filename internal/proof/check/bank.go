package check

import (
	"fmt"
	"strconv"
)

// checkBank judges accounts between which transactions move amounts: whoever
// reads all of them at once sees the same sum, and nobody a negative balance
// unless the rule allows it.
func checkBank(h *History, accounts []string, ops []int, r Rule) (found []Violation, err error) {
	complete := 0
	for _, i := range ops {
		op := &h.Ops[i]
		if op.Outcome != OK {
			continue
		}
		balances := make(map[string]int64)
		for _, c := range op.Cmds {
			values, err := balancesOf(c)
			if err != nil {
				found = append(found, Violation{Name: "balance", Ops: []int{i}, Text: fmt.Sprintf("%v: %v", op, err)})
			}
			for key, n := range values {
				balances[key] = n
				if n < 0 && !r.Negative {
					found = append(found, Violation{Name: "negative", Key: key, Ops: []int{i}, Text: op.String()})
				}
			}
		}
		if len(balances) < len(accounts) || !op.reads() {
			continue
		}
		complete++
		sum := int64(0)
		for _, n := range balances {
			sum += n
		}
		if sum != r.Total {
			found = append(found, Violation{Name: "sum", Ops: []int{i}, Text: fmt.Sprintf("the sum of %d accounts is %d, not %d: %v", len(accounts), sum, r.Total, op)})
		}
	}
	if complete == 0 {
		err = fmt.Errorf("bank %s: nobody has read all %d accounts at once", r.Prefix, len(accounts))
	}
	return found, err
}

// balancesOf returns the balances that a command was told.
func balancesOf(c Cmd) (map[string]int64, error) {
	told := make(map[string]int64)
	switch c.Args[0] {
	case "SET", "MSET":
	case "INCRBY", "DECRBY", "INCR", "DECR":
		if c.Reply.Kind != KindInt {
			return nil, fmt.Errorf("no number: %v", c.Reply)
		}
		told[c.Args[1]] = c.Reply.Int
	case "GET", "MGET":
		replies := []Reply{c.Reply}
		if c.Args[0] == "MGET" {
			replies = c.Reply.Elems
		}
		if keys := c.keys(); len(replies) != len(keys) {
			return nil, fmt.Errorf("%d balances of %d accounts", len(replies), len(keys))
		}
		for i, key := range c.keys() {
			n, err := strconv.ParseInt(replies[i].Str, 10, 64)
			if err != nil || replies[i].Kind != KindString {
				return nil, fmt.Errorf("account %s: %v is no balance", quote(key), replies[i])
			}
			told[key] = n
		}
	default:
		return nil, fmt.Errorf("banks have no %s", c.Args[0])
	}
	return told, nil
}
