package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tutti/internal/resp"
)

func userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "user",
		Short:   "Make, change and remove users, and say what they may do",
		Example: "  tutti user add app '~app:*' +@read +@write\n  tutti user test app SET app:1 x",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(userListCommand(), userAddCommand(), userSetCommand(), userRemoveCommand(), userTestCommand())
	return c
}

// userView is a user as the list shows it.
type userView struct {
	Name      string   `json:"name"`
	On        bool     `json:"on"`
	NoPass    bool     `json:"nopass"`
	Passwords int      `json:"passwords"`
	Rules     []string `json:"rules"` // without what the other fields say
}

// viewOf reads a line of ACL LIST.
func viewOf(line string) userView {
	words := strings.Split(line, " ")
	u := userView{Rules: []string{}}
	if len(words) < 2 {
		return u
	}
	u.Name = words[1]
	for _, w := range words[2:] {
		switch {
		case w == "on":
			u.On = true
		case w == "nopass":
			u.NoPass = true
		case strings.HasPrefix(w, "#"):
			u.Passwords++
		case w != "off" && w != "sanitize-payload":
			u.Rules = append(u.Rules, w)
		}
	}
	return u
}

// login says in words how the user logs in.
func (u userView) login() string {
	switch {
	case !u.On:
		return "off"
	case u.NoPass:
		return "no password"
	case u.Passwords == 0:
		return "never"
	case u.Passwords == 1:
		return "password"
	}
	return fmt.Sprintf("%d passwords", u.Passwords)
}

func askUsers(t target) ([]userView, error) {
	v, err := askCluster(t, "ACL", "LIST")
	if err != nil {
		return nil, err
	}
	list := make([]userView, 0, len(v.Elems))
	for _, line := range v.Elems {
		list = append(list, viewOf(string(line.Str)))
	}
	return list, nil
}

func userListCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Short: "List the users", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list, err := askUsers(t)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(list)
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "USER\tLOGIN\tRIGHTS")
			for _, u := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\n", u.Name, u.login(), strings.Join(u.Rules, " "))
			}
			return w.Flush()
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// generatedBits is the strength of passwords that are made here.
const generatedBits = "128"

func userAddCommand() *cobra.Command {
	var t target
	var stdin bool
	c := &cobra.Command{
		Use:   "add [FLAG...] NAME [RULE...]",
		Short: "Make a user with a password that is printed once",
		Long: `Makes a user who may log in with a password, and may do what the rules say, in the
words of ACL SETUSER: ~pattern for keys, +command, +@category. Without rules it
may do nothing. The password is made up and printed, unless it comes on stdin.`,
		Example: "  tutti user add app '~app:*' +@read +@write\n  tutti user add --password-stdin ops allkeys allcommands < file",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := noPasswords(args[1:], "tutti user add"); err != nil {
				return err
			}
			return addUser(t, args[0], args[1:], stdin)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of stdin")
	c.Flags().SetInterspersed(false) // rules may begin with a minus
	return c
}

func addUser(t target, name string, rules []string, stdin bool) error {
	list, err := askUsers(t)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(u userView) bool { return u.Name == name }) {
		return failed(fmt.Errorf("there is a user %q already; nothing was changed", name), "tutti user set "+name+" RULE...")
	}
	password, err := newPassword(t, stdin)
	if err != nil {
		return err
	}
	if err := setUser(t, name, slices.Concat([]string{"on", ">" + password}, rules)); err != nil {
		return err
	}
	fmt.Printf("user %s was made, and may log in through every node\n", name)
	if !stdin {
		fmt.Printf("  password  %s   (shown only now)\n", password)
	}
	return nil
}

func newPassword(t target, stdin bool) (string, error) {
	if !stdin {
		v, err := askCluster(t, "ACL", "GENPASS", generatedBits)
		return string(v.Str), err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" || err != nil && !errors.Is(err, io.EOF) {
		return "", usageError("there is no password on stdin", "tutti user add")
	}
	return line, nil
}

// noPasswords refuses rules that hold a password: every user of this machine could
// read it in the list of processes.
func noPasswords(rules []string, command string) error {
	for _, r := range rules {
		if strings.HasPrefix(r, ">") || strings.HasPrefix(r, "<") {
			e := usageError("a password must not be given as an argument: others on this machine could read it", command)
			e.do = "tutti user add --password-stdin, or ACL SETUSER in tutti cli"
			return e
		}
	}
	return nil
}

func setUser(t target, name string, rules []string) error {
	return administer(t, slices.Concat([]string{"ACL", "SETUSER", name}, rules)...)
}

func userSetCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "set [FLAG...] NAME RULE...", Short: "Change what a user may do", Args: cobra.MinimumNArgs(2),
		Long:    "Changes a user by rules in the words of ACL SETUSER. When it returns, they hold on every node.",
		Example: "  tutti user set app -@dangerous '%R~shared:*'\n  tutti user set app off",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := noPasswords(args[1:], "tutti user set"); err != nil {
				return err
			}
			list, err := askUsers(t)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list, func(u userView) bool { return u.Name == args[0] }) {
				return failed(fmt.Errorf("there is no user %q; nothing was changed", args[0]), "tutti user add "+args[0]+" RULE...")
			}
			if err := setUser(t, args[0], args[1:]); err != nil {
				return err
			}
			fmt.Printf("user %s was changed\n", args[0])
			return nil
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().SetInterspersed(false)
	return c
}

func userRemoveCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "rm NAME...", Short: "Remove users and end their connections", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := askCluster(t, slices.Concat([]string{"ACL", "DELUSER"}, args)...)
			if err != nil {
				return err
			}
			if v.Int < int64(len(args)) {
				return failed(fmt.Errorf("%d of %d users were there, and were removed", v.Int, len(args)), "tutti user ls")
			}
			for _, name := range args {
				fmt.Printf("user %s was removed, its connections have ended\n", name)
			}
			return nil
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}

func userTestCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "test [FLAG...] NAME COMMAND [ARG...]", Short: "Say whether a user may execute a command", Args: cobra.MinimumNArgs(2),
		Long:    "Says whether a user may execute a command, without executing it. The exit status is 1 if not.",
		Example: "  tutti user test app GET app:1",
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := askCluster(t, slices.Concat([]string{"ACL", "DRYRUN"}, args)...)
			if err != nil {
				return err
			}
			if v.Kind == resp.KindSimple {
				fmt.Printf("yes, %s may run %s\n", args[0], strings.Join(args[1:], " "))
				return nil
			}
			fmt.Printf("no: %s\n", v.Str)
			return &exitError{code: exitFailed}
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().SetInterspersed(false) // what follows belongs to the command
	return c
}
