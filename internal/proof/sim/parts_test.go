package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/server"
	"tutti/internal/shard"
)

func testFrame(kind byte, payload string) []byte {
	b := make([]byte, frameHead, frameHead+1+len(payload))
	binary.BigEndian.PutUint32(b, uint32(1+len(payload)))
	return append(append(b, kind), payload...)
}

// kinds lists the kinds of whole frames in b.
func kinds(t *testing.T, b []byte) string {
	t.Helper()
	var out strings.Builder
	for len(b) > 0 {
		n := frameHead + int(binary.BigEndian.Uint32(b))
		if n > len(b) {
			t.Fatalf("%d bytes of a frame of %d", len(b), n)
		}
		out.WriteByte(b[frameHead])
		b = b[n:]
	}
	return out.String()
}

func TestFramer(t *testing.T) {
	hello := testFrame(1, "tuti\x01\x01 node and so on")
	all := append(append(append(testFrame('a', "1"), testFrame('b', strings.Repeat("2", 5000))...), testFrame('c', "")...), testFrame('d', "4")...)
	for name, c := range map[string]struct {
		hello []byte
		fault Frames
		want  string // kinds that arrive, of all twice
		count FrameCount
	}{
		"none":      {hello, Frames{}, "abcdabcd", FrameCount{}},
		"drop":      {hello, Frames{Drop: 1}, "", FrameCount{Dropped: 8}},
		"duplicate": {hello, Frames{Duplicate: 1}, "aabbccddaabbccdd", FrameCount{Duplicated: 8}},
		"late":      {hello, Frames{Reorder: 1}, "", FrameCount{Reordered: 8}}, // until others pass
		"stream":    {testFrame(1, "tuti\x01\x10 node and so on"), Frames{Drop: 1, Duplicate: 1, Reorder: 1}, "abcdabcd", FrameCount{}},
	} {
		t.Run(name, func(t *testing.T) {
			var count FrameCount
			f, r := newFramer("n1:7379", true, &count), rand.New(rand.NewPCG(1, 1))
			if got := f.pass(c.hello, c.fault, r); string(got) != string(c.hello) {
				t.Errorf("the hello became %q", got)
			}
			out := append(append([]byte(nil), f.pass(all, c.fault, r)...), f.pass(all, c.fault, r)...)
			if got := kinds(t, out); got != c.want || count != c.count {
				t.Errorf("arrived: %s, want %s; %+v", got, c.want, count)
			}
			if name == "late" {
				out = f.pass(append(append(append([]byte(nil), all...), all...), all...), Frames{}, r)
				if got := kinds(t, out); len(got) != 20 || got == "abcdabcdabcdabcdabcd" {
					t.Errorf("after the fault: %s", got)
				}
			}
		})
	}
	if newFramer("n1:6379", true, nil) != nil {
		t.Error("connections of clients carry no frames")
	}
}

// What tear leaves of a file begins with what was synced, and ends within what
// was written after that.
func TestTear(t *testing.T) {
	mem := vfs.NewCrashableMem()
	write := func(name, text string, sync bool) {
		f, err := mem.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.WriteAt([]byte(text), 0)
		}
		if err == nil && sync {
			err = f.Sync()
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	write("/wal", "synced", true)
	write("/vow", "old record", true)
	root, err := mem.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sync(); err != nil {
		t.Fatal(err)
	}
	write("/wal", "synced, and more", false)
	write("/vow", "new record", false)
	write("/new", "never synced", false)
	seen := make(map[string]bool)
	for seed := range uint64(200) {
		torn, err := tear(mem, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		wal, err := contents(torn, "/wal")
		if err != nil || !strings.HasPrefix("synced, and more", string(wal)) || len(wal) < len("synced") {
			t.Fatalf("wal %q, %v", wal, err)
		}
		vow, err := contents(torn, "/vow")
		if err != nil || !strings.HasSuffix(string(vow), " record") {
			t.Fatalf("vow %q, %v", vow, err)
		}
		if _, err := torn.Stat("/new"); err == nil {
			t.Fatal("a file without a synced folder is there")
		}
		seen[string(wal)], seen[string(vow)] = true, true
	}
	if len(seen) != 11+4 {
		t.Errorf("%d ways to tear: %v", len(seen), seen)
	}
}

func TestFlipBit(t *testing.T) {
	mem := vfs.NewCrashableMem()
	if err := mem.MkdirAll("/n1/log", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := overwrite(mem, "/n1/log/000001.log", 0, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	if text, err := flipBit(mem, "/n1", "table", r); text != "" || err != nil {
		t.Errorf("flipped %q, %v", text, err)
	}
	if text, err := flipBit(mem, "/n1", "wal", r); text == "" || err != nil {
		t.Errorf("flipped %q, %v", text, err)
	}
	b, err := contents(mem, "/n1/log/000001.log")
	ones := 0
	for _, x := range b {
		for ; x != 0; x &= x - 1 {
			ones++
		}
	}
	if err != nil || len(b) != 100 || ones != 1 {
		t.Errorf("%d bits of %d bytes, %v", ones, len(b), err)
	}
}

func TestScheduleText(t *testing.T) {
	s := draw(3, calm)
	s.Options.Uploads, s.Options.Large = server.Uploads{From: 1, Part: 2}, shard.Large{PiecesFrom: 16, PieceBytes: 32, CarryFrom: 1}
	s.Steps = []Step{{1250e6, "crash 2 keep=50 seed=7"}, {2e9, "link n1>n2 drop=0.100 dup=0.2"}, {3e9, "cut n1>n2 n2>n1"}}
	text := s.String()
	again, err := ParseSchedule("# a comment\n\n" + text)
	if err != nil {
		t.Fatal(err)
	}
	if again.String() != text || again.Options.Uploads != s.Options.Uploads || again.Options.Large != s.Options.Large {
		t.Errorf("became\n%s\nfrom\n%s", again, text)
	}
	for _, bad := range []string{"seed x", "1s dance 2", "1x crash 2", "load clients=many", "nonsense"} {
		if _, err := ParseSchedule(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
