package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"tutti/internal/node"
	"tutti/internal/node/nodetest"
	"tutti/internal/trust"
)

// Secrets are planted wherever clients and nodes have some, and then looked for
// wherever somebody reads who should not see them: the log with all that can be
// logged, and what clients are shown.
func TestSecretsStayOutOfLogsAndReplies(t *testing.T) {
	t.Parallel()
	log := &nodetest.Log{}
	c := nodetest.Start(t, nodetest.Options{Nodes: 3, TLS: true, PeerTLS: true, Configure: func(_ int, cfg *node.Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}})
	admin := c.Dial(0)
	admin.Do("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000")
	for _, line := range [][]string{
		{"ACL", "SETUSER", "ada", "on", ">canary-set", "~*", "+@all"},
		{"ACL", "SETUSER", "ada", "<canary-unset", ">canary-set2"},
		{"ACL", "SETUSER", "ada", ">canary-bad", "+nonsense"},
		{"AUTH", "ada", "canary-wrong"},
		{"AUTH", "canary-alone"},
		{"AUTH", "ada", "canary-many", "canary-more"},
		{"HELLO", "3", "AUTH", "ada", "canary-hello"},
		{"HELLO", "3", "AUTH", "ada", "canary-hello2", "SETNAME", "a b"},
		{"HELLO", "9", "AUTH", "ada", "canary-hello3"},
		{"CONFIG", "SET", "requirepass", "canary-config"},
		{"CONFIG", "SET", "masterauth", "canary-master"},
		{"MIGRATE", "h", "1", "k", "0", "1", "AUTH", "canary-migrate"},
		{"MIGRATE", "h", "1", "k", "0", "1", "AUTH2", "ada", "canary-migrate2"},
	} {
		admin.Do(line...)
	}
	inMulti := c.Dial(1)
	inMulti.Do("MULTI")
	inMulti.Do("AUTH", "ada", "canary-multi")
	inMulti.Do("EXEC")
	token := string(admin.Do("TUTTI.TOKEN", "CREATE").Str)
	secrets := map[string]string{"a password": "canary-", "the secret of a token": token[strings.LastIndexByte(token, '.')+1:]}
	for i := range 3 {
		block, _ := pem.Decode(c.File(i, trust.NodeKeyFile))
		if block == nil {
			t.Fatal("no key")
		}
		// What two keys have in common is at the beginning.
		secrets[fmt.Sprintf("the key of node %d, PEM", i+1)] = base64.StdEncoding.EncodeToString(block.Bytes)[60:100]
		secrets[fmt.Sprintf("the key of node %d", i+1)] = string(block.Bytes[40:60])
	}
	shown := map[string]string{}
	for _, line := range []string{"SLOWLOG GET -1", "INFO everything", "CLIENT LIST", "CLIENT INFO", "ACL LOG 100", "ACL LIST", "ACL GETUSER ada", "CONFIG GET *",
		"TUTTI.STATUS", "TUTTI.MAP", "TUTTI.CERT LIST", "TUTTI.TOKEN LIST", "LATENCY DOCTOR", "MEMORY DOCTOR", "COMMAND STATS"} {
		for i := range 3 {
			shown[line] += c.Dial(i).Do(strings.Fields(line)...).FormatCLI()
		}
	}
	if !strings.Contains(shown["SLOWLOG GET -1"], "SETUSER") {
		t.Error("the slow log has nothing to look at")
	}
	c.Stop(2) // what is logged then is looked at too
	c.Restart(2)
	shown["the log"] = log.String()
	for where, text := range shown {
		for what, secret := range secrets {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s is in %s: …%.120s", what, where, text[max(0, at-60):])
			}
		}
	}
	if bytes.Contains(c.File(0, "users"), []byte("canary-")) {
		t.Error("a password is in the file of the users")
	}
}
