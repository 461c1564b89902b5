package server

import (
	"slices"
	"strings"

	"tutti/internal/command"
)

// There is one user yet, default, who may do everything without a password.

const (
	errNoUsers   = "ERR this version has no users but default, and serves clients of its own machine only. Nothing was changed."
	defaultRules = "user default on nopass sanitize-payload ~* &* +@all"
)

func aclHandlers() map[string]handler {
	refused := func(c *conn, _ [][]byte) { c.error(errNoUsers) }
	return map[string]handler{
		"acl|whoami":  func(c *conn, _ [][]byte) { c.bulk(defaultUser) },
		"acl|users":   func(c *conn, _ [][]byte) { c.bulks([]string{defaultUser}) },
		"acl|list":    func(c *conn, _ [][]byte) { c.bulks([]string{defaultRules}) },
		"acl|cat":     aclCat,
		"acl|getuser": aclGetuser,
		"acl|log":     aclLog,
		"acl|setuser": refused,
		"acl|deluser": refused,
		"acl|help":    help,
	}
}

func aclCat(c *conn, args [][]byte) {
	switch len(args) {
	case 2:
		c.bulks(command.Categories)
	case 3:
		category := strings.ToLower(string(args[2]))
		if !slices.Contains(command.Categories, category) {
			c.error("ERR Unknown category '" + string(args[2]) + "'")
			return
		}
		var names []string
		for _, cmd := range c.s.everyCommand() {
			if slices.Contains(cmd.ACLCategories(), category) {
				names = append(names, cmd.Name)
			}
		}
		c.bulks(names)
	default:
		c.wrongArity("acl|cat")
	}
}

func aclGetuser(c *conn, args [][]byte) {
	if string(args[2]) != defaultUser {
		c.null()
		return
	}
	c.pairs(6)
	c.bulk("flags")
	c.set(3)
	for _, flag := range []string{"on", "nopass", "sanitize-payload"} {
		c.bulk(flag)
	}
	c.bulk("passwords")
	c.array(0)
	for _, pair := range [][2]string{{"commands", "+@all"}, {"keys", "~*"}, {"channels", "&*"}} {
		c.bulk(pair[0])
		c.bulk(pair[1])
	}
	c.bulk("selectors")
	c.array(0)
}

func aclLog(c *conn, args [][]byte) {
	switch {
	case len(args) > 3:
		c.wrongArity("acl|log")
	case len(args) == 3 && is(args[2], "RESET"):
		c.ok()
	default:
		c.array(0)
	}
}
