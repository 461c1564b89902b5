package glob

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// naiveGlob is Redis's recursive algorithm.
func naiveGlob(p, s []byte) bool {
	for len(p) > 0 && len(s) > 0 {
		if p[0] == '*' {
			for len(p) > 1 && p[1] == '*' {
				p = p[1:]
			}
			if len(p) == 1 {
				return true
			}
			for ; len(s) > 0; s = s[1:] {
				if naiveGlob(p[1:], s) {
					return true
				}
			}
			return false
		}
		rest, ok := oneByte(p, s[0])
		if !ok {
			return false
		}
		p, s = rest, s[1:]
		if len(s) == 0 {
			p = bytes.TrimLeft(p, "*")
			break
		}
	}
	return len(p) == 0 && len(s) == 0
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", false}, {"*", "a", true}, {"**", "abc", true}, {"a*", "a", true}, {"a**", "a", true},
		{"?", "a", true}, {"?", "", false}, {"??", "a", false}, {"h?llo", "hello", true}, {"h*llo", "heeeello", true},
		{"h[ae]llo", "hallo", true}, {"h[ae]llo", "hillo", false}, {"h[^e]llo", "hello", false}, {"h[^e]llo", "hbllo", true},
		{"h[a-b]llo", "hbllo", true}, {"h[b-a]llo", "hallo", true}, {"h[a-b]llo", "hcllo", false},
		{`h\?llo`, "h?llo", true}, {`h\?llo`, "hello", false}, {`a\`, `a\`, true}, {`[\]]`, "]", true}, {`[\]]`, `\`, false},
		{"[abc", "c", true}, {"[abc", "d", false}, {"[", "a", false}, {"[^", "a", true}, {"[]", "a", false}, {"[^]", "a", true},
		{"[a-", "-", true}, {"[a-]x]", "]", true}, {"a*b*c", "aXXbYYc", true}, {"a*b*c", "aXXbYY", false}, {"*a", "ba", true},
		{"*?", "a", true}, {"*?*?", "a", false}, {"a]", "a]", true},
	} {
		if got := Match([]byte(c.pattern), []byte(c.s)); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

func TestGlobAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	random := func(alphabet string) []byte {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return b
	}
	matched := 0
	for range 200_000 {
		p, s := random(`ab*?[]^-\c`), random("abc]")
		want := naiveGlob(p, s)
		if want {
			matched++
		}
		if got := Match(p, s); got != want {
			t.Fatalf("Match(%q, %q) = %v", p, s, got)
		}
	}
	if matched < 1000 {
		t.Fatalf("only %d matches: the test says little", matched)
	}
}

// TestGlobIsNotExponential would run for years with plain backtracking.
func TestGlobIsNotExponential(t *testing.T) {
	p := append(bytes.Repeat([]byte("a*"), 100), 'b')
	s := bytes.Repeat([]byte("a"), 10_000)
	start := time.Now()
	if Match(p, s) {
		t.Fatal("matched")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Fatalf("took %v", d)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add([]byte("a*[b-c]?"), []byte("axxby"))
	f.Fuzz(func(t *testing.T, p, s []byte) {
		if len(p) > 12 || len(s) > 12 {
			t.Skip()
		}
		if got, want := Match(p, s), naiveGlob(p, s); got != want {
			t.Fatalf("Match(%q, %q) = %v", p, s, got)
		}
	})
}
