package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"tutti/e2e/process"
	"tutti/internal/resp"
)

// TestSample tries a little of each part on real processes.
func TestSample(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server to compare with")
	}
	redis.SetLogger(process.Quiet{})
	dir := t.TempDir()
	binary, err := process.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := try(t.Context(), dir, binary, names(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(verdict)
}

// What is told must be able to take a value out of a cache, and only that.
func TestForget(t *testing.T) {
	bulk := func(s string) resp.Value { return resp.Value{Kind: resp.KindBulk, Str: []byte(s)} }
	list := func(v ...resp.Value) resp.Value { return resp.Value{Kind: resp.KindArray, Elems: v} }
	for _, x := range []struct {
		name string
		push resp.Value
		left int
	}{
		{"of a key", list(bulk("invalidate"), list(bulk("a"))), 1},
		{"of keys", list(bulk("invalidate"), list(bulk("a"), bulk("b"))), 0},
		{"of others", list(bulk("invalidate"), list(bulk("c"))), 2},
		{"of everything", list(bulk("invalidate"), resp.Value{Kind: resp.KindNull, Null: true}), 0},
		{"by a channel", list(bulk("message"), bulk(invalidations), list(bulk("a"))), 1},
	} {
		k := &cache{kept: map[string]int{"a": 1, "b": 2}}
		if err := k.forget(x.push); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if len(k.kept) != x.left {
			t.Errorf("%s: %d values are left, want %d", x.name, len(k.kept), x.left)
		}
	}
	if err := new(cache).forget(bulk("PONG")); err == nil {
		t.Error("a push without keys was taken")
	}
}

// So must the judge of caches find what is wrong.
func TestJudgeOldReads(t *testing.T) {
	for _, x := range []struct {
		name, says string
		spoil      func(k *cache)
	}{
		{"a read was too old", "too old", func(k *cache) { k.old = []string{"t:1: 1, 2 was acknowledged"} }},
		{"an old value is held", "still holds", func(k *cache) { k.kept["t:1"] = 1 }},
		{"nothing was told", "too few", func(k *cache) { k.told = 0 }},
		{"nothing", "", func(*cache) {}},
	} {
		k := &cache{kept: map[string]int{"t:1": 2}, hits: 1, told: 1}
		x.spoil(k)
		err := k.judge(map[string]int{"t:1": 2})
		if (err == nil) != (x.says == "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: judged %v", x.name, err)
		}
	}
}

// The comparison of streams leaves out times, and nothing else.
func TestTimeless(t *testing.T) {
	bulk := func(s string) resp.Value { return resp.Value{Kind: resp.KindBulk, Str: []byte(s)} }
	num := func(n int64) resp.Value { return resp.Value{Kind: resp.KindInt, Int: n} }
	v := resp.Value{Kind: resp.KindArray, Elems: []resp.Value{bulk("length"), num(3), bulk("radix-tree-keys"), num(1), bulk("seen-time"), num(1795993058991), bulk("1-0"), num(1795993058991), num(2)}}
	if got, want := whole(timeless(v)), `["length" 3 "1-0" 2]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
