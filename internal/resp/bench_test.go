package resp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"
)

// loopReader returns the same bytes over and over.
type loopReader struct {
	data []byte
	at   int
}

func (l *loopReader) Read(p []byte) (int, error) {
	n := copy(p, l.data[l.at:])
	l.at = (l.at + n) % len(l.data)
	return n, nil
}

func BenchmarkReader(b *testing.B) {
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"ping", AppendCommandStrings(nil, "PING")},
		{"inline", []byte("SET key \"value\"\r\n")},
		{"get", AppendCommandStrings(nil, "GET", "user:1000000")},
		{"set-100B", AppendCommand(nil, []byte("SET"), []byte("user:1000000"), make([]byte, 100))},
		{"set-4KiB", AppendCommand(nil, []byte("SET"), []byte("user:1000000"), make([]byte, 4<<10))},
		{"set-1MiB", AppendCommand(nil, []byte("SET"), []byte("user:1000000"), make([]byte, 1<<20))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.in)))
			// A pipeline of a hundred small commands fills a read.
			r := NewReader(&loopReader{data: bytes.Repeat(c.in, max(1, 10000/len(c.in)))}, Limits{})
			for b.Loop() {
				if _, ok, err := r.NextBuffered(); err != nil {
					b.Fatal(err)
				} else if ok {
					continue
				}
				r.Release()
				if _, err := r.ReadCommand(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendBulk(b *testing.B) {
	b.ReportAllocs()
	value, out := make([]byte, 100), make([]byte, 0, 1<<10)
	for b.Loop() {
		out = AppendBulk(out[:0], value)
	}
}

func BenchmarkAppendDouble(b *testing.B) {
	for _, f := range []float64{42, 3.14159, 1.5e-300} {
		b.Run(fmt.Sprint(f), func(b *testing.B) {
			b.ReportAllocs()
			out := make([]byte, 0, 1<<10)
			for b.Loop() {
				out = AppendDouble(out[:0], 3, f)
			}
		})
	}
}

func BenchmarkReadValue(b *testing.B) {
	b.ReportAllocs()
	var in []byte
	in = AppendArray(in, 10)
	for range 10 {
		in = AppendBulkString(in, "user:1000000")
	}
	br := bufio.NewReader(io.Reader(&loopReader{data: in}))
	for b.Loop() {
		if _, err := ReadValue(br); err != nil {
			b.Fatal(err)
		}
	}
}
