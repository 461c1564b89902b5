package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tutti/internal/command"
	"tutti/internal/resp"
)

const (
	dialTimeout   = 3 * time.Second
	cliLineLenMax = 64 << 20 // of commands from a pipe
)

var errArguments = errors.New("invalid arguments: a quote is not closed, or closed inside a word")

type cliOptions struct {
	target
	json  bool
	raw   bool
	resp3 bool
}

func cliCommand() *cobra.Command {
	var o cliOptions
	c := &cobra.Command{
		Use:   "cli [COMMAND [ARG]...]",
		Short: "Send commands to a node: one, those of a pipe, or interactively",
		Long: `Sends commands to a node: the one given, else those read from a pipe, else
those typed. Quotes are those of redis-cli. Exit codes: 1 the answer is an
error, 3 no node, 4 no right to it, 5 not applied and safe to retry, 6 it may
have been applied.`,
		Example: "  tutti cli SET greeting hello\n  tutti cli --json HGETALL user:1\n  echo 'INCR visits' | tutti cli\n  tutti cli",
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("raw") {
				o.raw = !term.IsTerminal(int(os.Stdout.Fd()))
			}
			return cli(o, args)
		},
	}
	c.Flags().SetInterspersed(false) // what follows the command belongs to it
	targetFlags(c, &o.target)
	c.Flags().BoolVar(&o.json, "json", false, "print answers as JSON (bytes that are no UTF-8 become U+FFFD)")
	c.Flags().BoolVar(&o.raw, "raw", false, "print answers as they are (the default if the output is no terminal)")
	c.Flags().BoolVarP(&o.resp3, "resp3", "3", false, "speak version 3 of the protocol")
	return c
}

func cli(o cliOptions, args []string) error {
	s := newSession(o.target, o.resp3)
	defer s.close()
	p := printer{json: o.json, raw: o.raw, out: os.Stdout, errors: os.Stderr}
	switch {
	case len(args) > 0:
		v, err := s.run(args)
		if err != nil {
			return err
		}
		return p.print(v)
	case !term.IsTerminal(int(os.Stdin.Fd())):
		return runLines(s, p, os.Stdin)
	}
	return interact(s, p)
}

// runLines runs the commands that in holds, one a line. It goes on after an
// error, but for a lost connection, and fails as the first did.
func runLines(s *session, p printer, in io.Reader) error {
	var first error
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, cliLineLenMax)
	for n := 1; lines.Scan(); n++ {
		args, err := splitLine(lines.Text())
		switch {
		case err != nil:
			err = usageError(fmt.Sprintf("line %d: %v", n, err), "tutti cli")
			fmt.Fprintln(p.errors, err)
		case len(args) > 0:
			v, lost := s.run(args)
			if lost != nil {
				return lost
			}
			err = p.print(v)
		}
		if first == nil && err != nil {
			first = err
		}
	}
	if err := lines.Err(); err != nil {
		return failed(fmt.Errorf("read commands: %w", err), "")
	}
	if e, ok := errors.AsType[*exitError](first); ok {
		return &exitError{code: e.code} // it has been printed
	}
	return first
}

// splitLine cuts a line into arguments by the rules of redis-cli, which are
// those of inline commands.
func splitLine(line string) ([]string, error) {
	if strings.ContainsRune(line, 0) {
		return nil, errArguments
	}
	// The blank keeps a line that begins with '*' from being read as an array.
	src := io.MultiReader(strings.NewReader(" "), strings.NewReader(strings.TrimRight(line, "\r\n")), strings.NewReader("\n"))
	args, err := resp.NewReader(src, resp.Limits{InlineLenMax: len(line) + 2}).ReadCommand()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil // nothing but blanks
	case err != nil:
		return nil, errArguments
	}
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = string(a)
	}
	return list, nil
}

// session is a client that finds its way back after a lost connection.
type session struct {
	target
	resp3 bool
	table *command.Table
	conn  *respConn // nil: not connected
	// State of the connection, as far as answers have told.
	db     int
	multi  bool
	writes bool // a write is queued in MULTI
}

func newSession(t target, resp3 bool) *session {
	return &session{target: t, resp3: resp3, table: command.NewTable()}
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	s.multi, s.writes = false, false
}

func (s *session) connect() error {
	conn, err := s.dial(dialTimeout)
	if err != nil {
		return s.unreachable(err)
	}
	s.conn = conn
	var first [][]string
	if s.resp3 {
		first = append(first, []string{"HELLO", "3"})
	}
	if s.db != 0 {
		first = append(first, []string{"SELECT", strconv.Itoa(s.db)})
	}
	if len(first) == 0 {
		return nil
	}
	replies, err := conn.pipeline(dialTimeout, first...)
	if err != nil {
		s.close()
		return s.unreachable(err)
	}
	for i, v := range replies {
		if v.IsError() {
			s.close()
			if answerCode(string(v.Str)) == exitNoLogin {
				return s.unreachable(refusedBy(string(v.Str)))
			}
			return failed(fmt.Errorf("%s refuses %s: %s", s.addr, first[i][0], v.Str), "")
		}
	}
	return nil
}

func unreachable(addr string, err error) *exitError {
	return &exitError{code: exitUnreachable, what: fmt.Sprintf("cannot reach a node at %s: %v", addr, cause(err)), safe: "nothing was sent",
		do: "start a cluster: tutti dev   or name a node: --addr HOST:PORT"}
}

// run sends one command and returns the answer. It waits as long as the answer
// takes, while the node lives.
func (s *session) run(args []string) (resp.Value, error) {
	if s.conn != nil && !s.conn.alive() {
		multi := s.multi
		s.close()
		if multi {
			return resp.Value{}, &exitError{code: exitUnavailable, what: "the connection was closed during MULTI", safe: "nothing of the transaction was applied", do: "begin again"}
		}
	}
	if s.conn == nil {
		if err := s.connect(); err != nil {
			return resp.Value{}, err
		}
	}
	began, w := time.Now(), watch(s.target, s.conn)
	v, err := s.conn.do(0, args...)
	silent := w.end()
	if err != nil {
		lost := s.lost(args, err)
		if silent != nil {
			lost.what, lost.do = s.silence(time.Since(began)), lost.do+"; "+s.doAskAnother()
		}
		s.close()
		return v, lost
	}
	s.follow(args, v)
	return v, nil
}

// lost is the error of a command that was sent and not answered.
func (s *session) lost(args []string, err error) *exitError {
	e := &exitError{code: exitUnreachable, what: fmt.Sprintf("the connection to %s was lost: %v", s.addr, cause(err)), safe: "the command changes nothing", do: "send it again"}
	if s.mayWrite(args) {
		e.code, e.safe, e.do = exitUnknown, "no: the command may or may not have been applied", "read before you send it again"
	}
	return e
}

// mayWrite reports whether the command may change data at once.
func (s *session) mayWrite(args []string) bool {
	if s.multi {
		return s.writes && strings.EqualFold(args[0], "EXEC")
	}
	return s.isWrite(args)
}

// isWrite looks into the table. What the table does not know may be a write of
// a newer node.
func (s *session) isWrite(args []string) bool {
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	cmd := s.table.Find(list[0])
	if sub, _ := s.table.Lookup(list); sub != nil {
		cmd = sub
	}
	switch {
	case cmd == nil, cmd.Flags&(command.Write|command.MayWrite) != 0, cmd.Name == "publish", cmd.Name == "spublish":
		return true
	case cmd.Flags&command.Admin == 0 || cmd.Flags&command.ReadOnly != 0:
		return false
	}
	switch cmd.Name { // what the node does by itself, and changes nothing
	case "acl|dryrun", "acl|getuser", "acl|list", "acl|log", "acl|users", "client|list", "config|get", "tutti.doctor", "tutti.status":
		return false
	}
	return true
}

// follow keeps what the prompt shows and what a new connection needs.
func (s *session) follow(args []string, v resp.Value) {
	switch name := strings.ToUpper(args[0]); {
	case name == "EXEC" || name == "DISCARD":
		s.multi, s.writes = false, false
	case string(v.Str) == "QUEUED" && s.multi:
		s.writes = s.writes || s.isWrite(args)
	case v.IsError():
	case name == "MULTI":
		s.multi = true
	case name == "SELECT" && len(args) == 2:
		s.db, _ = strconv.Atoi(args[1])
	case name == "RESET":
		s.db, s.multi, s.writes = 0, false, false
	}
}

// prompt is that of redis-cli.
func (s *session) prompt() string {
	text := s.addr
	if s.conn == nil {
		text = "not connected"
	}
	if s.db != 0 {
		text += "[" + strconv.Itoa(s.db) + "]"
	}
	if s.multi {
		text += "(TX)"
	}
	return text + "> "
}
