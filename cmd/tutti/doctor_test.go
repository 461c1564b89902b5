package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"tutti/internal/doctor"
	"tutti/internal/node"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	c := startDev(t, filepath.Join(t.TempDir(), "data"), 3)
	ask := func() (e examination, r result) {
		t.Helper()
		r = tutti(t, "", "doctor", "--json", "--addr", c.addr(0))
		if err := json.Unmarshal([]byte(r.out), &e); err != nil {
			t.Fatalf("%v: %s%s", err, r.out, r.errors)
		}
		return e, r
	}
	found := func(e examination, node uint64, name string) doctor.Check {
		t.Helper()
		for _, f := range e.Findings {
			if f.Node == node && f.Name == name {
				return f.Check
			}
		}
		t.Fatalf("no %s of node %d in %+v", name, node, e)
		return doctor.Check{}
	}
	// What this machine is like is not the test's business; the cluster is well.
	eventually(t, func() error {
		e, r := ask()
		if want := map[bool]int{true: 0, false: exitWarnings}[e.Warnings == 0]; e.Failures > 0 || r.code != want {
			return errors.New(r.out)
		}
		return nil
	})
	e, _ := ask()
	for node := uint64(1); node <= 3; node++ {
		for _, name := range []string{"answers", "disk", "fsync", "links", "clock", "files", "memory", "certificate", "data"} {
			if x := found(e, node, name); x.What == "" || name == "links" && !strings.HasPrefix(x.What, "2 of 2") || name == "disk" && !strings.Contains(x.What, "left") {
				t.Errorf("node %d: %+v", node, x)
			}
		}
	}
	if x := found(e, 0, "versions"); x.What != "all nodes run tutti "+node.Version {
		t.Errorf("%+v", x)
	}
	if r := tutti(t, "", "doctor", "--addr", c.addr(0)); !strings.HasPrefix(r.out, "dev  0 failures, ") || !strings.Contains(r.out, "PASS  node 3   answers, ") {
		t.Errorf("as text:\n%s", r.out)
	}
	tutti(t, "", "doctor", "--addr", "127.0.0.1:1").wants(t, exitUnreachable, "cannot reach a node")
	c.stop(t)
}

// The words of what a test can't bring about.
func TestDoctorOfTheCluster(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		got   doctor.Check
		state doctor.State
		says  string
	}{
		{losses(&node.Verdict{NodeLosses: 1, Text: "Healthy."}), doctor.Pass, "Healthy."},
		{losses(&node.Verdict{NodeLosses: 0, Text: "One copy decides."}), doctor.Warn, "tutti join"},
		{losses(&node.Verdict{NodeLosses: 0, Problems: []node.Problem{{What: "node 3 is silent", Do: "start it"}}}), doctor.Warn, "start it"},
		{losses(&node.Verdict{NodeLosses: -1}), doctor.Fail, "not served"},
		{losses(nil), doctor.Fail, "tutti status"},
		{versions([]*doctor.Report{{Version: "1.0"}, nil, {Version: "1.0"}}), doctor.Pass, "1.0"},
		{versions([]*doctor.Report{{Version: "1.1"}, {Version: "1.0"}}), doctor.Warn, "tutti 1.0 and 1.1"},
		{answers(node.NodeStatus{Client: "10.0.0.1:6379"}, nil), doctor.Pass, "at 10.0.0.1:6379"},
		{answers(node.NodeStatus{Client: "10.0.0.1:6379"}, errors.New("refused")), doctor.Fail, "systemctl status tutti"},
		{answers(node.NodeStatus{Client: "10.0.0.1:6379", Up: true}, errors.New("refused")), doctor.Fail, "--advertise"},
	} {
		if x.got.State != x.state || !strings.Contains(x.got.What+x.got.Why+x.got.Do, x.says) {
			t.Errorf("%+v, want %s and %q", x.got, x.state, x.says)
		}
		if (x.got.State == doctor.Pass) != (x.got.Why == "") || (x.got.State == doctor.Pass) != (x.got.Do == "") {
			t.Errorf("%+v", x.got)
		}
	}
	e := &examination{Cluster: "c"}
	e.add(0, doctor.Check{Name: "losses", State: doctor.Pass, What: "Healthy."})
	e.add(2, doctor.Check{Name: "disk", State: doctor.Warn, What: "little", Why: "because", Do: "this"})
	if err, ok := errors.AsType[*exitError](e.exit()); !ok || err.code != exitWarnings {
		t.Error(e.exit())
	}
	e.add(3, doctor.Check{Name: "links", State: doctor.Fail, What: "none", Why: "why not", Do: "that"})
	if err, ok := errors.AsType[*exitError](e.exit()); !ok || err.code != exitFailures {
		t.Error(e.exit())
	}
	var b strings.Builder
	if err := e.write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `c  1 failures, 1 warnings, 1 passed
FAIL  node 3   links        none
      why  why not
      do   that
WARN  node 2   disk         little
      why  because
      do   this
PASS  cluster  losses
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}
