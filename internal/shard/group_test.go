package shard

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"tutti/internal/cluster"
)

func randomBytes(r *rand.Rand) []byte { return bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300)) }

func randomGroup(r *rand.Rand) *Group {
	g := &Group{Shard: cluster.ShardID(r.Uint64()), Session: r.Uint64(), Seq: r.Uint64(), Attempt: r.Uint32(), Term: r.Uint64(), Floor: r.Uint64(),
		Proto: uint8(2 + r.IntN(2)), Open: r.IntN(2) == 0, Atomic: r.IntN(2) == 0}
	for range r.IntN(3) {
		g.Watches = append(g.Watches, Watch{DB: uint8(r.IntN(16)), Key: randomBytes(r), Version: r.Uint64(), Exists: r.IntN(2) == 0})
	}
	for range r.IntN(5) {
		c := Command{DB: uint8(r.IntN(16))}
		for range 1 + r.IntN(4) {
			c.Args = append(c.Args, randomBytes(r))
		}
		g.Cmds = append(g.Cmds, c)
	}
	return g
}

func TestGroupCodec(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		g := randomGroup(r)
		enc := g.encode([]byte("head"))[4:]
		got, err := decodeGroup(enc)
		if err != nil {
			t.Fatal(err)
		}
		if g.size = len(enc); !reflect.DeepEqual(got, g) {
			t.Fatalf("%+v becomes %+v", g, got)
		}
		if _, err := decodeGroup(enc[:r.IntN(len(enc))]); err == nil {
			t.Fatal("a part of a group was decoded")
		}
		if _, err := decodeGroup(append(enc, 0)); err == nil {
			t.Fatal("a group with more behind it was decoded")
		}
	}
}

// TestGroupRefused decodes what is well formed and means nothing.
func TestGroupRefused(t *testing.T) {
	for name, g := range map[string]*Group{
		"command without a name":  {Cmds: []Command{{}}},
		"command in database 16":  {Cmds: []Command{{DB: 16, Args: [][]byte{[]byte("GET")}}}},
		"watched key in database": {Watches: []Watch{{DB: 16}}},
	} {
		if _, err := decodeGroup(g.encode(nil)); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
}

func TestReplyCodec(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		reply := Reply{Shard: cluster.ShardID(r.Uint64()), Session: r.Uint64(), Seq: r.Uint64(), Attempt: r.Uint32(), Status: Status(r.IntN(8)),
			Leader: cluster.NodeID(r.Uint64()), Term: r.Uint64(), Index: r.Uint64(), Time: r.Int64(), Replies: [][]byte{}}
		for range r.IntN(5) {
			reply.Replies = append(reply.Replies, randomBytes(r))
		}
		enc := reply.encode(nil)
		got, err := decodeReply(enc)
		if err != nil || !reflect.DeepEqual(got, reply) {
			t.Fatalf("%+v becomes %+v, %v", reply, got, err)
		}
		if _, err := decodeReply(enc[:r.IntN(len(enc))]); err == nil {
			t.Fatal("a part of a reply was decoded")
		}
	}
}

// TestDecodeAllocates checks that memory follows the bytes there are, not the
// numbers in them.
func TestDecodeAllocates(t *testing.T) {
	fixed := make([]byte, groupFixed)
	for name, c := range map[string]struct {
		b      []byte
		decode func(b []byte)
	}{
		"commands":  {append(append(bytes.Clone(fixed), 0), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = decodeGroup(b) }},
		"watches":   {append(bytes.Clone(fixed), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = decodeGroup(b) }},
		"arguments": {append(append(bytes.Clone(fixed), 0, 1, 0), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = decodeGroup(b) }},
		"replies":   {append(make([]byte, replyFixed), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = decodeReply(b) }},
	} {
		for _, b := range [][]byte{c.b, append(bytes.Clone(c.b), bytes.Repeat([]byte{0xff}, 10_000)...)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c.decode(b)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(64*len(b)+4096) {
				t.Errorf("%s: %d bytes for a frame of %d", name, n, len(b))
			}
		}
	}
}

func FuzzDecodeGroup(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 5 {
		f.Add(randomGroup(r).encode(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := decodeGroup(b)
		if err != nil {
			return
		}
		again, err := decodeGroup(g.encode(nil))
		if err != nil {
			t.Fatal(err)
		}
		if again.size = g.size; !reflect.DeepEqual(g, again) {
			t.Fatalf("%+v becomes %+v", g, again)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add((&Reply{Replies: [][]byte{[]byte("+OK\r\n"), nil}}).encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeReply(b); err == nil {
			if again, err := decodeReply(r.encode(nil)); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v becomes %+v, %v", r, again, err)
			}
		}
	})
}

func FuzzRecorded(f *testing.F) {
	f.Add(appendRecorded(appendRecorded(nil, 7, [][]byte{[]byte(":1\r\n")}, replyKeepMax), 8, nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = eachRecorded(b, func(_ uint64, body []byte) { n += 1 + len(body) })
		if n > len(b) {
			t.Fatalf("%d bytes in %d", n, len(b))
		}
	})
}
