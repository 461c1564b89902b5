package house_test

import (
	"go/ast"
	"slices"
	"strconv"
	"testing"
)

// sleepers may call time.Sleep on the real clock, each for its reason.
var sleepers = map[string]string{
	"internal/server.runHostile":        "what a client sends in pieces must arrive in pieces",
	"internal/server.TestClientPause":   "asks a server over TCP until a connection is gone from its count",
	"internal/node/nodetest.await":      "asks a server over TCP until it is ready",
	"internal/proof/netfault.accept":    "nothing tells when a process may open files again",
	"conformance.close":                 "nothing tells when a group of processes is empty",
	"cmd/tutti.TestFullDiskOfAllNodes":  "processes must stand a disk without any room for a while",
	"cmd/tutti.TestFullDiskOfTheLeader": "the same",
}

// A test that sleeps for real is slow on a quiet machine and wrong on a busy
// one. In a bubble of testing/synctest sleeping is how time passes, so what is
// called from bubbles only may sleep, too. Calls are matched by name: a function
// counts as called from wherever its name is mentioned in its package's tests.
func TestNoTestSleepsForReal(t *testing.T) {
	used := make(map[string]bool)
	for pkg, files := range testsByPackage(t) {
		for name, where := range sleepOutsideBubbles(files) {
			name = pkg + "." + name
			if sleepers[name] == "" {
				t.Errorf("%s: %s sleeps on the real clock", where, name)
			}
			used[name] = true
		}
	}
	for name, reason := range sleepers {
		if !used[name] {
			t.Errorf("%s does not sleep for real any more (%s): take it out of the table", name, reason)
		}
	}
}

// testsByPackage are the files that only tests use: those of the harness, too.
func testsByPackage(t *testing.T) map[string][]parsedFile {
	t.Helper()
	tests := make(map[string][]parsedFile)
	for _, f := range parsed(t) {
		// sim.New sees to it that the simulation is used in bubbles only.
		if !f.product() && (f.test || f.pkg != "internal/proof/sim") {
			tests[f.pkg] = append(tests[f.pkg], f)
		}
	}
	return tests
}

// mention is a place where a function's name stands.
type mention struct {
	in     string // the function around it
	bubble bool   // inside a call of synctest.Test
}

// sleepOutsideBubbles are the functions that sleep and may be called outside
// bubbles, and where.
func sleepOutsideBubbles(files []parsedFile) map[string]string {
	sleeps := make(map[string]string)
	mentions := make(map[string][]mention)
	makers := bubbleMakers(files)
	for _, f := range files {
		for _, d := range f.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			var walk func(n ast.Node, bubble bool)
			walk = func(n ast.Node, bubble bool) {
				ast.Inspect(n, func(n ast.Node) bool {
					switch x := n.(type) {
					case *ast.CallExpr:
						if makes(x, makers) && !bubble {
							for _, arg := range x.Args {
								walk(arg, true)
							}
							return false
						}
					case *ast.SelectorExpr:
						if selects(x, "time", "Sleep") && !bubble {
							sleeps[fn.Name.Name] = f.path + ":" + strconv.Itoa(f.line(x))
						}
					}
					for _, name := range mentionedIn(n) {
						mentions[name] = append(mentions[name], mention{fn.Name.Name, bubble})
					}
					return true
				})
			}
			walk(fn.Body, false)
		}
	}
	for name := range sleeps {
		if inBubbles(name, mentions, make(map[string]bool)) {
			delete(sleeps, name)
		}
	}
	return sleeps
}

// bubbleMakers are the functions that run one given to them in a bubble, by
// themselves or by another of them.
func bubbleMakers(files []parsedFile) map[string]bool {
	makers := make(map[string]bool)
	for known := -1; known < len(makers); {
		known = len(makers)
		for _, f := range files {
			for _, d := range f.file.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && takesFunc(fn.Type) && makesBubble(fn, makers) {
					makers[fn.Name.Name] = true
				}
			}
		}
	}
	return makers
}

// makesBubble says whether something is called in n that runs it in a bubble.
func makesBubble(n ast.Node, makers map[string]bool) (yes bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && makes(call, makers) {
			yes = true
		}
		return !yes
	})
	return yes
}

// makes says whether a call runs its arguments in a bubble.
func makes(call *ast.CallExpr, makers map[string]bool) bool {
	id, ok := call.Fun.(*ast.Ident)
	return selects(call.Fun, "synctest", "Test") || ok && makers[id.Name]
}

func takesFunc(f *ast.FuncType) bool {
	for _, p := range f.Params.List {
		if _, ok := p.Type.(*ast.FuncType); ok {
			return true
		}
	}
	return false
}

// mentionedIn are the names that n itself calls, or gives away as values.
func mentionedIn(n ast.Node) (names []string) {
	var values []ast.Expr
	switch x := n.(type) {
	case *ast.CallExpr:
		values = append(slices.Clone(x.Args), x.Fun)
	case *ast.AssignStmt:
		values = x.Rhs
	case *ast.KeyValueExpr:
		values = []ast.Expr{x.Value}
	case *ast.CompositeLit:
		values = x.Elts
	case *ast.ReturnStmt:
		values = x.Results
	}
	for _, v := range values {
		switch v := v.(type) {
		case *ast.Ident:
			names = append(names, v.Name)
		case *ast.SelectorExpr:
			names = append(names, v.Sel.Name)
		}
	}
	return names
}

// inBubbles says whether all that mention a function are in bubbles.
func inBubbles(name string, mentions map[string][]mention, seen map[string]bool) bool {
	if seen[name] {
		return true
	}
	seen[name] = true
	for _, m := range mentions[name] {
		if !m.bubble && m.in != name && !inBubbles(m.in, mentions, seen) {
			return false
		}
	}
	return len(mentions[name]) > 0
}

// selects says whether an expression is pkg.name.
func selects(x ast.Expr, pkg, name string) bool {
	sel, ok := x.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg && sel.Sel.Name == name
}
