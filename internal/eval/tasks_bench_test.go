package eval

import (
	"fmt"
	"strings"
	"testing"

	"tutti/internal/group"
)

// BenchmarkTasks evaluates and applies batches of 100 groups of one command each:
// SETs for comparison, and tasks that are added, claimed and done. Each number is
// that of one command.
func BenchmarkTasks(b *testing.B) {
	const batch = 100
	payload := strings.Repeat("p", 100)
	run := func(c *testCore, line func(i int) string) (replies []string) {
		groups := make([]*group.Group, batch)
		for i := range groups {
			groups[i] = c.write(line(i))
		}
		return c.run(groups...)
	}
	b.Run("set", func(b *testing.B) {
		c := newTestCore(b)
		b.ReportAllocs()
		for n := 0; n < b.N; n += batch {
			run(c, func(i int) string { return fmt.Sprint("SET key", n+i, " ", payload) })
		}
	})
	for _, waiting := range []int{0, 200_000} {
		b.Run(fmt.Sprint("one of each, waiting=", waiting), func(b *testing.B) {
			c := newTestCore(b)
			for added := 0; added < waiting; added += 1000 {
				c.run(c.write("TASK.ADD q COUNT 1000" + strings.Repeat(" "+payload, 1000)))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += 3 * batch {
				run(c, func(int) string { return "TASK.ADD q " + payload })
				claims := run(c, func(int) string { return "TASK.CLAIM w FROM q" })
				run(c, func(i int) string {
					words := strings.Fields(claims[i])
					return "TASK.DONE " + words[3] + " " + words[5]
				})
			}
		})
	}
}
