// Command tutti turns a group of machines into one computer. Its subcommands
// are listed below, one file each.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	root := &cobra.Command{
		Use:   "tutti",
		Short: "Many machines, one computer: storage, tasks and messages behind any Redis client",
		// Errors are printed here, once, in the form of errors.go.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(demoCommand(), devCommand(), startCommand(), statusCommand(), cliCommand(), versionCommand())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err.Error()) })
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = usageError(err.Error()) // cobra's own errors are about usage
	}
	if e.what != "" {
		fmt.Fprint(os.Stderr, e.text())
	}
	return e.code
}
