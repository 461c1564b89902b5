package main

import (
	"bytes"
	"os"
	"testing"
)

// What docs/CLIENTS.md shows are the files that are run and the results that are
// kept: go run . -update writes it anew.
func TestPage(t *testing.T) {
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what template, results and settings make: go run . -page", pageFile)
	}
}

// Every library has settings for every mode, and the page shows them.
func TestSettings(t *testing.T) {
	page, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libraries {
		for _, m := range modes {
			if _, err := os.Stat(l.settings(m)); err != nil {
				t.Error(err)
			}
			if !bytes.Contains(page, []byte(`.Settings "`+l.settings(m)+`"`)) {
				t.Errorf("%s does not show %s", templateFile, l.settings(m))
			}
		}
	}
}

// A judge that finds nothing must be able to find something.
func TestJudge(t *testing.T) {
	for _, x := range []struct {
		name                string
		told                report
		members             []string
		counter             int
		lost, twice, failed int
	}{
		{"all is there", report{Commands: 6, Added: 2, Incremented: 2}, []string{"1", "2"}, 2, 0, 0, 0},
		{"a member is gone", report{Commands: 6, Added: 2, Incremented: 2}, []string{"2"}, 2, 1, 0, 0},
		{"an increment is gone", report{Commands: 6, Added: 2, Incremented: 2}, []string{"1", "2"}, 1, 1, 0, 0},
		{"an increment was made twice", report{Commands: 6, Added: 2, Incremented: 2}, []string{"1", "2"}, 3, 0, 1, 0},
		{"what failed is not there", report{Commands: 6, Failed: 2, Added: 2, NotAdded: []int{1}, Incremented: 1}, []string{"2"}, 1, 0, 0, 2},
		{"what failed is there", report{Commands: 6, Failed: 2, Added: 2, NotAdded: []int{1}, Incremented: 1}, []string{"1", "2"}, 2, 0, 0, 2},
	} {
		t.Run(x.name, func(t *testing.T) {
			var r result
			r.add(x.told, x.members, x.counter)
			if r.Lost != x.lost || r.Twice != x.twice || r.Failed != x.failed {
				t.Errorf("%d lost, %d twice, %d failed; want %d, %d, %d", r.Lost, r.Twice, r.Failed, x.lost, x.twice, x.failed)
			}
			if broken := r.broken(); broken != (x.lost > 0) {
				t.Errorf("broken: %v", broken)
			}
		})
	}
}

// So must the one of locks and limiters.
func TestJudgePatterns(t *testing.T) {
	held := func() *patterns {
		return &patterns{Counted: 20, Counter: 20, Asked: 9, Granted: []int64{30, 0, 10, 40}, Limit: 2, WindowUS: 30, Paused: paused{OtherKept: true}}
	}
	for _, x := range []struct {
		name  string
		spoil func(p *patterns)
		mode  mode
		holds bool
	}{
		{"all is as promised", func(p *patterns) {}, modeGateway, true},
		{"an increment is gone", func(p *patterns) { p.Counter-- }, modeNode, false},
		{"an increment too many", func(p *patterns) { p.Counter++ }, modeNode, false},
		{"one that failed is there", func(p *patterns) { p.Counter, p.CountsFailed = 21, 1 }, modeNode, true},
		{"one fails through a gateway", func(p *patterns) { p.Counter, p.CountsFailed = 21, 1 }, modeGateway, false},
		{"the lock may have ended", func(p *patterns) { p.Slow = 1 }, modeNode, false},
		{"too many are granted", func(p *patterns) { p.Granted[0] = 29 }, modeNode, false},
		{"all are granted", func(p *patterns) { p.Asked = len(p.Granted) }, modeNode, false},
		{"the holder extends", func(p *patterns) { p.Paused.HolderExtended = true }, modeNode, false},
		{"the holder releases", func(p *patterns) { p.Paused.HolderReleased = true }, modeNode, false},
		{"the holder writes", func(p *patterns) { p.Paused.HolderWrote = true }, modeNode, false},
		{"the other has lost it", func(p *patterns) { p.Paused.OtherKept = false }, modeNode, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			p := held()
			x.spoil(p)
			if err := p.judge(x.mode); (err == nil) != x.holds {
				t.Errorf("judged: %v", err)
			}
		})
	}
}

// And the one of caches.
func TestJudgeCaches(t *testing.T) {
	for _, x := range []struct {
		name  string
		spoil func(k *caches)
		mode  mode
		holds bool
	}{
		{"all is as promised", func(*caches) {}, modeGateway, true},
		{"it goes back", func(k *caches) { k.Back = 1 }, modeNode, false},
		{"it is told late", func(k *caches) { k.LateMS = lateMS + 1 }, modeNode, false},
		{"it is never told", func(k *caches) { k.Wrong = 1 }, modeNode, false},
		{"one fails through a gateway", func(k *caches) { k.Failed = 1 }, modeGateway, false},
		{"one fails at a node", func(k *caches) { k.Failed = 1 }, modeNode, true},
		{"nothing is kept", func(k *caches) { k.FromMemory = 10 }, modeNode, false},
		{"nothing is written", func(k *caches) { k.Writes = 1 }, modeNode, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			k := &caches{Reads: 1000, FromMemory: 900, Writes: 200, LateMS: 8}
			x.spoil(k)
			if err := k.judge(x.mode); (err == nil) != x.holds {
				t.Errorf("judged: %v", err)
			}
		})
	}
}

// And the one of Socket.IO.
func TestJudgeNews(t *testing.T) {
	for _, x := range []struct {
		name  string
		spoil func(n *news)
		mode  mode
		holds bool
	}{
		{"all are heard", func(*news) {}, modeGateway, true},
		{"one is lost through a gateway", func(n *news) { n.Heard-- }, modeGateway, false},
		{"one is lost at a node", func(n *news) { n.Heard-- }, modeNode, true},
		{"one is heard twice", func(n *news) { n.Twice = 1 }, modeNode, false},
		{"one comes late", func(n *news) { n.Unordered = 1 }, modeNode, false},
		{"one is lost when all is well", func(n *news) { n.LateMissing = 1 }, modeNode, false},
		{"none are sent", func(n *news) { *n = news{} }, modeNode, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			n := &news{Sent: 500, Heard: 500}
			x.spoil(n)
			if err := n.judge(x.mode); (err == nil) != x.holds {
				t.Errorf("judged: %v", err)
			}
		})
	}
}
