package server_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tutti/internal/node/nodetest"
)

// TestScripts runs testdata/scripts/*.txt, each on a node of its own with DEBUG
// allowed. A line "> CMD" is sent by the first client, "2> CMD" by a second
// one; what follows up to the next such line is the reply as redis-cli prints
// it. A reply that begins with "~ " is a regular expression for all of it, with
// (?s); ports and ages are replaced first. Blank lines and lines with # are left out.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) { runScript(t, f) })
	}
}

var rewrite = flag.Bool("rewrite", false, "write the replies into the scripts; read the difference")

// What changes from run to run is replaced in replies.
var (
	ports  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	clocks = regexp.MustCompile(`age=\d+ idle=\d+`)
)

// waitAlone waits until the node has noticed that whoever asked whether it is
// ready has gone: CLIENT LIST would show it.
func waitAlone(t *testing.T, c *nodetest.Client, clients int) {
	t.Helper()
	for range 100_000 {
		if strings.Count(c.Text("CLIENT", "LIST"), "addr=") == 2*clients { // addr and laddr
			return
		}
	}
	t.Fatal("the node still lists a client that has gone")
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := nodetest.Start(t, nodetest.Options{Debug: true})
	clients := map[string]*nodetest.Client{">": c.Dial(0), "2>": c.Dial(0)}
	waitAlone(t, clients[">"], len(clients))
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	var out []string
	for i := 0; i < len(lines); {
		at := i + 1
		who, cmd, _ := strings.Cut(lines[i], " ")
		out = append(out, lines[i])
		i++
		if clients[who] == nil {
			continue
		}
		var want []string
		for i < len(lines) && lines[i] != "" && !strings.HasPrefix(lines[i], "#") && !strings.HasPrefix(lines[i], "> ") && !strings.HasPrefix(lines[i], "2> ") {
			want = append(want, lines[i])
			i++
		}
		got := strings.TrimRight(clients[who].Text(words(t, cmd)...), "\n")
		got = clocks.ReplaceAllString(ports.ReplaceAllString(got, "127.0.0.1:PORT"), "age=N idle=N")
		if matches(t, strings.Join(want, "\n"), got) {
			out = append(out, want...)
			continue
		}
		if !*rewrite {
			t.Errorf("%s:%d: %s\n got %s\nwant %s", file, at, cmd, got, strings.Join(want, "\n"))
		}
		out = append(out, got)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func matches(t *testing.T, want, got string) bool {
	t.Helper()
	pattern, is := strings.CutPrefix(want, "~ ")
	if !is {
		return want == got
	}
	re, err := regexp.Compile("(?s)^" + pattern + "$")
	if err != nil {
		t.Fatal(err)
	}
	return re.MatchString(got)
}

// words cuts a line at blanks; ” is an empty word, ␣ stands for a blank, ⏎ for the end
// of a line.
func words(t *testing.T, line string) []string {
	t.Helper()
	list := strings.Fields(line)
	for i, w := range list {
		if w == "''" {
			w = ""
		}
		list[i] = strings.NewReplacer("␣", " ", "⏎", "\n").Replace(w)
	}
	return list
}
