package main

import (
	"bytes"
	"errors"
	"testing"

	"tutti/internal/resp"
)

// TestWorkloads writes each operation, and what makes its keys, as commands that a
// server can parse; none reaches beyond the values it has.
func TestWorkloads(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range workloads() {
		if seen[w.name] || len(w.kind) != len(keyKind) {
			t.Errorf("%s: twice, or keys of kind %q", w.name, w.kind)
		}
		seen[w.name] = true
		o := &operation{values: newValues(1, w.size)}
		o.values.keys = w.keysOf(1000)
		sends := []func(dst []byte, key string, o *operation) []byte{w.send}
		if f := w.filling(); f != nil {
			sends = append(sends, f.send)
		} else if !w.fresh {
			t.Errorf("%s: nobody makes its keys", w.name)
		}
		for _, send := range sends {
			for o.n = range 2 {
				line := send(nil, string(appendKey(nil, w.kind, o.n)), o)
				if args, err := resp.NewReader(bytes.NewReader(line), resp.Limits{}).ReadCommand(); err != nil || len(args) == 0 {
					t.Errorf("%s: %q: %q, %v", w.name, line[:min(len(line), 100)], args, err)
				}
			}
		}
	}
}

func TestParseArray(t *testing.T) {
	const whole = "*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+OK\r\n"
	for n := range len(whole) {
		if _, _, err := parseReply([]byte(whole[:n])); !errors.Is(err, errIncomplete) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	if r, n, err := parseReply([]byte(whole + "+next\r\n")); err != nil || n != len(whole) || !isArrayOf(3)(r) {
		t.Errorf("%+v, %d bytes, %v", r, n, err)
	}
}
