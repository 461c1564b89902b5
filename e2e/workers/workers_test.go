package main

import (
	"os"
	"strings"
	"testing"
)

// What the page for people shows is what is run.
func TestPageShowsTheWorkers(t *testing.T) {
	page, err := os.ReadFile("../../docs/TASKS.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, fence := range map[string]string{"worker.py": "```python\n", "worker.mjs": "```js\n"} {
		program, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), fence+string(program)+"```\n") {
			t.Errorf("docs/TASKS.md does not show %s as it is", name)
		}
	}
}
