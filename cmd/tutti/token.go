package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

// tokenTTLMax is the most that the cluster takes.
const tokenTTLMax = 366 * 24 * time.Hour

func tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "token",
		Short:   "Make, list and revoke the tokens with which machines join",
		Example: "  tutti token create\n  tutti token create --uses 5 --ttl 10m\n  tutti token ls",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return c
}

func tokenCreateCommand() *cobra.Command {
	var t target
	var role string
	var ttl time.Duration
	var uses int
	c := &cobra.Command{
		Use:     "create",
		Short:   "Make a token and print how to join with it",
		Example: "  tutti token create --ttl 1h --uses 1 --role node",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if ttl < time.Second || ttl > tokenTTLMax {
				return usageError(fmt.Sprintf("--ttl %v: choose 1s to %.0fh, which is a year", ttl, tokenTTLMax.Hours()), "tutti token create")
			}
			v, err := askCluster(t, "TUTTI.TOKEN", "CREATE", "TTL", fmt.Sprint(int(ttl.Seconds())), "USES", fmt.Sprint(uses), "ROLE", role)
			if err != nil {
				return err
			}
			return printToken(t, string(v.Str), ttl, role)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().DurationVar(&ttl, "ttl", tokenTTL, "how long it is valid")
	c.Flags().IntVar(&uses, "uses", 1, "how many machines may join with it")
	c.Flags().StringVar(&role, "role", "node", "what they become: node or gateway")
	return c
}

// printToken prints the command to join with.
func printToken(t target, token string, ttl time.Duration, role string) error {
	s, err := t.status(statusTimeout)
	if err != nil {
		return t.unreachable(err)
	}
	to := "ADDR"
	for _, x := range s.Nodes {
		if x.ID == s.Node {
			to = joinAddrs(node.Self{Peer: x.Peer})[0]
		}
	}
	if role != "node" {
		token += " --role " + role
	}
	fmt.Printf("within %v:\n    tutti join %s --token %s\n", ttl, to, token)
	return nil
}

func tokenListCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List the tokens, without their secrets",
		Example: "  tutti token ls",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := askCluster(t, "TUTTI.TOKEN", "LIST")
			if err != nil {
				return err
			}
			if asJSON {
				fmt.Printf("%s\n", v.Str)
				return nil
			}
			return writeTokens(v.Str)
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func writeTokens(text []byte) error {
	var list []struct {
		ID      string `json:"id"`
		Role    string `json:"role"`
		Now     int64  `json:"now_ms"`
		Expires int64  `json:"expires_ms"`
		Uses    uint64 `json:"uses_left"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return failed(err, "")
	}
	if len(list) == 0 {
		fmt.Println("No tokens. To make one:  tutti token create")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tROLE\tUSES LEFT\tEXPIRES")
	for _, t := range list {
		left := time.Duration(t.Expires-t.Now) * time.Millisecond
		when := "in " + left.Round(time.Second).String()
		if left <= 0 {
			when = "expired " + (-left).Round(time.Second).String() + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", t.ID, t.Role, t.Uses, when)
	}
	return w.Flush()
}

func tokenRevokeCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:     "revoke ID",
		Short:   "Remove a token: nobody joins with it any more",
		Example: "  tutti token revoke 4f7kq2aa",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := askCluster(t, "TUTTI.TOKEN", "REVOKE", args[0])
			if err == nil {
				fmt.Printf("token %s is revoked; nodes that joined with it stay\n", args[0])
			}
			return err
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}
