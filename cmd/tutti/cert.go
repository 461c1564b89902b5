package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tutti/internal/node"
)

func certCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "cert",
		Short:   "Show and renew certificates, and replace the authority that signs them",
		Example: "  tutti cert ls\n  tutti cert renew\n  tutti cert rotate-ca",
		Args:    noSuchCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(certListCommand(), certRenewCommand(), certRotateCommand())
	return c
}

func certListCommand() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use: "ls", Short: "List the authorities, and until when the nodes' certificates are good", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := askCerts(t)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(v)
			}
			return v.list()
		},
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func certRenewCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "renew", Short: "Renew the certificates of one node now", Args: cobra.NoArgs,
		Long: "Renews the certificates of the node that is asked, the one of --addr. Nodes do that by\nthemselves after half a day.",
		RunE: func(*cobra.Command, []string) error {
			if err := administer(t, "TUTTI.CERT", "RENEW"); err != nil {
				return err
			}
			fmt.Printf("the node at %s uses new certificates\n", t.addr)
			return nil
		},
	}
	targetFlags(c, &t)
	return c
}

func certRotateCommand() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "rotate-ca", Short: "Replace the authority that signs certificates, without interruption", Args: cobra.NoArgs,
		Long: "Makes a new authority, has all nodes trust it, lets it sign, and drops the old one, each once\nall nodes are done with what comes before. Interrupted, it goes on by itself; called again it\nshows the progress. Tokens made before stop working. Clients that trust a copy of ca.pem need\nthe new one before the old authority is dropped.",
		RunE: func(*cobra.Command, []string) error { return rotateCA(t) },
	}
	targetFlags(c, &t)
	anyNode(c, &t)
	return c
}

// certsView is what TUTTI.CERT LIST answers.
type certsView struct {
	Now         int64  `json:"now_ms"`
	Generation  uint64 `json:"generation"`
	Authorities []struct {
		ID    uint64 `json:"id"`
		State string `json:"state"`
		Pin   string `json:"pin"`
	} `json:"authorities"`
	Nodes []struct {
		Node       uint64 `json:"node"`
		Name       string `json:"name,omitempty"`
		Generation uint64 `json:"generation"`
		Expires    int64  `json:"expires_ms,omitempty"`
	} `json:"nodes"`
}

func askCerts(t target) (v certsView, err error) {
	reply, err := askCluster(t, "TUTTI.CERT", "LIST")
	if err == nil {
		err = json.Unmarshal(reply.Str, &v)
	}
	return v, err
}

func (v certsView) list() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AUTHORITY\tSTATE\tPIN")
	for _, a := range v.Authorities {
		fmt.Fprintf(w, "%d\t%s\t%s\n", a.ID, a.State, a.Pin)
	}
	fmt.Fprintln(w, "\nNODE\tCERTIFICATE ENDS\tAUTHORITIES")
	for i, n := range v.Nodes {
		ends := "24h after it joined" // or was renewed last, when nobody took that down
		if n.Expires != 0 {
			ends = "in " + (time.Duration(n.Expires-v.Now) * time.Millisecond).Round(time.Minute).String()
		}
		has := "all"
		if n.Generation < v.Generation {
			has = "those of before"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.nodeName(i), ends, has)
	}
	return w.Flush()
}

func (v certsView) nodeName(i int) string {
	if n := v.Nodes[i]; n.Name != "" {
		return n.Name
	}
	return fmt.Sprintf("node-%d", v.Nodes[i].Node)
}

// phase is what is going on, and for whom it waits; over: nothing, nobody.
func (v certsView) phase() (text string, over bool) {
	var waits []string
	for i, n := range v.Nodes {
		if n.Generation < v.Generation {
			waits = append(waits, v.nodeName(i))
		}
	}
	text = "retire: the nodes forget the old authority"
	for _, a := range v.Authorities {
		switch a.State {
		case "prepared":
			text = "prepare: the nodes learn to trust the new authority"
		case "retiring":
			text = "activate: the nodes get certificates of the new authority"
		}
	}
	text = fmt.Sprintf("%s, %d of %d have", text, len(v.Nodes)-len(waits), len(v.Nodes))
	if len(waits) > 0 {
		text += "; waiting for " + strings.Join(waits, ", ")
	}
	return text, len(waits) == 0 && len(v.Authorities) == 1
}

// silent lists the nodes that are waited for and do not answer.
func (v certsView) silent(t target) (list []node.NodeStatus) {
	t.config = nil // see lookAtCerts
	if t.prepare() != nil {
		return nil
	}
	s, err := t.status(statusTimeout)
	if err != nil {
		return nil // which is told by the next look
	}
	for _, x := range s.Nodes {
		for _, n := range v.Nodes {
			if uint64(x.ID) == n.Node && n.Generation < v.Generation && x.Presence == node.Silent {
				list = append(list, x)
			}
		}
	}
	return list
}

// rotateLook is how often a rotation is looked at, by whoever waits for it.
const rotateLook = 300 * time.Millisecond

// rotateCA begins a rotation, or finds one under way, and waits for its end. Asked for
// again while the last nodes forget the old authority it begins no other one.
func rotateCA(t target) error {
	v, err := askCerts(t)
	if err != nil {
		return err
	}
	last := ""
	if text, over := v.phase(); !over {
		fmt.Println("the authority is being replaced already; " + text)
		last = text
	} else if err := beginRotation(t); err != nil {
		return err
	}
	s := stuck{moved: time.Now()}
	for p := (onlooker{heard: time.Now()}); ; {
		v, err := lookAtCerts(t)
		if p.waits(err) && !doubted(t) {
			time.Sleep(rotateLook)
			continue
		}
		if e, ok := errors.AsType[*exitError](err); ok {
			e.safe, e.do = "the rotation goes on by itself", "tutti cert rotate-ca again, through any node; with the new ca.pem of a node if this one is a copy"
			return e
		}
		if err != nil {
			return err
		}
		text, over := v.phase()
		if text != last {
			fmt.Println(text)
			s.goesOn()
		}
		if last = text; over {
			fmt.Println("the old authority is gone; give clients the new ca.pem, and make new tokens")
			return nil
		}
		if s.looks() {
			if err := s.waits(v.silent(t), "the rotation", "tutti cert rotate-ca, to see its end"); err != nil {
				return err
			}
		}
		time.Sleep(rotateLook)
	}
}

// beginRotation asks for one. Who is told that there is one already, or not told anything,
// looks at what goes on.
func beginRotation(t target) error {
	err := administer(t, "TUTTI.CERT", "ROTATE")
	e, ok := errors.AsType[*exitError](err)
	switch {
	case ok && strings.Contains(e.what, "being replaced already"):
		fmt.Println("the authority is being replaced already, as somebody else has asked for")
		return nil
	case ok && e.code == exitUnknown:
		return &exitError{code: e.code, what: e.what, safe: "the rotation may have begun", do: "tutti cert ls says so; if there is one authority only:  tutti cert rotate-ca"}
	}
	return err
}

// lookAtCerts is askCerts by ca.pem as it is now: it is another one with each phase.
func lookAtCerts(t target) (certsView, error) {
	t.config = nil
	if err := t.prepare(); err != nil {
		return certsView{}, err
	}
	return askCerts(t)
}

// doubted reports whether the node shows a certificate that ca.pem does not vouch for, which
// no patience helps against.
func doubted(t target) bool {
	t.config = nil
	if t.prepare() != nil {
		return false
	}
	c, err := t.connect(statusTimeout)
	if err != nil {
		_, is := errors.AsType[*tls.CertificateVerificationError](err)
		return is
	}
	c.Close()
	return false
}
