package server

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/meta"
	"tutti/internal/resp"
	"tutti/internal/router"
)

// Users are rows of the meta shard. What changes one hides its passwords here, is
// evaluated there, and is answered when it holds everywhere. What shows users asks
// meta first, so that every node shows the same.

const errNoFile = "ERR users are kept by the cluster, durably when ACL SETUSER answers; there is no ACL file to load or save. Nothing was changed."

func aclHandlers() map[string]handler {
	refused := func(r *request, _ [][]byte) { r.Error(errNoFile) }
	return map[string]handler{
		"acl|whoami":  func(r *request, _ [][]byte) { r.BulkString(r.c.session.user.Name) },
		"acl|users":   aclUsers,
		"acl|list":    aclList,
		"acl|cat":     aclCat,
		"acl|getuser": aclGetuser,
		"acl|log":     aclLog,
		"acl|setuser": aclSetuser,
		"acl|deluser": aclDeluser,
		"acl|dryrun":  aclDryrun,
		"acl|genpass": aclGenpass,
		"acl|load":    refused,
		"acl|save":    refused,
		"acl|help":    help,
	}
}

// onMeta executes a command on the meta shard for the client and returns its reply,
// or answers the error. It is sent again if the client's rights have to be looked
// at again.
func (r *request) onMeta(args ...string) (reply resp.Value, ok bool) {
	text := errMoving
	for range detoursMax {
		result := r.c.lanes.group(cluster.Meta, &group.Group{Proto: 2, Room: group.RepliesMax}, internal(args))
		ref := result.Reply.Refusal()
		if ref == nil {
			return r.internalReply(result)
		}
		if ref.Users == 0 || !r.s.awaitUsers(&r.c.wait, ref.Users, usersTimeout) {
			break
		}
		if r.c.renew() {
			if v := r.c.session.judge(r.cmd, r.args); v.text != "" {
				text = v.text
				break
			}
		}
		if r.c.closed {
			break
		}
	}
	r.Error(text)
	return reply, false
}

// internal is a command that nodes send.
func internal(args []string) []pending {
	p := pending{args: make([][]byte, len(args))}
	for i, a := range args {
		p.args[i] = []byte(a)
	}
	return []pending{p}
}

// internalReply returns the reply to a command that nodes send, or answers the
// error.
func (r *request) internalReply(result router.Result) (reply resp.Value, ok bool) {
	if text := result.Err; text != "" || len(result.Reply.Replies) == 0 {
		r.Error(cmp.Or(text, errMoving))
		return reply, false
	}
	reply, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(result.Reply.Replies[0])))
	switch {
	case err != nil:
		r.Error(fmt.Sprintf("UNCERTAIN a shard answered nonsense (%v). The users may have been changed.", err))
		return reply, false
	case reply.IsError():
		r.Error(string(reply.Str))
		return reply, false
	}
	return reply, true
}

// newestUsers asks meta for the users, or answers the error.
func (r *request) newestUsers() (*acl.Set, bool) {
	reply, ok := r.onMeta("TUTTI.USER", "LIST")
	if !ok {
		return nil, false
	}
	set, err := meta.DecodeUsers(r.s.cfg.Table.Catalog(), reply.Str)
	if err != nil {
		r.Error(fmt.Sprintf("ERR %v. Nothing was changed.", err))
		return nil, false
	}
	r.s.cfg.Users.Replace(set)
	return set, true
}

func aclUsers(r *request, _ [][]byte) {
	if users, ok := r.newestUsers(); ok {
		all := users.All()
		r.Array(len(all))
		for _, u := range all {
			r.BulkString(u.Name)
		}
	}
}

func aclList(r *request, _ [][]byte) {
	if users, ok := r.newestUsers(); ok {
		all := users.All()
		r.Array(len(all))
		for _, u := range all {
			r.BulkString(u.String())
		}
	}
}

func aclCat(r *request, args [][]byte) {
	switch len(args) {
	case 2:
		r.BulkStrings(command.Categories)
	case 3:
		category := strings.ToLower(string(args[2]))
		if !slices.Contains(command.Categories, category) {
			r.Error(fmt.Sprintf("ERR Unknown category '%.128s'", args[2]))
			return
		}
		var names []string
		for _, cmd := range everyCommand(r.s.cfg.Table) {
			if slices.Contains(cmd.ACLCategories(), category) {
				names = append(names, cmd.Name)
			}
		}
		r.BulkStrings(names)
	default:
		r.wrongSubcommand(args)
	}
}

// wrongSubcommand answers the error of ACL for a number of arguments that a
// subcommand does not take.
func (r *request) wrongSubcommand(args [][]byte) {
	r.Error(fmt.Sprintf("ERR unknown subcommand or wrong number of arguments for '%.128s'. Try ACL HELP.", args[1]))
}

func aclGetuser(r *request, args [][]byte) {
	users, ok := r.newestUsers()
	if !ok {
		return
	}
	u := users.User(string(args[2]))
	if u == nil {
		r.Null()
		return
	}
	r.Map(6)
	r.BulkString("flags")
	r.Set(len(u.Flags()))
	for _, flag := range u.Flags() {
		r.BulkString(flag)
	}
	r.BulkString("passwords")
	r.BulkStrings(u.Passwords())
	for i, s := range u.Selectors() {
		switch i {
		case 0:
			r.selector(s)
			r.BulkString("selectors")
			r.Array(len(u.Selectors()) - 1)
		default:
			r.Map(3)
			r.selector(s)
		}
	}
}

func (r *request) selector(s acl.Selector) {
	for _, pair := range [][2]string{{"commands", s.Commands}, {"keys", s.Keys}, {"channels", s.Channels}} {
		r.Pair(pair[0], pair[1])
	}
}

// changing is called around a change of users: if it ends the user of this very
// connection, the connection ends behind the answer.
func (r *request) changing(f func()) {
	face := &r.c.face
	face.changing.Store(true)
	f()
	face.changing.Store(false)
	if stale(r.s.cfg.Users.Set(), face.user.Load()) {
		r.c.closed = true
	}
}

func aclSetuser(r *request, args [][]byte) { r.changing(func() { r.setUser(args) }) }

func (r *request) setUser(args [][]byte) {
	name := string(args[2])
	if err := acl.NameError(name); err != nil {
		r.Error("ERR " + err.Error())
		return
	}
	rules := make([]string, 0, len(args)-3)
	for _, a := range args[3:] {
		rules = append(rules, string(a))
	}
	users, ok := r.newestUsers()
	if !ok {
		return
	}
	old := users.User(name)
	hidden, err := r.s.passwords.Hide(r.c.gone, old, rules)
	if err != nil {
		r.Error("BUSY " + err.Error() + ". Nothing was changed.")
		return
	}
	// What is wrong is said in the client's words, which meta is not told.
	if _, err := acl.Change(r.s.cfg.Table.Catalog(), old, name, 0, hidden); err != nil {
		r.Error("ERR " + inOwnWords(err, rules, hidden).Error())
		return
	}
	reply, ok := r.onMeta(append([]string{"TUTTI.USER", "SET", name}, hidden...)...)
	if !ok {
		return
	}
	if r.everywhere(uint64(reply.Int)) {
		r.OK()
	}
}

// inOwnWords puts the rule that the client gave in the place of the one that hides
// its password.
func inOwnWords(err error, rules, hidden []string) error {
	m, ok := errors.AsType[*acl.ModifierError](err)
	if !ok {
		return err
	}
	if i := slices.Index(hidden, m.Rule); i >= 0 {
		return &acl.ModifierError{Rule: rules[i], Err: m.Err}
	}
	return err
}

func aclDeluser(r *request, args [][]byte) { r.changing(func() { r.deleteUsers(args) }) }

func (r *request) deleteUsers(args [][]byte) {
	words := []string{"TUTTI.USER", "REMOVE"}
	for _, a := range args[2:] {
		words = append(words, string(a))
	}
	reply, ok := r.onMeta(words...)
	if !ok {
		return
	}
	if len(reply.Elems) == 2 && r.everywhere(uint64(reply.Elems[1].Int)) {
		r.Int(reply.Elems[0].Int)
	}
}

// everywhere waits until no node executes anything by the rights of users before an
// epoch, or answers the error.
func (r *request) everywhere(epoch uint64) bool {
	fence := internal([]string{"TUTTI.FENCE", strconv.FormatUint(epoch, 10)})
	for _, shard := range r.s.cfg.Router.Shards() { // meta has it with the change
		// It is the node's: the client may have lost the right to change users by now.
		result := r.c.lanes.send(shard.ID, &group.Group{Proto: 2}, fence)
		if len(result.Reply.Replies) != 1 || bytes.HasPrefix(result.Reply.Replies[0], []byte("-")) {
			r.Error(fmt.Sprintf("UNCERTAIN the users were changed, but shard %d has not confirmed that it goes by them. Repeat the command to be sure.", shard.ID))
			return false
		}
	}
	if !r.s.awaitUsers(&r.c.wait, epoch, usersTimeout) {
		r.Error("UNCERTAIN the users were changed, but this node has not learned it in time. Repeat the command to be sure.")
		return false
	}
	nodesFollow(r, epoch)
	return true
}

// followMax is how long a change of users waits for the other nodes.
const followMax = 2 * time.Second

// nodesFollow waits until the other nodes go by the users of an epoch in what they
// answer without a shard. One that can't be reached keeps nobody waiting: it may be
// dead. It reaches no data by older rights.
func nodesFollow(r *request, epoch uint64) {
	if r.s.cfg.UsersBehind == nil {
		return
	}
	end := time.Now().Add(followMax)
	again := time.NewTicker(followMax / 10) // one may fall silent meanwhile
	defer again.Stop()
	for {
		nodes, changed := r.s.cfg.UsersBehind(epoch)
		if len(nodes) == 0 {
			return
		}
		if !time.Now().Before(end) {
			r.s.cfg.Logger.Warn("nodes do not tell that they go by a change of users; until they learn it, what they answer without a shard is by the users before",
				slog.Any("nodes", nodes), slog.Uint64("epoch", epoch))
			return
		}
		if _, how := receive(&r.c.wait, changed, again.C); how == abandoned {
			return
		}
	}
}

func aclDryrun(r *request, args [][]byte) {
	users, ok := r.newestUsers()
	if !ok {
		return
	}
	u := users.User(string(args[2]))
	if u == nil {
		r.Error(fmt.Sprintf("ERR User '%s' not found", args[2]))
		return
	}
	args = args[3:]
	cmd, text := r.s.cfg.Table.Lookup(args)
	switch {
	case cmd == nil && text == "" || cmd == nil && !strings.HasPrefix(text, "ERR wrong number"):
		r.Error(fmt.Sprintf("ERR Command '%s' not found", args[0]))
		return
	case cmd == nil:
		r.Error(text)
		return
	}
	if d := u.Check(cmd.ID(), cmd.Flags&command.NoAuth != 0, cmd.Keys.KeyNames(args), cmd.KeyRights(nil, args), cmd.ChannelRights(args)); d.Why != acl.Allowed {
		r.BulkString(deniedText(u, cmd, args, d))
		return
	}
	if guard := cmd.Unguarded(u, args); guard != nil {
		r.BulkString(unguardedText(u, guard))
		return
	}
	r.OK()
}

const genpassBitsMax = 4096

func aclGenpass(r *request, args [][]byte) {
	bits := int64(256)
	switch {
	case len(args) > 3:
		r.wrongSubcommand(args)
		return
	case len(args) == 3:
		var ok bool
		if bits, ok = resp.ParseInt(args[2]); !ok {
			r.Error(command.TextNotInt)
			return
		}
	}
	if bits <= 0 || bits > genpassBitsMax {
		r.Error(fmt.Sprintf("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to %d", genpassBitsMax))
		return
	}
	digits := int(bits+3) / 4
	b := make([]byte, (digits+1)/2)
	if _, err := io.ReadFull(r.s.cfg.Entropy, b); err != nil {
		r.Error("ERR this node has no source of chance")
		return
	}
	r.BulkString(hex.EncodeToString(b)[:digits])
}
