package rdb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// show writes a value as text: elements quoted, members with their scores.
func show(v Value) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", v.Kind)
	if v.Kind == String {
		fmt.Fprintf(&b, " %q", v.Str)
	}
	for _, e := range v.Elems {
		fmt.Fprintf(&b, " %q", e)
	}
	for _, m := range v.Members {
		fmt.Fprintf(&b, " %q=%v", m.Name, m.Score)
	}
	for _, at := range v.Deadlines {
		fmt.Fprintf(&b, " until %d", at)
	}
	if v.Stream != nil {
		showStream(&b, v.Stream)
	}
	return b.String()
}

func showStream(b *strings.Builder, s *StreamValue) {
	id := func(id ID) string { return fmt.Sprintf("%d-%d", id.Ms, id.Seq) }
	for _, e := range s.Entries {
		fmt.Fprintf(b, " %s%q", id(e.ID), e.Fields)
	}
	fmt.Fprintf(b, " last %s deleted %s of %d", id(s.Last), id(s.MaxDeleted), s.Added)
	for _, g := range s.Groups {
		fmt.Fprintf(b, " %q %s read %d", g.Name, id(g.Last), g.Read)
		for _, c := range g.Consumers {
			fmt.Fprintf(b, " %q seen %d active %d", c.Name, c.Seen, c.Active)
		}
		for _, p := range g.Pending {
			fmt.Fprintf(b, " %s %d %d %d", id(p.ID), p.Consumer, p.Delivered, p.Count)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// payloads are from Redis 7.0, with their footers.
var payloads = []struct{ name, hex, want string }{
	{"lzf", "00c30a407802616261e06a010161620a00b288708c530716d2", fmt.Sprintf("1 %q", strings.Repeat("ab", 60))},
	{"int16", "00c1c7cf0a0067eda236b4db26d0", `1 "-12345"`},
	{"quicklist2", "120102c31840760d7600000004000101816102e06477e05a000466dfff02ff0a00651c32f96a381d58",
		fmt.Sprintf(`2 "1" "a" %q "-1"`, strings.Repeat("w", 100))},
	{"set", "0202017901780a000cdf6b3db330bcf0", `3 "y" "x"`},
	{"hash listpack", "10c34043407c1f7c0000000e008161020101816202f178ec03816302f270110104816402f4005e01d0b220200d0009816502df9c02816602e04079e036000942816702f200127a04ff0a00cd3508107862272a",
		fmt.Sprintf(`5 "a" "1" "b" "-5000" "c" "70000" "d" "3000000000" "e" "-100" "f" %q "g" "8000000"`, strings.Repeat("y", 64))},
	{"zset listpack", "111d1d0000000600816302842d696e6605816102010181620283322e3504ff0a003992339be11f323d", `4 "c"=-Inf "a"=1 "b"=2.5`},
	{"stream", "13011000000000000000050000000000000001404d4d0000001d0003010101010181660200010201000100018176020401030100010101f270110104040100010101dfff020201816702817702816802817802080102010201dfff02817a020401ff03070005010502040203616c6c060081ffffffffffffffff0200000000000000050000000000000001e8030000000000000300000000000000060000000000000000e803000000000000030103626f620150c022a2010000020000000000000005000000000000000100000000000000060000000000000000036e6577070081ffffffffffffffff00000a00701a130248cb0f0c",
		`6 5-1["f" "v"] 6-0["g" "w" "h" "x"] 7-0["f" "z"] last 7-0 deleted 5-2 of 4 "all" 6-0 read -1 "bob" seen 1795879358465 active 1795879358465 5-1 0 1000 3 6-0 0 1000 3 "new" 7-0 read -1`},
	{"empty stream", "13000000000000000000010167000081ffffffffffffffff00000a00a01a953dfb9cddde", `6 last 0-0 deleted 0-0 of 0 "g" 0-0 read -1`},
	{"intset", "0b10040000000200000090eefeff010000000a0094a105e959efec05", `3 "-70000" "1"`},
}

// bodies are values without a footer, of older and newer types.
var bodies = []struct{ name, hex, want string }{
	{"hash ziplist", "0d1b1b00000016000000040000026631040276310402663204027632ff", `5 "f1" "v1" "f2" "v2"`},
	{"quicklist", "0e010d0d0000000a000000010000f8ff", `2 "7"`},
	{"zset ziplist", "0c191900000016000000040000036f6e6505f2020374776f05f3ff", `4 "one"=1 "two"=2`},
	{"list ziplist", "0a2a2a00000000000000070000c0341204d0ffffffff06e000000000000000800af0ffff7f05fe80030161ff",
		`2 "4660" "-1" "-9223372036854775808" "8388607" "-128" "a"`},
	{"set listpack", "140c0c00000002000101816102ff", `3 "1" "a"`},
	{"zset with text", "0302016101310162ff", `4 "a"=1 "b"=-Inf`},
	{"plain node", "12010103616263", `2 "abc"`},
	{"14 bit length", "004003616263", `1 "abc"`},
	{"32 bit length", "008000000003616263", `1 "abc"`},
	{"64 bit length", "00810000000000000003616263", `1 "abc"`},

	{"stream of Redis 5", "0f0110000000000000000500000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff01050100", `6 5-1["f" "v"] last 5-1 deleted 0-0 of 1`},
	{"stream with an entry behind its last id", "0f0110000000000000000500000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff01050000", "bad"},
	{"stream with an entry twice", "0f0210000000000000000500000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff10000000000000000500000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff02050100", "bad"},
	{"stream of another length", "0f0110000000000000000500000000000000011d1d0000000a0001010001010181660200010201000100018176020401ff02050100", "bad"},

	{"nothing", "", "bad"},
	{"unknown type", "1e00", "bad"},
	{"short string", "000361", "bad"},
	{"left over", "00016161", "bad"},
	{"huge length", "0081ffffffffffffffff61", "bad"},
	{"unknown encoding", "00c4", "bad"},
	{"unknown length", "0082", "bad"},
	{"empty list", "0100", "bad"},
	{"member twice", "020201610161", "bad"},
	{"field twice", "04020161017801610179", "bad"},
	{"field without value", "100a0a0000000100816102ff", "bad"},
	{"score not a number", "03010161fd", "bad"},
	{"score no number", "030101610178", "bad"},
	{"intset of 3 bytes", "0b0b0300000001000000010203", "bad"},
	{"intset too short", "0b0a04000000020000000102", "bad"},
	{"listpack of wrong length", "140c0d00000002000101816102ff", "bad"},
	{"listpack without end", "140b0b00000002000101816102", "bad"},
	{"lzf before its start", "00c30303200010", "bad"},
	{"lzf too long", "00c3030202616263", "bad"},
	{"lzf too large", "00c30181ffffffffffffff0000", "bad"},
}

func TestDecode(t *testing.T) {
	check := func(name, payload, want string) {
		t.Run(name, func(t *testing.T) {
			got := "bad"
			v, err := Decode([]byte(payload))
			if err == nil {
				got = show(v)
			} else if !errors.Is(err, ErrFormat) {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	for _, p := range payloads {
		check(p.name, string(unhex(t, p.hex)), p.want)
	}
	for _, b := range bodies {
		check(b.name, string(AppendFooter(unhex(t, b.hex))), b.want)
	}
}

func TestChecksum(t *testing.T) {
	if got := checksum([]byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Errorf("checksum = %x", got)
	}
	good := AppendFooter(AppendString(nil, []byte("abc")))
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, err := Decode(bad); !errors.Is(err, ErrVersionOrChecksum) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := Decode(good[:i]); !errors.Is(err, ErrVersionOrChecksum) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	newer := le.AppendUint16(AppendString(nil, nil), versionReadMax+1)
	newer = le.AppendUint64(newer, checksum(newer))
	if _, err := Decode(newer); !errors.Is(err, ErrVersionOrChecksum) {
		t.Errorf("newer version: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 16383, 16384, 70000} {
		val := bytes.Repeat([]byte("x"), n)
		v, err := Decode(AppendFooter(AppendString(nil, val)))
		if err != nil || v.Kind != String || !bytes.Equal(v.Str, val) {
			t.Errorf("string of %d bytes: %v", n, err)
		}
	}
	for _, kind := range []Kind{List, Set, ZSet, Hash} {
		for _, n := range []int{1, 63, 64, 20000} {
			b, want := AppendStart(nil, kind, n), Value{Kind: kind}
			for i := range n {
				name := fmt.Appendf(nil, "element %d", i)
				switch kind {
				case ZSet:
					score := math.Sqrt(float64(i)) - 5
					b, want.Members = AppendMember(b, name, score), append(want.Members, Member{name, score})
				case Hash:
					b, want.Elems = AppendElement(b, name), append(want.Elems, name)
					fallthrough
				default:
					b, want.Elems = AppendElement(b, name), append(want.Elems, name)
				}
			}
			got, err := Decode(AppendFooter(b))
			if err != nil || show(got) != show(want) {
				t.Errorf("kind %d of %d: %v", kind, n, err)
			}
		}
	}
}

// The forms of hashes whose fields have deadlines are those that Redis 7.4 writes.
func TestTimedHashRoundTrip(t *testing.T) {
	want := Value{Kind: Hash, Elems: [][]byte{[]byte("a"), []byte("1"), []byte("b"), []byte("2"), []byte("c"), nil}, Deadlines: []int64{1700000000001, 0, 1700000005000}}
	b := AppendFooter(AppendTimedHash(nil, want.Elems, want.Deadlines))
	if got := fmt.Sprintf("%x", b[:len(b)-8]); got != "180168e5cf8b01000003"+"01"+"01610131"+"00"+"01620132"+"5388"+"016300"+"0c00" {
		t.Errorf("bytes are %s", got)
	}
	got, err := Decode(b)
	if err != nil || show(got) != show(want) {
		t.Errorf("%v: %s, want %s", err, show(got), show(want))
	}
	// The same of listpacks: earliest, and a string that is one.
	list := unhex(t, "1d0000000600"+"81610201010001"+"8162020201f40168e5cf8b01000009"+"ff")
	got, err = Decode(AppendFooter(AppendElement(unhex(t, "190168e5cf8b010000"), list)))
	if want := `5 "a" "1" "b" "2" until 0 until 1700000000001`; err != nil || show(got) != want {
		t.Errorf("listpack: %v, %s, want %s", err, show(got), want)
	}
	for _, bad := range []string{"18ffffffffffffffff01010161013100", "180168e5cf8b0100000101", "180168e5cf8b01000001c0016101310"} {
		if len(bad)%2 != 0 {
			bad += "0"
		}
		if v, err := Decode(AppendFooter(unhex(t, bad))); err == nil {
			t.Errorf("%s is %s", bad, show(v))
		}
	}
}

// TestStreamRoundTrip writes streams with all that they can have, and reads them.
func TestStreamRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 1000} {
		s := &StreamValue{Last: ID{math.MaxUint64, 7}, MaxDeleted: ID{3, math.MaxUint64}, Added: uint64(n) + 1<<40}
		for i := range n {
			fields := [][]byte{[]byte("f"), fmt.Appendf(nil, "%d", i)}
			if i%3 == 1 {
				fields = append(fields, bytes.Repeat([]byte("x"), i*i%70000), nil)
			}
			s.Entries = append(s.Entries, Entry{ID{uint64(i) << 40, uint64(1000 - i)}, fields})
		}
		for i, g := range []Group{{Name: []byte("g"), Last: ID{1, 2}, Read: 300}, {Read: -1}} {
			g.Consumers = []Consumer{{[]byte("a"), 1 << 40, 1 << 40}, {[]byte("b"), 0, -1}}
			for k := range i * 100 {
				g.Pending = append(g.Pending, Pending{ID{uint64(k), 1}, int64(k), uint64(k) << 20, k % 2})
			}
			s.Groups = append(s.Groups, g)
		}
		want := Value{Kind: Stream, Stream: s}
		got, err := Decode(AppendFooter(AppendStream(nil, s)))
		if err != nil || show(got) != show(want) {
			t.Errorf("stream of %d: %v\n%.300s\n%.300s", n, err, show(got), show(want))
		}
	}
}

// FuzzDecode feeds bodies, as a random checksum is never right.
func FuzzDecode(f *testing.F) {
	for _, p := range payloads {
		b := unhex(f, p.hex)
		f.Add(b[:len(b)-footerLen])
	}
	for _, b := range bodies {
		f.Add(unhex(f, b.hex))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := Decode(AppendFooter(body))
		if err != nil {
			return
		}
		if v.Kind == Stream {
			again, err := Decode(AppendFooter(AppendStream(nil, v.Stream)))
			for i := range v.Stream.Groups {
				for k := range v.Stream.Groups[i].Consumers { // what the form of 7.0 does not have
					c := &v.Stream.Groups[i].Consumers[k]
					if c.Active = -1; c.Seen > 0 {
						c.Active = c.Seen
					}
				}
			}
			if err != nil || show(again) != show(v) {
				t.Fatalf("%x becomes %s, then %s: %v", body, show(v), show(again), err)
			}
			return
		}
		if v.Kind != String && len(v.Elems)+len(v.Members) == 0 {
			t.Fatalf("empty collection from %x", body)
		}
	})
}
