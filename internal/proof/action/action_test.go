package action

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	a := Parse("link n1>n2 delay=5ms loss=.5 seed=7 count=3")
	from, to := a.Way(0)
	if from != "n1" || to != "n2" || a.Name != "link" || a.Duration("delay", 0) != 5*time.Millisecond || a.Float("loss") != 0.5 || a.Int("count") != 3 {
		t.Errorf("%+v", a)
	}
	if a.Duration("jitter", time.Second) != time.Second || a.Float("drop") != 0 || a.Rand().Uint64() != Parse("x seed=7").Rand().Uint64() {
		t.Error("what is not set")
	}
	if a.Err() != nil || Parse("kill 2").Node(3) != 2 {
		t.Error(a.Err())
	}
}

func TestMistakes(t *testing.T) {
	for line, take := range map[string]func(a *Action){
		"kill":            func(a *Action) { a.Node(3) },
		"kill 4":          func(a *Action) { a.Node(3) },
		"kill n1":         func(a *Action) { a.Node(3) },
		"cut n1-n2":       func(a *Action) { a.Way(0) },
		"disk 1 sync=5":   func(a *Action) { a.Duration("sync", 0) },
		"link a>b loss=x": func(a *Action) { a.Float("loss") },
		"crash 1":         func(a *Action) { a.Rand() },
		"crash 1 keep=":   func(a *Action) { a.Int("keep") },
	} {
		a := Parse(line)
		if take(a); a.Err() == nil {
			t.Errorf("%s: no mistake", line)
		}
	}
}

func TestPlans(t *testing.T) {
	for want, p := range map[string]*Plan{
		"kill 2 / start 2":                            Halt("kill", 2),
		"pause 1 / resume 1":                          Pause(1),
		"cut b>a c>a / mend b>a c>a":                  Deaf("a", "b", "c"),
		"cut a>b a>c / mend a>b a>c":                  Mute("a", "b", "c"),
		"cut a>b b>a / mend a>b b>a":                  Isolate("a", "b"),
		"link a>b x=1link b>a x=1 / link a>blink b>a": Link("x=1", "a", "b"),
		"reset a b / ":                                Reset("a", "b"),
	} {
		got := ""
		for _, line := range p.Begin {
			got += line
		}
		got += " / "
		for _, line := range p.End {
			got += line
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
