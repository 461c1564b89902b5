// Command tutti turns a group of machines into one computer. Its subcommands
// are listed below, one file each.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

// suggestDistance is how many letters a misspelt subcommand may be off.
const suggestDistance = 2

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	err := rootCommand(args).Execute()
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		e = usageError(err.Error(), "tutti") // cobra's own errors are about usage
	}
	if e.what != "" {
		fmt.Fprint(os.Stderr, e.text())
	}
	return e.code
}

func rootCommand(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:     "tutti",
		Short:   "Many machines, one computer: storage behind any Redis client that survives the loss of machines",
		Example: "  tutti demo\n  tutti dev",
		Args:    noSuchCommand,
		RunE:    func(*cobra.Command, []string) error { return begin() },
		// Errors are printed once, by run, in the form of errors.go.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(demoCommand(), devCommand(), startCommand(), statusCommand(), cliCommand(), versionCommand())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError(err.Error(), c.CommandPath()) })
	root.SetArgs(args)
	return root
}

// noSuchCommand refuses words that are no subcommand.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	e := usageError(fmt.Sprintf("there is no command %q", args[0]), "tutti")
	best, letters := "", suggestDistance+1
	for _, c := range root.Commands() {
		if d := distance(args[0], c.Name()); d < letters && !c.Hidden {
			best, letters = c.Name(), d
		}
	}
	if best != "" {
		e.what += fmt.Sprintf("; did you mean %q?", best)
		e.do = "tutti " + best + " --help"
	}
	return e
}

// distance counts the letters to insert, remove or replace to make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // distances of the letters of a so far to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := corner
			if a[i] != b[j] {
				replace++
			}
			corner = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// begin is what tutti alone does: it shows the cluster that runs here, or how
// to start one.
func begin() error {
	addr := givenAddr()
	switch _, err := askStatus(addr, time.Second); {
	case err == nil:
		return printStatus(addr, false)
	case errors.Is(err, errNoTutti):
		fmt.Printf("Something that is not tutti answers at %s.", addr)
	default:
		fmt.Printf("No node answers at %s.", addr)
	}
	fmt.Printf(` To begin:

  tutti demo      run three nodes, kill some, and check that nothing was lost
  tutti dev       run a cluster on this machine; it keeps its data
  tutti status    say whether the cluster is safe now
  tutti cli       send commands, as with redis-cli
  tutti --help    all commands (this is tutti %s)
`, node.Version)
	return nil
}
