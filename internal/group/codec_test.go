package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"tutti/internal/cluster"
)

func randomBytes(r *rand.Rand) []byte { return bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(300)) }

func randomGroup(r *rand.Rand) *Group {
	g := &Group{Shard: cluster.ShardID(r.Uint64()), Session: r.Uint64(), Seq: r.Uint64(), Attempt: r.Uint32(), Term: r.Uint64(), Floor: r.Uint64(),
		Proto: uint8(2 + r.IntN(2)), Open: r.IntN(2) == 0, Atomic: r.IntN(2) == 0, Own: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		first := r.IntN(cluster.Slots)
		g.Claim = Claim{cluster.SlotRange{First: first, End: first + r.IntN(cluster.Slots-first+1)}, r.Uint64(), r.Uint64()}
	}
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
	if r.IntN(4) == 0 {
		g.Wait = &Wait{Seq: r.Uint64(), Order: r.Uint64(), Round: r.Uint64()}
		if g.Wait.Cancel = r.IntN(2) == 0; !g.Wait.Cancel {
			g.Cmds = []Command{{Args: [][]byte{[]byte("BLPOP")}}}
		}
	}
	if r.IntN(3) == 0 {
		g.Room = 1 + r.IntN(1<<30)
	}
	for range r.IntN(3) {
		g.Got = append(g.Got, r.Uint64())
	}
	return g
}

func TestGroupCodec(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		g := randomGroup(r)
		enc := g.Append([]byte("head"))[4:]
		got, err := Decode(enc)
		if err != nil {
			t.Fatal(err)
		}
		if g.size = len(enc); !reflect.DeepEqual(got, g) {
			t.Fatalf("%+v becomes %+v", g, got)
		}
		if _, err := Decode(enc[:r.IntN(len(enc))]); err == nil {
			t.Fatal("a part of a group was decoded")
		}
		if _, err := Decode(append(enc, 0)); err == nil {
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
		"slots behind the last":   {Claim: Claim{Slots: cluster.SlotRange{End: cluster.Slots + 1}}},
		"cancels nobody":          {Wait: &Wait{Cancel: true}},
		"waits with no command":   {Wait: &Wait{Seq: 1}},
		"slots backwards":         {Claim: Claim{Slots: cluster.SlotRange{First: 2, End: 1}}},
	} {
		if _, err := Decode(g.Append(nil)); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
}

func TestReplyCodec(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		reply := Reply{Shard: cluster.ShardID(r.Uint64()), Session: r.Uint64(), Seq: r.Uint64(), Attempt: r.Uint32(), Status: Status(r.IntN(8)), Users: r.Uint64(),
			Leader: cluster.NodeID(r.Uint64()), Term: r.Uint64(), Index: r.Uint64(), Time: r.Int64(), Replies: [][]byte{}}
		if r.IntN(3) == 0 {
			reply.Late, reply.Order = true, r.Uint64()
		}
		if r.IntN(3) == 0 {
			reply.Unfit = Unfit{From: r.IntN(1024), Need: 1 + r.IntN(1<<30)}
		}
		for i := range r.IntN(3) {
			if i == 0 {
				reply.Own = &Own{}
			}
			reply.Own.Keys = append(reply.Own.Keys, randomBytes(r))
		}
		if r.IntN(3) == 0 {
			reply.Owned = &cluster.Descriptor{ID: 3, Slots: cluster.SlotRange{First: 5, End: 9}, Generation: r.Uint64(), Next: 3, Replicas: []cluster.Replica{{ID: 2, Node: 7}}}
		}
		for range r.IntN(5) {
			reply.Replies = append(reply.Replies, randomBytes(r))
		}
		enc := reply.Append(nil)
		if len(enc) > reply.Size() {
			t.Fatalf("%d bytes, want at most %d", len(enc), reply.Size())
		}
		got, err := DecodeReply(enc)
		if err != nil || !reflect.DeepEqual(got, reply) {
			t.Fatalf("%+v becomes %+v, %v", reply, got, err)
		}
		if _, err := DecodeReply(enc[:r.IntN(len(enc))]); err == nil {
			t.Fatal("a part of a reply was decoded")
		}
	}
}

// TestDecodeAllocates checks that memory follows the bytes there are, not the
// numbers in them.
func TestDecodeAllocates(t *testing.T) {
	fixed, reply := make([]byte, groupFixed), make([]byte, replyFixed)
	fixed[0], reply[0] = version, version
	for name, c := range map[string]struct {
		b      []byte
		decode func(b []byte)
	}{
		"commands":  {append(append(bytes.Clone(fixed), 0), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = Decode(b) }},
		"watches":   {append(bytes.Clone(fixed), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = Decode(b) }},
		"arguments": {append(append(bytes.Clone(fixed), 0, 1, 0), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = Decode(b) }},
		"replies":   {append(append(bytes.Clone(reply), 0), 0xff, 0xff, 0x3f), func(b []byte) { _, _ = DecodeReply(b) }},
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

// TestGolden reads and writes a frame of each kind as version 4 has them: nodes of
// other ages speak it too.
func TestGolden(t *testing.T) {
	g := &Group{Shard: 3, Session: SessionID(1, 2), Seq: 7, Attempt: 2, Term: 5, Floor: 6, Proto: 3, Atomic: true,
		Claim:   Claim{cluster.SlotRange{First: 100, End: 8192}, 4, 9},
		Watches: []Watch{{DB: 1, Key: []byte("watched"), Version: 77, Exists: true}},
		Cmds:    []Command{{DB: 1, Args: [][]byte{[]byte("SET"), []byte("key"), []byte("value")}}, {Args: [][]byte{[]byte("DBSIZE")}}}}
	waits := &Group{Shard: 3, Session: SessionID(1, 2), Seq: 8, Attempt: 1, Term: 5, Floor: 6, Proto: 2, Wait: &Wait{Seq: 4, Order: 5<<32 | 1, Round: 2}, Got: []uint64{3},
		Claim: Claim{cluster.AllSlots, 4, 9}, Cmds: []Command{{Args: [][]byte{[]byte("BLPOP"), []byte("key"), []byte("0")}}}}
	user := &Group{Shard: 3, Session: SessionID(1, 2), Seq: 9, Attempt: 1, Term: 5, Floor: 6, Proto: 2, Claim: Claim{cluster.AllSlots, 4, 9},
		Cmds: []Command{{Args: [][]byte{[]byte("EVAL"), []byte("return 1"), []byte("0")}}}, User: &User{Name: "bob", Rules: []string{"on", "~app:*", "+eval"}}}
	late := &Reply{Shard: 3, Session: SessionID(1, 2), Seq: 4, Late: true, Term: 5, Index: 78, Time: 1_700_000_000_000, Order: 5<<32 | 1, Replies: [][]byte{[]byte("*0\r\n")}}
	reply := &Reply{Shard: 3, Session: SessionID(1, 2), Seq: 7, Attempt: 2, Status: OK, Leader: 4, Term: 5, Index: 78, Time: 1_700_000_000_000,
		Replies: [][]byte{[]byte("+OK\r\n"), []byte(":1\r\n")}}
	moved := &Reply{Shard: 3, Session: SessionID(1, 2), Seq: 8, Attempt: 1, Status: Moved, Leader: 4, Term: 5, Index: 78, Time: 1_700_000_000_000, Replies: [][]byte{},
		Owned: &cluster.Descriptor{ID: 3, Slots: cluster.SlotRange{First: 100, End: 4096}, Generation: 5, Next: 9, Replicas: []cluster.Replica{{ID: 8, Node: 4}}}}
	users := &Reply{Shard: 3, Session: SessionID(1, 2), Seq: 9, Attempt: 1, Status: UsersChanged, Leader: 4, Term: 5, Index: 78, Time: 1_700_000_000_000, Replies: [][]byte{}, Users: 10}
	asks := &Group{Shard: 3, Session: SessionID(1, 2), Seq: 10, Attempt: 1, Term: 5, Floor: 6, Proto: 3, Own: true, Claim: Claim{cluster.AllSlots, 4, 9}, Room: 1 << 20,
		Cmds: []Command{{Args: [][]byte{[]byte("DEL"), []byte("a"), []byte("b")}}}}
	own := &Reply{Shard: 3, Session: SessionID(1, 2), Seq: 10, Attempt: 1, Term: 5, Index: 79, Time: 1_700_000_000_000, Own: &Own{[][]byte{[]byte("a"), []byte("b")}}, Replies: [][]byte{[]byte(":2\r\n")}}
	golden := func(name string, b []byte) []byte {
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if text := hex.Dump(b); text != string(want) {
			t.Errorf("%s is written as\n%s", name, text)
		}
		return b
	}
	for name, g := range map[string]*Group{"group-4.hex": g, "group-waits-4.hex": waits, "group-user-4.hex": user, "group-own-4.hex": asks} {
		enc := golden(name, g.Append(nil))
		if got, err := Decode(enc); err != nil || got.size != len(enc) {
			t.Errorf("decoded %+v, %v", got, err)
		} else if got.size = 0; !reflect.DeepEqual(got, g) {
			t.Errorf("%+v becomes %+v", g, got)
		}
	}
	for name, reply := range map[string]*Reply{"reply-4.hex": reply, "reply-moved-4.hex": moved, "reply-users-4.hex": users, "reply-late-4.hex": late, "reply-own-4.hex": own} {
		if got, err := DecodeReply(golden(name, reply.Append(nil))); err != nil || !reflect.DeepEqual(got, *reply) {
			t.Errorf("%+v becomes %+v, %v", *reply, got, err)
		}
	}
}

// TestUnknownVersion refuses what a later program says, and names its version
// even if nothing else of it is as it is here.
func TestUnknownVersion(t *testing.T) {
	for _, b := range [][]byte{{version + 1}, append([]byte{version + 1}, make([]byte, 100)...)} {
		_, group := Decode(b)
		_, reply := DecodeReply(b)
		for _, err := range []error{group, reply} {
			if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version 5") {
				t.Errorf("%d bytes: %v", len(b), err)
			}
		}
	}
	for _, b := range [][]byte{nil, {version}} {
		_, group := Decode(b)
		_, reply := DecodeReply(b)
		if !errors.Is(group, ErrMalformed) || !errors.Is(reply, ErrMalformed) {
			t.Errorf("%d bytes: %v, %v", len(b), group, reply)
		}
	}
}

func TestSessionID(t *testing.T) {
	id := SessionID(5, 1<<48+7)
	if SessionNode(id) != 5 || SessionIncarnation(id) != 7 {
		t.Errorf("%x", id)
	}
}

func FuzzDecodeGroup(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 5 {
		f.Add(randomGroup(r).Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(g.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if again.size = g.size; !reflect.DeepEqual(g, again) {
			t.Fatalf("%+v becomes %+v", g, again)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add((&Reply{Replies: [][]byte{[]byte("+OK\r\n"), nil}}).Append(nil))
	f.Add((&Reply{Own: &Own{[][]byte{[]byte("key")}}, Unfit: Unfit{1, 2}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeReply(b); err == nil {
			if again, err := DecodeReply(r.Append(nil)); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v becomes %+v, %v", r, again, err)
			}
		}
	})
}
