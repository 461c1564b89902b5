package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"tutti/internal/cluster"
	"tutti/internal/meta"
	"tutti/internal/resp"
	"tutti/internal/trust"
)

// Defaults and limits of tokens.
const (
	tokenTTL    = time.Hour
	tokenTTLMax = 366 * 24 * time.Hour
	tokenUses   = 1
	usesMax     = 100_000
)

func tuttiTokenCreate(c *Ctx) {
	ttl, uses, role := tokenTTL, uint64(tokenUses), cluster.Storage
	for i := 2; i < len(c.Args); i += 2 {
		if i+1 == len(c.Args) {
			c.Error(TextSyntax)
			return
		}
		var ok bool
		switch {
		case c.is(i, "TTL"):
			var n uint64
			n, ok = between(c, i+1, 1, uint64(tokenTTLMax/time.Second))
			ttl = time.Duration(n) * time.Second
		case c.is(i, "USES"):
			uses, ok = between(c, i+1, 1, usesMax)
		case c.is(i, "ROLE"):
			role, ok = roleOf(c, i+1)
		default:
			c.Error(TextSyntax)
			return
		}
		if !ok {
			return
		}
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	t, err := m.CreateToken(ttl, uses, role)
	if err != nil {
		c.metaError(err)
		return
	}
	c.BulkString(t.Text())
}

// between parses argument i as a number from least to most, or answers the error.
func between(c *Ctx, i int, least, most uint64) (uint64, bool) {
	v, ok := resp.ParseInt(c.Args[i])
	n := uint64(v) // one below zero is above most
	if !ok || n < least || n > most {
		c.Error(fmt.Sprintf("ERR %s must be from %d to %d. Not applied.", strings.ToUpper(string(c.Args[i-1])), least, most))
		return 0, false
	}
	return n, true
}

// roleOf parses argument i as a role, or answers the error.
func roleOf(c *Ctx, i int) (cluster.Role, bool) {
	for _, r := range [...]cluster.Role{cluster.Storage, cluster.Gateway} {
		if resp.IsWord(c.Args[i], r.String()) {
			return r, true
		}
	}
	c.Error(fmt.Sprintf("ERR '%.64s' is neither node nor gateway. Not applied.", c.Args[i]))
	return 0, false
}

// tokenText is a token as TUTTI.TOKEN LIST shows it. Times are those of the
// cluster, in milliseconds.
type tokenText struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	Now     int64  `json:"now_ms"`
	Created int64  `json:"created_ms"`
	Expires int64  `json:"expires_ms"`
	Uses    uint64 `json:"uses_left"`
}

func tuttiTokenList(c *Ctx) {
	m := c.beginMeta()
	if m == nil {
		return
	}
	list, err := m.Tokens()
	if err != nil {
		c.metaError(err)
		return
	}
	texts := make([]tokenText, len(list))
	for i, t := range list {
		texts[i] = tokenText{t.ID.String(), t.Role.String(), c.Tx.Now, t.Created, t.Expires, t.Uses}
	}
	b, err := json.Marshal(texts)
	if err != nil {
		c.metaError(err)
		return
	}
	c.Bulk(b)
}

func tuttiTokenRevoke(c *Ctx) {
	id, err := trust.ParseTokenID(string(c.Args[2]))
	if err != nil {
		c.Error("ERR a token's id has 8 characters, those between its first and second dot. Not applied.")
		return
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	if err := m.RevokeToken(id); err != nil {
		joinError(c, err)
		return
	}
	c.OK()
}

func tuttiJoin(c *Ctx) {
	r, err := trust.DecodeJoinRequest(c.Args[2])
	if err != nil {
		joinError(c, err)
		return
	}
	m := c.beginMeta()
	if m == nil {
		return
	}
	answer, err := m.Join(r, c.Args[1])
	if err != nil {
		joinError(c, err)
		return
	}
	c.Bulk(answer.Encode(nil))
}

// joinCodes are the codes by which programs tell why a machine was not let in.
var joinCodes = []struct {
	err  error
	code string
}{
	{meta.ErrTokenUnknown, "TOKENUNKNOWN"}, {meta.ErrTokenProof, "TOKENWRONG"}, {meta.ErrTokenExpired, "TOKENEXPIRED"},
	{meta.ErrTokenUsed, "TOKENUSED"}, {meta.ErrTokenRole, "TOKENROLE"}, {meta.ErrNameTaken, "NAMETAKEN"}, {meta.ErrAddressTaken, "ADDRTAKEN"},
	{trust.ErrVersion, "NEEDVERSION"},
}

func joinError(c *Ctx, err error) {
	for _, x := range joinCodes {
		if errors.Is(err, x.err) {
			c.Error(fmt.Sprintf("%s %v. Not applied.", x.code, err))
			return
		}
	}
	c.metaError(err)
}
