package server

import (
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/command"
)

// Every command that no shard evaluates has a handler, and no handler is left
// without a command: a server with others can't be made.
func TestHandlersMatchTheTable(t *testing.T) {
	t.Parallel()
	table := command.NewTable()
	for cmd := range handlers(table) {
		if cmd.Where.Evaluated() {
			t.Errorf("%s is evaluated by a shard and has a handler", cmd.Name)
		}
	}
	refused := func(what string) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s was accepted", what)
			}
		}()
		handlers(table)
	}
	ping := table.Find([]byte("ping"))
	ping.Where = command.OnShard
	refused("a handler of a shard's command")
	ping.Where = command.OnConnection
	ping.Name = "pong"
	refused("a command without a handler")
}

// Commands of the meta shard are gathered and sent as those with keys, to a shard
// of their own.
func TestMetaCommandsGoToTheMetaShard(t *testing.T) {
	t.Parallel()
	if at := locate(nil, &command.Command{Where: command.OnMeta}, nil); at.way != toShard || at.shard != cluster.Meta {
		t.Errorf("%+v", at)
	}
}

// Every setting that can be set accepts its own default, and gives it back.
func TestSettingsAcceptTheirDefaults(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, row := range settings {
		for _, name := range []string{row.name, row.alias} {
			if name != "" && names[name] {
				t.Errorf("two rows for %s", name)
			}
			names[name] = true
		}
		if row.lock != open {
			if row.check != nil {
				t.Errorf("%s can't be set, so its check is dead", row.name)
			}
			continue
		}
		if value, wrong := row.check(row.value); value != row.value || wrong != "" {
			t.Errorf("%s: default %q becomes %q, %s", row.name, row.value, value, wrong)
		}
	}
}

func TestParseMemory(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1b": 1, "1k": 1000, "1KB": 1024, "2m": 2_000_000, "2Mb": 2 << 20, "1g": 1_000_000_000, "1gb": 1 << 30,
	} {
		if n, ok := parseMemory(text); !ok || n != want {
			t.Errorf("parseMemory(%q) = %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "k", "-1", "1kk", "1 k", "1bk", "x", "99999999999gb", "1.5k"} {
		if n, ok := parseMemory(text); ok {
			t.Errorf("parseMemory(%q) = %d", text, n)
		}
	}
}
