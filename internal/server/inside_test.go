package server

import (
	"testing"
	"testing/synctest"

	"tutti/internal/acl"
	"tutti/internal/proof/respclient"
)

// The node's own connection may do everything and is none of the clients: no change
// of users ends it, nobody sees it, and it is not asked to leave.
func TestInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t)
		conn := respclient.New(s.Inside())
		defer conn.Close()
		says := func(want string, words ...string) {
			t.Helper()
			if v, err := conn.Do(words...); err != nil || v.FormatCLI() != want {
				t.Errorf("%q: %v %s, want %s", words, err, v.FormatCLI(), want)
			}
		}
		says(`"the node"`, "ACL", "WHOAMI")
		says(`""`, "CLIENT", "LIST")
		c := s.cfg.Table.Catalog()
		off, err := acl.Change(c, nil, acl.Default, 0, []string{"off"})
		if err != nil {
			t.Fatal(err)
		}
		s.cfg.Users.Replace(acl.NewSet(c, acl.FirstEpoch+1, []*acl.User{off}))
		says(`"the node"`, "ACL", "WHOAMI")
		s.SetDrained("TRYAGAIN drained")
		synctest.Wait()
		says("PONG", "PING")
		s.CloseListeners()
		s.dismiss()
		synctest.Wait()
		says("PONG", "PING")
	})
}
