package server

import (
	"slices"
	"strings"

	"tutti/internal/command"
	"tutti/internal/resp"
)

// There is one user yet, default, who may do everything without a password.

const (
	errNoUsers   = "ERR this version has no users but default, and serves clients of its own machine only. Nothing was changed."
	defaultRules = "user default on nopass sanitize-payload ~* &* +@all"
)

func aclHandlers() map[string]handler {
	refused := func(r *request, _ [][]byte) { r.Error(errNoUsers) }
	return map[string]handler{
		"acl|whoami":  func(r *request, _ [][]byte) { r.BulkString(defaultUser) },
		"acl|users":   func(r *request, _ [][]byte) { r.BulkStrings([]string{defaultUser}) },
		"acl|list":    func(r *request, _ [][]byte) { r.BulkStrings([]string{defaultRules}) },
		"acl|cat":     aclCat,
		"acl|getuser": aclGetuser,
		"acl|log":     aclLog,
		"acl|setuser": refused,
		"acl|deluser": refused,
		"acl|help":    help,
	}
}

func aclCat(r *request, args [][]byte) {
	switch len(args) {
	case 2:
		r.BulkStrings(command.Categories)
	case 3:
		category := strings.ToLower(string(args[2]))
		if !slices.Contains(command.Categories, category) {
			r.Error("ERR Unknown category '" + string(args[2]) + "'")
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
		r.wrongArity("acl|cat")
	}
}

func aclGetuser(r *request, args [][]byte) {
	if string(args[2]) != defaultUser {
		r.Null()
		return
	}
	r.Map(6)
	r.BulkString("flags")
	r.Set(3)
	for _, flag := range []string{"on", "nopass", "sanitize-payload"} {
		r.BulkString(flag)
	}
	r.BulkString("passwords")
	r.Array(0)
	for _, pair := range [][2]string{{"commands", "+@all"}, {"keys", "~*"}, {"channels", "&*"}} {
		r.Pair(pair[0], pair[1])
	}
	r.BulkString("selectors")
	r.Array(0)
}

func aclLog(r *request, args [][]byte) {
	switch {
	case len(args) > 3:
		r.wrongArity("acl|log")
	case len(args) == 3 && resp.IsWord(args[2], "RESET"):
		r.OK()
	default:
		r.Array(0)
	}
}
