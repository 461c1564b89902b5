// Command tutti turns a group of machines into one computer. Its subcommands
// are listed below, one file each.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	c, err := rootCommand(args).ExecuteC()
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*exitError](err)
	if !ok {
		e = misused(err, c) // cobra's own errors are about usage
	}
	if e.what != "" {
		fmt.Fprint(os.Stderr, e.text())
	}
	return e.code
}

// misused is an error of cobra's about how c was called. Where there is something too few
// or too many it says how it is called.
func misused(err error, c *cobra.Command) *exitError {
	what := err.Error()
	if strings.Contains(what, "(s)") {
		what = strings.TrimSuffix(c.UseLine(), " [flags]") + ": " + strings.ReplaceAll(what, "arg(s)", "argument(s)")
	}
	return usageError(what, c.CommandPath())
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
	root.AddCommand(demoCommand(), devCommand(), initCommand(), joinCommand(), leaveCommand(), startCommand(), tokenCommand(), certCommand(), statusCommand(), whyCommand(),
		nodeCommand(), userCommand(), runCommand(), jobCommand(), taskCommand(), queueCommand(), doctorCommand(), recoverCommand(), cliCommand(), versionCommand())
	whole := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		if c != root {
			whole(c, args)
			return
		}
		fmt.Fprint(c.OutOrStdout(), rootHelp)
	})
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageError(err.Error(), c.CommandPath()) })
	root.SetArgs(args)
	return root
}

// rootHelp lists the commands by what they are for: there are too many to give a
// line to each.
const rootHelp = `Many machines, one computer: storage behind any Redis client that survives the
loss of machines.

Usage:
  tutti COMMAND [FLAG]...

  Try      demo · dev
  Start    init · join · start · leave
  Look     status · why · doctor · version
  Data     cli
  Compute  run · job · task · queue
  Operate  node · user · token · cert · recover

Examples:
  tutti demo
  tutti init
  tutti join --help

Every command tells more with --help.
`

// mistyped is how many letters a misspelt subcommand may be off.
const mistyped = 2

// noSuchCommand refuses words that are no subcommand.
func noSuchCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	e := usageError(fmt.Sprintf("there is no command %q", args[0]), root.CommandPath())
	root.SuggestionsMinimumDistance = mistyped
	switch meant := root.SuggestionsFor(args[0]); len(meant) {
	case 0:
	case 1:
		e.what += fmt.Sprintf("; did you mean %q?", meant[0])
		e.do = root.CommandPath() + " " + meant[0] + " --help"
	default:
		e.what += fmt.Sprintf("; did you mean one of %q?", meant)
	}
	return e
}

// begin is what tutti alone does: it shows the cluster that runs here, or how
// to start one.
func begin() error {
	t := target{addr: givenAddr(), ca: os.Getenv("TUTTI_CACERT")}
	if err := t.prepare(); err != nil {
		return err
	}
	switch _, err := t.status(time.Second, ofItself); {
	case err == nil:
		return printStatus(statusOptions{target: t})
	case errors.Is(err, errNoTutti):
		fmt.Printf("Something that is not tutti answers at %s.", t.addr)
	default:
		fmt.Printf("No node answers at %s.", t.addr)
	}
	fmt.Printf(` To begin:

  tutti demo      run three nodes, kill some, and check that nothing was lost
  tutti dev       run a cluster on this machine; it keeps its data
  tutti init      begin a cluster that other machines join
  tutti status    say whether the cluster is safe now
  tutti cli       send commands, as with redis-cli
  tutti --help    all commands (this is tutti %s)
`, node.Version)
	return nil
}
