package sim

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// The leader stands still while another is elected and keys change, and hears
// nobody when it goes on: for a while it believes that it still leads. Nothing
// that it finds in its state then may leave, whether found by a read or by a
// write that has nothing to do.
func TestLeaderBackFromPauseAnswersNothingOld(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, Options{Seed: 90 + seed}, func(t *testing.T, c *Cluster) {
				lead := c.WaitLeader(1)
				k := c.Client("").At(lead)
				k.Must("SET", "b", "old")
				k.Must("SET", "gone", "1")
				k.Close()
				c.Pause(lead)
				next := lead
				for next == lead {
					time.Sleep(100 * time.Millisecond)
					next = c.WaitLeader(1)
				}
				k.At(next)
				k.Must("SET", "a", "1")
				k.Must("SET", "b", "new")
				k.Must("DEL", "gone")
				k.Must("RPUSH", "l", "x")
				k.Must("RPUSH", "q", "x") // of its own: whoever asks for the length of l may come after a rename
				k.Close()
				var others []string
				for i := 1; i <= 3; i++ {
					if i != lead {
						others = append(others, c.Name(i))
					}
				}
				c.Split([]string{c.Name(lead)}, others)
				c.Resume(lead)
				askAll(t, c, lead, next)
			})
		})
	}
}

// askAll asks a node that may be deposed, heals, and looks at the answers.
func askAll(t *testing.T, c *Cluster, lead, next int) {
	var wg sync.WaitGroup
	ask := func(want string, cmds ...[]string) {
		k := c.Client("").At(lead)
		wg.Go(func() {
			defer k.Close()
			v, err := k.Pipe(cmds...)
			if err != nil {
				t.Errorf("%v: %v", cmds, err)
				return
			}
			if got := Text(v[len(v)-1]); got != want && !v[len(v)-1].IsError() {
				t.Errorf("%v: %s, want %s", cmds, got, want)
			}
		})
	}
	ask("new", []string{"GET", "b"})
	ask("0", []string{"SETNX", "a", "2"})
	ask("1", []string{"EXISTS", "a"})
	ask("1", []string{"LLEN", "l"})
	ask("0", []string{"DEL", "gone"})
	ask("nil", []string{"SET", "gone2", "x", "XX"})
	ask("[new]", []string{"MULTI"}, []string{"GET", "b"}, []string{"EXEC"})
	ask("[1 new]", []string{"MULTI"}, []string{"SETNX", "fresh", "1"}, []string{"GET", "b"}, []string{"EXEC"})
	ask("new", []string{"SET", "b", "x", "NX", "GET"})
	ask("1", []string{"RENAMENX", "q", "m"})
	time.Sleep(time.Second)
	c.Heal()
	wg.Wait()
	k := c.Client("").At(next)
	defer k.Close()
	if got := Text(k.Must("LRANGE", "m", "0", "-1")); got != "[x]" {
		t.Errorf("the renamed list: %s", got)
	}
	c.WaitEqual(10 * time.Second)
}
