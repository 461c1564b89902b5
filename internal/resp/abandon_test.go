package resp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// TestAbandon abandons or releases between commands and in the middle of them.
// Every command is read right, and the arguments of abandoned ones stay as they
// were, whatever is read into the Reader's memory later.
func TestAbandon(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 8))
		var in []byte
		var want []string
		for range 150 {
			args := []string{"CMD"}
			for range rng.IntN(6) {
				n := rng.IntN(40)
				if rng.IntN(12) == 0 {
					n = rng.IntN(5 * chunkLen)
				}
				args = append(args, strings.Repeat(string(rune('a'+rng.IntN(26))), n))
			}
			in = AppendCommandStrings(in, args...)
			want = append(want, strings.Join(args, " "))
		}
		var abandoned [][][]byte // what somebody still refers to
		var texts []string
		var lent [][][]byte // since the last Release or Abandon
		var r *Reader
		leave := func() {
			switch rng.IntN(40) {
			case 0:
				for _, args := range lent {
					abandoned, texts = append(abandoned, args), append(texts, flat(args))
				}
				r.Abandon()
				lent = nil
			case 1:
				r.Release()
				lent = nil
			}
		}
		src := bytes.NewReader(in)
		r = NewReader(readerFunc(func(p []byte) (int, error) {
			if rng.IntN(3) == 0 {
				return 0, iotest.ErrTimeout
			}
			return src.Read(p[:min(len(p), 1+rng.IntN(3000))])
		}), Limits{})
		for i := 0; ; i++ {
			args, err := r.ReadCommand()
			for errors.Is(err, iotest.ErrTimeout) { // perhaps in the middle of it
				leave()
				args, err = r.ReadCommand()
			}
			if errors.Is(err, io.EOF) && i == len(want) {
				break
			}
			if err != nil || flat(args) != want[i] {
				t.Fatalf("seed %d, command %d is %.100q, %v; want %.100q", seed, i, flat(args), err, want[i])
			}
			lent = append(lent, args)
			leave()
		}
		for i, args := range abandoned {
			if got := flat(args); got != texts[i] {
				t.Fatalf("seed %d: abandoned command %.100q became %.100q", seed, texts[i], got)
			}
		}
	}
}

func flat(args [][]byte) string { return string(bytes.Join(args, []byte(" "))) }
