package house_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// layers lists, top to bottom, which packages of this module a package may
// import: a request walks downwards, and upwards go only return values,
// channels given in a request, and functions given at construction. A new
// package gets a line here, with its place thought about.
var layers = []struct {
	pkg  string
	may  []string
	duty string
}{
	{"cmd/tutti", []string{"internal/runner", "internal/proof/netfault", "internal/durable", "internal/shard", "internal/doctor", "internal/trust", "internal/node", "internal/cluster", "internal/resp", "internal/command"}, "the one binary"},
	{"internal/proof/sim", []string{"internal/cluster", "internal/shard", "internal/trust", "internal/proof/action", "internal/proof/check", "internal/proof/respclient", "internal/node", "internal/server", "internal/router", "internal/resp", "internal/store"}, "whole clusters on virtual time"},
	{"tuttitest", []string{".", "internal/node/nodetest"}, "a cluster inside a user's test"},
	{".", nil, "tasks from Go, for programs of others; speaks with tutti over RESP only"},
	{"internal/node/nodetest", []string{"internal/trust", "internal/proof/respclient", "internal/cluster", "internal/node", "internal/resp"}, "clusters inside a test"},
	{"internal/node", []string{"internal/rawsock", "internal/spike", "internal/runner", "internal/doctor", "internal/acl", "internal/resp", "internal/metrics", "internal/web", "internal/meta", "internal/keyspace", "internal/pubsub", "internal/tracking", "internal/eval", "internal/cluster", "internal/server", "internal/router", "internal/shard", "internal/group", "internal/command", "internal/store", "internal/peer", "internal/trust"}, "builds, opens and closes one node from all of the below"},
	{"internal/runner", []string{"internal/command", "internal/resp"}, "runs commands as tasks"},
	{"internal/web", nil, "metrics and health over HTTP, for those who watch"},
	{"internal/metrics", []string{"internal/meta", "internal/task", "internal/cluster", "internal/histogram", "internal/peer", "internal/server", "internal/shard", "internal/store"}, "what Prometheus is told"},
	{"internal/server", []string{"internal/rawsock", "internal/spike", "internal/server/epoll", "internal/rowcache", "internal/acl", "internal/meta", "internal/pubsub", "internal/tracking", "internal/glob", "internal/histogram", "internal/cluster", "internal/router", "internal/shard", "internal/eval", "internal/group", "internal/command", "internal/store", "internal/keyspace", "internal/resp"}, "the front door: connections and the order of replies"},
	{"internal/server/epoll", []string{"internal/aio", "internal/rawsock"}, "which sockets are ready"},
	{"internal/tracking", []string{"internal/cluster", "internal/keyspace", "internal/peer", "internal/resp"}, "who is told that keys have changed"},
	{"internal/pubsub", []string{"internal/cluster", "internal/peer", "internal/resp", "internal/glob"}, "messages between clients"},
	{"internal/router", []string{"internal/cluster", "internal/shard", "internal/group", "internal/keyspace", "internal/resp"}, "brings commands to their shards"},
	{"internal/shard", []string{"internal/spike", "internal/task", "internal/histogram", "internal/cluster", "internal/audit", "internal/eval", "internal/group", "internal/command", "internal/store", "internal/keyspace", "internal/peer"}, "one Raft group"},
	{"internal/audit", []string{"internal/cluster", "internal/store"}, "what replicas are judged by"},
	{"internal/eval", []string{"internal/acl", "internal/task", "internal/waiter", "internal/cluster", "internal/group", "internal/command", "internal/store", "internal/keyspace"}, "what a group of commands does to a shard's state"},
	{"internal/waiter", []string{"internal/cluster", "internal/group"}, "commands that wait at a leader"},
	{"internal/group", []string{"internal/cluster", "internal/keyspace"}, "what entry nodes and shards say to each other"},
	{"internal/command", []string{"internal/task", "internal/acl", "internal/glob", "internal/meta", "internal/cluster", "internal/keyspace", "internal/trust", "internal/resp", "internal/rdb", "internal/hyperloglog", "internal/geohash", "internal/script"}, "what each command means"},
	{"internal/script", []string{"internal/resp"}, "Lua as Redis runs it; knows nothing of shards"},
	{"internal/meta", []string{"internal/acl", "internal/cluster", "internal/keyspace", "internal/trust"}, "the map as rows of the meta shard"},
	{"internal/acl", []string{"internal/glob"}, "users, and what they may do"},
	{"internal/task", []string{"internal/histogram", "internal/glob", "internal/keyspace"}, "tasks: rows, states, and what a leader remembers of them"},
	{"internal/glob", nil, "patterns of names"},
	{"internal/store", []string{"internal/spike", "internal/cluster", "internal/durable", "internal/keyspace", "internal/rowcache"}, "the disk"},
	{"internal/rowcache", nil, "the newest values of small rows, in memory"},
	{"internal/keyspace", nil, "keys and values as rows, transactions over them"},
	{"internal/peer/peertest", []string{"internal/cluster", "internal/peer"}, "links inside a test"},
	{"internal/peer", []string{"internal/rawsock", "internal/cluster"}, "links between nodes"},
	{"internal/proof/check/report", []string{"internal/proof/check"}, "draws a run that failed"},
	{"internal/proof/check", []string{"internal/resp"}, "judges what clients were told"},
	{"conformance", []string{"internal/proof/respclient"}, "Redis's own tests; speaks with tutti over RESP only, as any outsider"},
	{"internal/proof/respclient", []string{"internal/resp"}, "the RESP client of all that proves"},
	{"internal/doctor", nil, "whether a node and its machine are fit"},
	{"internal/histogram", nil, "durations in buckets"},
	{"internal/rawsock", nil, "calls of connections that Go's scheduler is not told of"},
	{"internal/spike", nil, "what took long of late"},
	{"internal/resp", nil, "the wire format"},
	{"internal/rdb", nil, "values of the DUMP format of Redis"},
	{"internal/geohash", nil, "positions as numbers, and which of them an area has"},
	{"internal/hyperloglog", nil, "how many different elements there were, in the bytes of Redis"},
	{"internal/trust", []string{"internal/cluster", "internal/durable"}, "the identity of nodes"},
	{"internal/durable", []string{"internal/aio"}, "small files that survive power cuts"},
	{"internal/aio", nil, "several things that the kernel does with one call"},
	{"internal/cluster", nil, "who belongs to the cluster and what lives where"},
	{"internal/proof/run", []string{"internal/proof/modes", "internal/proof/mutant"}, "runs the scenarios and the mutants"},
	{"internal/proof/modes", []string{"internal/proof/mutant"}, "what the tests are to show"},
	{"internal/proof/mutant", nil, "safeguards to leave out of a test's build"},
	{"internal/proof/action", nil, "the vocabulary of faults; for sim and bench"},
	{"internal/proof/netfault", nil, "faults in TCP between processes; for bench and the demo"},
	{"internal/proof/house", nil, "the tests of the house rules"},
}

func TestPackagesImportOnlyWhatLiesBelowThem(t *testing.T) {
	allowed := map[string][]string{}
	for _, l := range layers {
		allowed[l.pkg] = l.may
	}
	for _, f := range sources(t) {
		may, known := allowed[f.pkg]
		if !known {
			t.Errorf("%s: package %s has no line in the table of layers", f.path, f.pkg)
			continue
		}
		if f.test {
			continue // a test may use whatever sets its stage; Go itself refuses cycles
		}
		for _, imported := range f.imports {
			inside, ok := insideModule(imported)
			if ok && !slices.Contains(may, inside) {
				t.Errorf("%s imports %s; %s may import %v", f.path, inside, f.pkg, may)
			}
		}
	}
}

// insideModule returns the folder of an imported package, if it is one of this module.
func insideModule(imported string) (pkg string, ok bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// An edge that nobody uses is a door that somebody will use.
func TestLayersAreUsed(t *testing.T) {
	used := map[[2]string]bool{}
	for _, f := range sources(t) {
		for _, imported := range f.imports {
			if inside, ok := insideModule(imported); ok && !f.test {
				used[[2]string{f.pkg, inside}] = true
			}
		}
	}
	for _, l := range layers {
		for _, m := range l.may {
			if !used[[2]string{l.pkg, m}] {
				t.Errorf("%s may import %s, and does not", l.pkg, m)
			}
		}
	}
}

// The table itself must stand in order: what a package may import comes after
// it, so no cycle can be allowed by mistake.
func TestLayersAreInOrder(t *testing.T) {
	place := map[string]int{}
	for i, l := range layers {
		place[l.pkg] = i
	}
	for i, l := range layers {
		for _, m := range l.may {
			if j, ok := place[m]; !ok || j <= i {
				t.Errorf("%s may import %s, which does not stand below it", l.pkg, m)
			}
		}
	}
}

// The product must not know how it is proved: nothing in it asks a mutant, a
// fault or a check of the harness. The demo is a proof that users run, and cuts
// the links of its nodes with the switch that tests use.
func TestProductKnowsNothingOfItsProof(t *testing.T) {
	for _, f := range sources(t) {
		if !f.product() {
			continue
		}
		for _, imported := range f.imports {
			demo := f.pkg == "cmd/tutti" && strings.HasPrefix(path.Base(f.path), "demo_") && imported == module+"/internal/proof/netfault"
			if within(imported, module+"/internal/proof") && !demo {
				t.Errorf("%s imports %s", f.path, imported)
			}
		}
	}
}

// forbidden are imports that stay out of the product, with the reason. Paths
// below a path are meant too.
var forbidden = []struct{ path, reason string }{
	{"C", "one static binary without cgo, built for any machine from any machine"},
	{"plugin", "needs cgo and the exact same toolchain"},
	{"encoding/gob", "describes Go types on the wire; records here are drawn in a package doc and versioned"},
	{"expvar", "registers a handler on the global mux; metrics are a struct given in a Config"},
	{"net/http/pprof", "registers handlers on the global mux, on whatever listener uses it"},
	{"log", "log/slog with typed attributes, given in a Config"},
	{"math/rand", "math/rand/v2, and given in a Config where a simulation must repeat it"},
	{"io/ioutil", "deprecated"},
	{"go.etcd.io/etcd", "etcd is a peer in bench, not a part; only its raft library is"},
	{"github.com/hashicorp/raft", "one consensus library: go.etcd.io/raft/v3"},
	{"go.etcd.io/bbolt", "one storage engine: Pebble"},
	{"github.com/dgraph-io/badger", "one storage engine: Pebble"},
	{"google.golang.org/grpc", "nodes speak length-bounded frames over mutual TLS; gRPC costs more CPU than a SET"},
	{"github.com/redis/go-redis", "a client library; inside, RESP is internal/resp. What programs of others import is made on it"},
	{"github.com/gomodule/redigo", "a client library; inside, RESP is internal/resp"},
	{"go.uber.org/zap", "log/slog"},
	{"github.com/sirupsen/logrus", "log/slog"},
	{"github.com/pkg/errors", "fmt.Errorf with %w"},
	{"github.com/stretchr/testify", "tests say what they want in Go; no second language for it"},
}

// outsiders are the packages that users compile into their programs; no node has
// them, as no layer may import them. They speak by the client that users have.
var outsiders = map[[2]string]bool{
	{".", "github.com/redis/go-redis"}:         true,
	{"tuttitest", "github.com/redis/go-redis"}: true,
}

func TestForbiddenDependencies(t *testing.T) {
	for _, f := range sources(t) {
		for _, imported := range f.imports {
			for _, no := range forbidden {
				if !outsiders[[2]string{f.pkg, no.path}] && (imported == no.path || (strings.Contains(no.path, ".") && within(imported, no.path))) {
					t.Errorf("%s imports %s: %s", f.path, imported, no.reason)
				}
			}
		}
	}
}

// pure lists what may not reach into the outside world, so that the same input
// always gives the same result: the simulation replays it, and a follower never
// decides anything.
var pure = []struct {
	where   string // a package, or one file
	without []string
}{
	{"internal/resp", outside},
	{"internal/keyspace", outside},
	{"internal/command", outside},
	{"internal/group", outside},
	{"internal/acl", outside},
	{"internal/task", outside},
	{"internal/glob", outside},
	{"internal/audit", outside},
	{"internal/eval", append(slices.Clone(outside), "sync", "context")},
}

// outside is the world: clock, chance, network, disk. "time" itself is allowed
// for Duration; TestPureFilesReadNoClock looks at its use.
var outside = []string{"crypto/rand", "math/rand", "net", "os", "os/exec", "syscall"}

func TestPurePackagesStayPure(t *testing.T) {
	for _, f := range sources(t) {
		for _, p := range pure {
			if f.test || (f.pkg != p.where && f.path != p.where) {
				continue
			}
			for _, imported := range f.imports {
				if slices.Contains(p.without, imported) {
					t.Errorf("%s imports %s, but %s must be pure", f.path, imported, p.where)
				}
			}
		}
	}
}

func TestPureFilesReadNoClock(t *testing.T) {
	calls := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, f := range sources(t) {
		for _, p := range pure {
			if f.test || (f.pkg != p.where && f.path != p.where) || !slices.Contains(f.imports, "time") {
				continue
			}
			for _, use := range usesOf(t, f.path, "time") {
				if slices.Contains(calls, use.name) {
					t.Errorf("%s calls time.%s, but %s must be pure", fmt.Sprintf("%s:%d", f.path, use.line), use.name, p.where)
				}
			}
		}
	}
}
