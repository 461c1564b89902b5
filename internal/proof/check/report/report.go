// Package report draws a run that failed as one HTML page that needs nothing
// else: what was violated, and by which operations; faults, leaders, throughput
// and latency over time; how to run it again. All that came from clients is
// escaped: keys and values are any bytes.
package report

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tutti/internal/proof/check"
)

// Run is a run to report.
type Run struct {
	Title  string
	Seed   uint64 // 0: there is none
	Commit string
	// Command runs it again, Times is how often: not every run of a seed fails.
	Command string
	Times   int

	History *check.History
	Found   []check.Violation
	Err     error // of check.Check
}

//go:embed report.html
var page string

// What a page shows at most; the history beside it has all.
const (
	foundMax   = 20  // violations in full; the others by their name
	witnessMax = 200 // operations of a violation
	textMax    = 400 // characters of an operation
)

// Save writes the history and the page into a folder, as name.history.jsonl
// and name.html, and returns the path of the page.
func Save(dir, name string, r Run) (path string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\: `, r) || r < ' ' {
			return '_'
		}
		return r
	}, name)
	path = filepath.Join(dir, name)
	err = errors.Join(
		write(path+".history.jsonl", func(w io.Writer) error { return check.Encode(w, r.History) }),
		write(path+".html", func(w io.Writer) error { return Write(w, r) }),
	)
	return path + ".html", err
}

func write(path string, to func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err = errors.Join(to(f), f.Close())
	if err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	return nil
}

// Write writes the page.
func Write(w io.Writer, r Run) error {
	t, err := template.New("report").Funcs(template.FuncMap{"px": px, "text": shorten}).Parse(page)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return t.Execute(w, newView(r))
}

// view is what the template sees.
type view struct {
	Run
	Failed     bool
	Err        string
	Facts      []fact
	Violations []violation
	Others     []string // violations above foundMax
	Plot       plot
	Timeline   timeline
}

type fact struct{ Name, Value string }

// violation is one of the run's, with its operations as text.
type violation struct {
	*check.Violation
	Meaning string // of its name
	Head    string // its text up to a list of transactions, which the page draws itself
	Ops     []line
	Omitted int // operations
	Steps   []step
	Page    string
}

type line struct {
	Class, Text string
}

type step struct {
	line
	Why string
}

func newView(r Run) view {
	h := r.History
	v := view{Run: r, Failed: len(r.Found) > 0 || r.Err != nil, Facts: facts(r)}
	if r.Err != nil {
		v.Err = printable(r.Err.Error())
	}
	guilty := make(map[int]bool)
	for i := range r.Found {
		f := &r.Found[i]
		if i >= foundMax {
			v.Others = append(v.Others, shorten(f.String()))
			continue
		}
		d := violation{Violation: f, Meaning: meanings[f.Name], Page: string(f.Page)}
		d.Head, _, _ = strings.Cut(f.Text, "\n")
		for n, op := range f.Ops {
			guilty[op] = true
			if n < witnessMax && len(f.Cycle) == 0 {
				d.Ops = append(d.Ops, lineOf(&h.Ops[op]))
			}
		}
		if len(f.Cycle) == 0 {
			d.Omitted = len(f.Ops) - len(d.Ops)
		}
		for _, s := range f.Cycle {
			d.Steps = append(d.Steps, step{lineOf(&h.Ops[s.Op]), s.Why})
		}
		v.Violations = append(v.Violations, d)
	}
	v.Plot = newPlot(h)
	v.Timeline = newTimeline(h, guilty)
	return v
}

func lineOf(op *check.Op) line { return line{Class: op.Outcome.String(), Text: shorten(op.String())} }

func facts(r Run) []fact {
	h := r.History
	clients := make(map[int]bool)
	for i := range h.Ops {
		clients[h.Ops[i].Client] = true
	}
	all := []fact{
		{"operations", fmt.Sprintf("%d of %d clients in %v", len(h.Ops), len(clients), length(h).Round(time.Millisecond))},
		{"outcomes", fmt.Sprintf("%d ok, %d failed, %d unknown", h.Count(check.OK), h.Count(check.Failed), h.Count(check.Unknown))},
		{"faults", fmt.Sprint(len(h.Faults))},
		{"leader changes", fmt.Sprint(len(h.Leaders))},
		{"commit", r.Commit},
	}
	if r.Seed != 0 {
		all = append(all, fact{"seed", strconv.FormatUint(r.Seed, 10)})
	}
	return all
}

// length is the time from the history's start to its last event.
func length(h *check.History) time.Duration {
	end := time.Millisecond
	for i := range h.Ops {
		end = max(end, h.Ops[i].Until, h.Ops[i].At)
	}
	for _, s := range h.Faults {
		end = max(end, s.To)
	}
	for _, l := range h.Leaders {
		end = max(end, l.At)
	}
	return end
}

// px is a length for an attribute.
func px(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// shorten cuts a text and leaves only characters that can be seen.
func shorten(s string) string {
	s = printable(s)
	if r := []rune(s); len(r) > textMax {
		return string(r[:textMax]) + "…"
	}
	return s
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && !strconv.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// meanings of the names of violations.
var meanings = map[string]string{
	"not linearizable":   "There is no order of the operations on this key in which each takes effect between its call and its return and all replies are right. The picture lets you follow the longest attempts.",
	"undecided":          "The search for an order took too long. That is no pass: the workload must be made easier to check.",
	"G0":                 "Dirty write: transactions overwrote each other in different orders.",
	"G1a":                "Aborted read: something was read that was never applied.",
	"G1b":                "Intermediate read: a transaction was seen half done.",
	"G1c":                "Circular information flow: each transaction saw what the one before it did.",
	"G-single":           "Read skew: a transaction saw part of what another did. Exactly one edge is a read of what was before an append.",
	"G2-item":            "Write skew: transactions each missed what another did.",
	"G0-realtime":        "Appends stand in the opposite order to that in which they were acknowledged.",
	"G1c-realtime":       "A transaction saw what was only called later.",
	"G-single-realtime":  "Stale read: a transaction missed what was acknowledged before it was called.",
	"G2-item-realtime":   "Transactions each missed what another did, in an order that real time excludes.",
	"lost-append":        "An acknowledged append is missing.",
	"duplicate-append":   "An append was applied twice.",
	"incompatible-order": "Two looks at one list contradict each other.",
	"garbage-read":       "Something was read that nobody wrote.",
	"internal":           "A transaction contradicts itself.",
	"final-reads-differ": "When all was over, nodes gave different answers.",
	"sum":                "Money came or went: a read saw a part of a transfer.",
	"count":              "The counter lost additions, or counted what was not added.",
	"counted-twice":      "Two additions overlap.",
	"lost":               "An acknowledged addition is missing.",
	"doubled":            "An addition was applied twice.",
	"phantom":            "An element was read that cannot have been there.",
}
