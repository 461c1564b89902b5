package resp

import (
	"bufio"
	"bytes"
	"slices"
	"testing"
)

// FuzzReader checks that no input panics, that memory follows the bytes
// received, and that it does not matter how the bytes are split.
func FuzzReader(f *testing.F) {
	for _, in := range []string{
		"*1\r\n$4\r\nPING\r\n", "PING\r\n", "SET k \"a\\x41\"\r\n", "*0\r\n*-1\r\n\r\n",
		"*2\r\n$3\r\nGET\r\n$20000\r\nabc", "*1\n", "PI\x00NG\n", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$0\r\n\r\nPING x",
	} {
		f.Add([]byte(in), uint16(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) {
		lim := Limits{ArgsMax: 1 << 16, BulkLenMax: 1 << 20, InlineLenMax: 1 << 10}
		cmds, end := serve(t, bytes.NewReader(in), lim)
		src := bytes.NewReader(in)
		pieces := readerFunc(func(p []byte) (int, error) {
			return src.Read(p[:min(len(p), int(piece)+1)])
		})
		cmds2, end2 := serve(t, pieces, lim)
		if !slices.Equal(cmds, cmds2) || end != end2 {
			t.Fatalf("at once %q %s, in pieces of %d %q %s", cmds, end, piece+1, cmds2, end2)
		}
		r := NewReader(bytes.NewReader(in), lim)
		for {
			if _, err := r.ReadCommand(); err != nil {
				break
			}
		}
		if held := heldBytes(r); held > 256<<10+64*len(in) {
			t.Fatalf("%d bytes held for %d received", held, len(in))
		}
	})
}

// FuzzReadValue checks that no reply panics and that what was read prints.
func FuzzReadValue(f *testing.F) {
	for _, c := range valueCases {
		f.Add([]byte(c.in))
	}
	f.Add([]byte("$-1\r\n"))
	f.Add(bytes.Repeat([]byte("*1\r\n"), 200))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := ReadValue(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		if v.String() == "" && v.Kind != KindSimple {
			t.Fatalf("nothing printed for %#v", v)
		}
		v.FormatCLI()
	})
}
