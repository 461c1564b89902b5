package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// deniedTags leave out what an external server cannot show, and what takes
// minutes or gigabytes.
const deniedTags = "-slow -needs:debug -needs:repl -needs:save -needs:config-maxmemory -large-memory"

// unitTimeMax bounds a unit as a whole; the suite's own --timeout ends one
// without progress after two minutes.
const unitTimeMax = 10 * time.Minute

// outcome is what the suite said about one unit on one server.
type outcome struct {
	passed  map[string]int // by test name; some names occur twice
	failed  map[string]string
	ignored map[string]string // name, or tag of a whole block, to the reason
	skipped []string          // by the skip file
	trouble string            // why the unit did not come to its end
	seconds float64
}

// unitResult compares one unit on the target with redis-server.
type unitResult struct {
	Unit        string            `json:"unit"`
	RedisPassed int               `json:"redis_passed"`          // of the tests not in the skip file
	Passed      int               `json:"passed"`                // of those
	Percent     float64           `json:"percent"`               // Passed of RedisPassed
	Failed      map[string]string `json:"failed,omitempty"`      // name to reason; passed by redis-server
	NotReached  []string          `json:"not_reached,omitempty"` // neither passed nor failed
	BothFailed  []string          `json:"both_failed,omitempty"`
	Skipped     map[string]string `json:"skipped,omitempty"` // by the skip file
	Ignored     map[string]string `json:"ignored,omitempty"` // by the suite itself: tags
	Trouble     string            `json:"trouble,omitempty"`
	Seconds     float64           `json:"seconds"`
	Met         bool              `json:"met"`
}

// result is the JSON file.
type result struct {
	RedisVersion string        `json:"redis_version"`
	Goal         float64       `json:"goal_percent"`
	Units        []*unitResult `json:"units"`
}

// compareUnit runs one unit on redis-server and on the target (nil: only the
// former).
func compareUnit(ctx context.Context, s *suite, unit string, redis, target opener, skips map[string]string) (*unitResult, error) {
	if _, err := os.Stat(filepath.Join(s.dir, "tests", "unit", unit+".tcl")); err != nil {
		return nil, fmt.Errorf("%w: the suite has no such unit", errUsage)
	}
	base, err := s.runUnit(ctx, unit, redis, nil)
	if err != nil {
		return nil, fmt.Errorf("redis-server: %w", err)
	}
	if base.trouble != "" {
		return nil, fmt.Errorf("redis-server itself: %s", base.trouble)
	}
	r := &unitResult{Unit: unit, Failed: map[string]string{}, Skipped: map[string]string{}, Seconds: base.seconds}
	for name, n := range base.passed {
		if reason, ok := skips[name]; ok {
			r.Skipped[name] = reason
			continue
		}
		r.RedisPassed += n
	}
	r.Ignored = base.ignored
	if target == nil {
		r.Passed = r.RedisPassed
		r.BothFailed = slices.Sorted(maps.Keys(base.failed))
		return r, nil
	}
	got, err := s.runUnit(ctx, unit, target, skips)
	if err != nil {
		return nil, err
	}
	r.Trouble, r.Seconds = got.trouble, got.seconds
	for name, n := range base.passed {
		if _, ok := skips[name]; ok {
			continue
		}
		passed := min(n, got.passed[name])
		r.Passed += passed
		switch reason, failed := got.failed[name]; {
		case passed == n:
		case failed:
			r.Failed[name] = reason
		default:
			r.NotReached = append(r.NotReached, name)
		}
	}
	for name := range base.failed {
		if _, failed := got.failed[name]; failed {
			r.BothFailed = append(r.BothFailed, name)
		}
	}
	slices.Sort(r.NotReached)
	slices.Sort(r.BothFailed)
	return r, nil
}

// runUnit runs one unit on a fresh server. Names in skips are not run.
func (s *suite) runUnit(ctx context.Context, unit string, target opener, skips map[string]string) (*outcome, error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.dir), "server-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	server, err := target.open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer server.close()
	host, port, ok := strings.Cut(server.addr, ":")
	if !ok {
		return nil, fmt.Errorf("%w: target %q is not HOST:PORT", errUsage, server.addr)
	}
	args := []string{
		"--host", host, "--port", port, "--single", "unit/" + unit,
		// Two runs on one machine must not take each other's ports, nor those that
		// connections come from.
		"--baseport", strconv.Itoa(10000 + os.Getpid()%350*64), "--ignore-encoding", "--ignore-digest",
		"--durable", "--timeout", "120", "--tags", deniedTags,
	}
	if len(skips) > 0 {
		file := filepath.Join(dir, "skip")
		names := slices.Sorted(maps.Keys(skips))
		if err := os.WriteFile(file, []byte(strings.Join(names, "\n")), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "--skipfile", file)
	}
	limited, cancel := context.WithTimeout(ctx, unitTimeMax)
	defer cancel()
	cmd := exec.CommandContext(limited, "./runtest", args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The suite is two processes; both must go, or Wait never returns.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // a test client may outlive a time-out
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	o := parseOutput(out.String())
	o.seconds = time.Since(begin).Seconds()
	switch exit, isExit := errors.AsType[*exec.ExitError](err); {
	case limited.Err() != nil:
		o.trouble = fmt.Sprintf("stopped after %v", unitTimeMax)
	case err != nil && !isExit:
		return nil, fmt.Errorf("runtest: %w", err)
	case o.trouble == "" && isExit && len(o.failed) == 0:
		o.trouble = fmt.Sprintf("runtest: %v; its last words: %s", exit, lastLine(out.String()))
	}
	if o.trouble == "" && len(o.passed)+len(o.failed) == 0 {
		o.trouble = "no test ran; the suite's last words: " + lastLine(out.String())
	}
	if !server.alive() {
		o.trouble = strings.TrimSpace(o.trouble + " (the server no longer answers; it said: " + server.output() + ")")
	}
	return o, nil
}

var (
	colour = regexp.MustCompile("\x1b\\[[0-9;]*m")
	okLine = regexp.MustCompile(`^\[ok\]: (.*) \(\d+ ms\)$`)
	// "[err]: NAME in tests/unit/X.tcl", then lines with the reason.
	errLine = regexp.MustCompile(`^\[err\]: (.*) in tests/unit/\S+\.tcl$`)
	ignored = regexp.MustCompile(`^\[ignore\]: (?:(.*): )?(Tag: .*|Not supported .*|large memory .*)$`)
	// The state of a client that made no progress names the test it hangs in.
	hanging = regexp.MustCompile(`\(IN PROGRESS\) (.*)$`)
)

// parseOutput reads what the suite printed. The list of failures at its end
// repeats earlier lines in another form and is passed over.
func parseOutput(text string) *outcome {
	o := &outcome{passed: map[string]int{}, failed: map[string]string{}, ignored: map[string]string{}}
	reasonOf := "" // the failed test whose reason the next lines give
	for line := range strings.Lines(colour.ReplaceAllString(text, "")) {
		line = strings.TrimRight(line, "\n")
		if strings.HasSuffix(line, "The End") {
			break
		}
		if reasonOf != "" && !strings.HasPrefix(line, "[") {
			o.failed[reasonOf] = strings.TrimSpace(o.failed[reasonOf] + "\n" + line)
			continue
		}
		reasonOf = ""
		switch {
		case okLine.MatchString(line):
			o.passed[okLine.FindStringSubmatch(line)[1]]++
		case errLine.MatchString(line):
			reasonOf = errLine.FindStringSubmatch(line)[1]
			o.failed[reasonOf] = ""
		case strings.HasPrefix(line, "[skip]: "):
			o.skipped = append(o.skipped, strings.TrimPrefix(line, "[skip]: "))
		case ignored.MatchString(line):
			m := ignored.FindStringSubmatch(line)
			name := m[1]
			if name == "" {
				name = "a block of tests"
			}
			o.ignored[name] = m[2]
		case strings.HasPrefix(line, "[exception]: "):
			o.trouble = "the suite stopped: " + strings.TrimPrefix(line, "[exception]: ")
		case strings.HasPrefix(line, "[TIMEOUT]"):
			o.trouble = "no progress for 120 s"
		case hanging.MatchString(line):
			o.trouble += ", hanging in: " + hanging.FindStringSubmatch(line)[1]
		}
	}
	return o
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(colour.ReplaceAllString(text, "")), "\n")
	return lines[len(lines)-1]
}

// judge computes the share and compares it with the goal.
func (r *unitResult) judge(goal float64) {
	if r.RedisPassed > 0 {
		r.Percent = 100 * float64(r.Passed) / float64(r.RedisPassed)
	} else {
		r.Percent = 100
	}
	r.Met = r.Percent >= goal
}

func (r *unitResult) print(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "%-12s passed %3d of redis-server's %3d  %5.1f %%  %s  (%d skipped, %d ignored by tags, %.0f s)\n",
		r.Unit, r.Passed, r.RedisPassed, r.Percent, map[bool]string{true: "ok", false: "BELOW"}[r.Met],
		len(r.Skipped), len(r.Ignored), r.Seconds)
	if r.Trouble != "" {
		fmt.Fprintf(w, "  trouble      %s\n", r.Trouble)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Failed)) {
		fmt.Fprintf(w, "  failed       %s\n", name)
		if verbose && r.Failed[name] != "" {
			fmt.Fprintf(w, "               %s\n", strings.ReplaceAll(r.Failed[name], "\n", "\n               "))
		}
	}
	for _, name := range r.NotReached {
		fmt.Fprintf(w, "  not reached  %s\n", name)
	}
	for _, name := range r.BothFailed {
		fmt.Fprintf(w, "  fails on redis-server too  %s\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(w, "  skipped      %s (%s)\n", name, r.Skipped[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Ignored)) {
		fmt.Fprintf(w, "  ignored      %s (%s)\n", name, r.Ignored[name])
	}
}

// finish writes the file, prints the sum, and fails if a unit is below the
// goal.
func (r *result) finish(path string) error {
	passed, below, tests, of := 0, []string{}, 0, 0
	for _, u := range r.Units {
		tests, of = tests+u.Passed, of+u.RedisPassed
		if u.Met {
			passed++
		} else {
			below = append(below, u.Unit)
		}
	}
	if path != "" {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d of %d tests that redis-server %s passes; units: %d passed, %d failed\n", tests, of, r.RedisVersion, passed, len(below))
	if len(below) > 0 {
		return fmt.Errorf("%w of %.0f %%: %s", errBelow, r.Goal, strings.Join(below, ", "))
	}
	return nil
}
