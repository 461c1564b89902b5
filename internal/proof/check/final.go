package check

import (
	"fmt"
	"strings"
)

// checkFinal compares the final reads of every key through every node. Keys
// that expire are read, but may differ between two moments: their model judges.
func checkFinal(h *History, keys []keyOps) (found []Violation, errs []error) {
	if len(h.Suite.FinalNodes) == 0 {
		return nil, nil
	}
	for _, k := range keys {
		rule, _ := h.Suite.rule(k.key)
		v, missing := finalReads(h, k, rule)
		if v != nil {
			found = append(found, *v)
		}
		if len(missing) > 0 {
			errs = append(errs, fmt.Errorf("key %s: not read through nodes %v at the end", quote(k.key), missing))
		}
	}
	return found, errs
}

func finalReads(h *History, k keyOps, rule Rule) (v *Violation, missing []int) {
	first := make(map[string]int) // command to the operation it was first read by
	read := make(map[int]bool)    // nodes
	replies := make(map[string]Reply)
	for _, i := range k.ops {
		op := &h.Ops[i]
		if op.Client != FinalReader || op.Outcome != OK || !op.reads() {
			continue
		}
		read[op.Node] = true
		for _, c := range op.Cmds {
			name, reply := strings.Join(c.Args, "\x00"), ordered(c.Args, c.Reply)
			if _, ok := first[name]; !ok {
				first[name], replies[name] = i, reply
			}
			if !reply.Equal(replies[name]) && rule.Check != "expiry" && rule.Check != "lock" {
				v = &Violation{Name: "final-reads-differ", Key: k.key, Ops: []int{first[name], i},
					Text: fmt.Sprintf("%v but %v", &h.Ops[first[name]], op)}
			}
		}
	}
	for _, n := range h.Suite.FinalNodes {
		if !read[n] {
			missing = append(missing, n)
		}
	}
	return v, missing
}
