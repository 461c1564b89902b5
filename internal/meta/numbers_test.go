package meta

import (
	"errors"
	"fmt"
	"testing"

	"tutti/internal/cluster"
	"tutti/internal/keyspace"
)

// TestGoldenNumbers keeps the bytes of the rows of numbers.
func TestGoldenNumbers(t *testing.T) {
	m, err := cluster.NewMap(cluster.Map{Epoch: 258, Version: cluster.V1, Members: []cluster.Member{{ID: 3, Version: cluster.V1}}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[byte]string{rowEpoch: "010000000000000102", rowVersion: "010000000000000001", rowNext: "0100000000000000040000000000000001"}
	for _, row := range Rows(m) {
		kind := row.Key[len(keyspace.MetaRow(0))-1]
		if hex, ok := want[kind]; ok && fmt.Sprintf("%x", row.Val) != hex {
			t.Errorf("row %q is written as %x, want %s", kind, row.Val, hex)
		}
		delete(want, kind)
	}
	if len(want) > 0 {
		t.Errorf("not written: %v", want)
	}
}

func FuzzDecodeNumbers(f *testing.F) {
	f.Add(encodeNumbers(1, 2))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var x, y uint64
		switch err := decodeNumbers(b, &x, &y); {
		case err != nil:
			if !errors.Is(err, cluster.ErrMap) && !errors.Is(err, cluster.ErrVersion) {
				t.Error(err)
			}
		case string(encodeNumbers(x, y)) != string(b):
			t.Errorf("%x becomes %x", b, encodeNumbers(x, y))
		}
	})
}
