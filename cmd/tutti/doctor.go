package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"tutti/internal/doctor"
	"tutti/internal/node"
)

func doctorCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:     "doctor",
		Short:   "Look for what is wrong, or will hurt, on all nodes",
		Long:    "Asks every node to look at itself and its machine. Exit code 0: all is well;\n20: warnings; 21: something does not work; 3: no node.",
		Example: "  tutti doctor\n  tutti doctor --json --addr 127.0.0.1:6380",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			e, err := examine(t)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(e)
			} else {
				err = e.write(os.Stdout)
			}
			if err != nil {
				return failed(err, "")
			}
			return e.exit()
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// examination is what doctor has found.
type examination struct {
	Cluster  string    `json:"cluster"`
	Failures int       `json:"failures"`
	Warnings int       `json:"warnings"`
	Passed   int       `json:"passed"`
	Findings []finding `json:"findings"`
}

// finding is a check of one node, or of the cluster.
type finding struct {
	Node uint64 `json:"node,omitempty"` // 0: the cluster
	doctor.Check
}

// examine asks the node at t for the others, and each of them for what it finds.
func examine(t target) (*examination, error) {
	s, err := t.status(statusTimeout)
	if err != nil {
		return nil, t.unreachable(err)
	}
	e := &examination{Cluster: s.Cluster}
	e.add(0, losses(s.Safety))
	reports := make([]*doctor.Report, len(s.Nodes))
	errs := make([]error, len(s.Nodes))
	var wg sync.WaitGroup
	for i, m := range s.Nodes {
		at := t.at(m.Client)
		if m.ID == s.Node {
			at = t // the address that the user knows
		}
		wg.Go(func() {
			r := &doctor.Report{}
			if errs[i] = at.ask(statusTimeout, r, "TUTTI.DOCTOR"); errs[i] == nil {
				reports[i] = r
			}
		})
	}
	wg.Wait()
	e.add(0, versions(reports))
	for i, m := range s.Nodes {
		e.add(uint64(m.ID), answers(m, errs[i]))
		if reports[i] != nil {
			for _, c := range reports[i].Checks {
				e.add(uint64(m.ID), c)
			}
		}
	}
	return e, nil
}

func (e *examination) add(node uint64, c doctor.Check) {
	switch c.State {
	case doctor.Fail:
		e.Failures++
	case doctor.Warn:
		e.Warnings++
	default:
		e.Passed++
	}
	e.Findings = append(e.Findings, finding{node, c})
}

// losses judges what the cluster survives.
func losses(v *node.Verdict) doctor.Check {
	c := doctor.Check{Name: "losses", State: doctor.Pass}
	if v == nil {
		c.State, c.What, c.Why, c.Do = doctor.Fail, "nobody knows what loss is survived", "a node that does not know can't ask the others", "tutti status"
		return c
	}
	c.What = v.Text
	switch {
	case v.NodeLosses < 0:
		c.State, c.Why, c.Do = doctor.Fail, "a part of the keys is not served", "tutti status, which names what is missing"
	case v.NodeLosses == 0 && len(v.Problems) > 0:
		c.State, c.Why, c.Do = doctor.Warn, "the next loss stops a part of the cluster", v.Problems[0].Do
	case v.NodeLosses == 0:
		c.State, c.Why = doctor.Warn, "the next loss stops a part of the cluster"
		c.Do = "tutti token create, and tutti join on other machines, until there are three"
	}
	return c
}

// versions compares the programs of the nodes that answered.
func versions(reports []*doctor.Report) doctor.Check {
	c := doctor.Check{Name: "versions", State: doctor.Pass}
	var all []string
	for _, r := range reports {
		if r != nil && !slices.Contains(all, r.Version) {
			all = append(all, r.Version)
		}
	}
	slices.Sort(all)
	c.What = "all nodes run tutti " + strings.Join(all, " and ")
	if len(all) > 1 {
		c.State = doctor.Warn
		c.What = "nodes run tutti " + strings.Join(all, " and ")
		c.Why = "what the newer ones can do waits for the oldest"
		c.Do = "install the newest on all nodes, one after the other"
	}
	return c
}

// answers judges whether a node can be reached by clients from here.
func answers(m node.NodeStatus, err error) doctor.Check {
	c := doctor.Check{Name: "answers", State: doctor.Pass, What: "at " + m.Client}
	if err != nil {
		c.State, c.What = doctor.Fail, fmt.Sprintf("not at %s: %v", m.Client, cause(err))
		c.Why = "clients that know only this address are not served; what the node would say of itself is not known"
		c.Do = "see on its machine whether it runs: systemctl status tutti"
		if m.Up {
			c.Do = "the other nodes reach it: look at the way from here, and at its --advertise address"
		}
	}
	return c
}

// exit is how the program ends.
func (e *examination) exit() error {
	switch {
	case e.Failures > 0:
		return &exitError{code: exitFailures}
	case e.Warnings > 0:
		return &exitError{code: exitWarnings}
	}
	return nil
}

// write tells first what needs somebody, then in one line for each node what is
// well.
func (e *examination) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d failures, %d warnings, %d passed\n", e.Cluster, e.Failures, e.Warnings, e.Passed)
	for _, state := range []doctor.State{doctor.Fail, doctor.Warn} {
		for _, f := range e.Findings {
			if f.State == state {
				fmt.Fprintf(&b, "%s  %-8s %-12s %s\n      why  %s\n      do   %s\n", strings.ToUpper(string(state)), f.where(), f.Name, f.What, f.Why, f.Do)
			}
		}
	}
	var wheres []string
	passed := make(map[string][]string)
	for _, f := range e.Findings {
		if f.State == doctor.Pass {
			if passed[f.where()] == nil {
				wheres = append(wheres, f.where())
			}
			passed[f.where()] = append(passed[f.where()], f.Name)
		}
	}
	for _, where := range wheres {
		fmt.Fprintf(&b, "PASS  %-8s %s\n", where, strings.Join(passed[where], ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (f finding) where() string {
	if f.Node == 0 {
		return "cluster"
	}
	return fmt.Sprintf("node %d", f.Node)
}
