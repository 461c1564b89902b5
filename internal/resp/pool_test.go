package resp

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// trickle is a source that has nothing more for now behind what it has.
type trickle struct{ data []byte }

var errNothing = errors.New("nothing now")

func (s *trickle) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, errNothing
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

// Many Readers take their memory from one Pool, each gives it back when it rests,
// and none sees what another has left there.
func TestReadersShareAPool(t *testing.T) {
	var pool Pool
	const readers, rounds = 20, 50
	list, sources := make([]*Reader, readers), make([]*trickle, readers)
	for i := range list {
		sources[i] = &trickle{}
		list[i] = NewReader(sources[i], Limits{})
		list[i].Draw(&pool)
	}
	for round := range rounds {
		for i, r := range list {
			want := fmt.Sprintf("value %d of %d", round, i)
			whole := AppendCommandStrings(nil, "SET", "k", want)
			whole = AppendCommandStrings(whole, "GET", want)
			cut := (round*7 + i) % len(whole)
			sources[i].data = whole[:cut]
			got := 0
			for range 2 {
				for {
					args, err := r.ReadCommand()
					if errors.Is(err, errNothing) {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					if last := string(args[len(args)-1]); last != want {
						t.Fatalf("got %q, want %q", last, want)
					}
					got++
				}
				r.Release()
				r.Rest() // a part of a command may have arrived
				sources[i].data = append(sources[i].data, whole[cut:]...)
				whole, cut = nil, 0
			}
			if got != 2 {
				t.Fatalf("%d commands came", got)
			}
			if r.buf != nil || r.slab != nil || r.spare != nil {
				t.Fatal("a Reader at rest holds memory")
			}
		}
	}
	if len(pool.small) != 1 || len(pool.chunks) != 0 || len(pool.slabs) != 1 {
		t.Errorf("%d small chunks, %d others and %d slabs were needed by Readers that take turns, want one, none and one", len(pool.small), len(pool.chunks), len(pool.slabs))
	}
	if n := testing.AllocsPerRun(100, func() {
		sources[0].data = []byte("PING\r\n")
		if _, err := list[0].ReadCommand(); err != nil {
			t.Fatal(err)
		}
		list[0].Release()
		list[0].Rest()
	}); n > 2 { // the data; the race detector has one of its own
		t.Errorf("%v allocations for a command", n)
	}
}

// A Reader whose commands are not released keeps what they lie in.
func TestRestKeepsWhatIsLent(t *testing.T) {
	var pool Pool
	source := &trickle{data: []byte("ECHO lent\r\n")}
	r := NewReader(source, Limits{})
	r.Draw(&pool)
	args, err := r.ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	r.Rest()
	other := NewReader(&trickle{data: []byte("ECHO other\r\n")}, Limits{})
	other.Draw(&pool)
	if _, err := other.ReadCommand(); err != nil {
		t.Fatal(err)
	}
	if string(args[1]) != "lent" {
		t.Errorf("the argument became %q", args[1])
	}
	if _, err := r.ReadCommand(); !errors.Is(err, errNothing) && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// Who sends more than a small chunk has begins with a large one the next time, and with
// a small one again after sending little.
func TestChunksFitWhatComes(t *testing.T) {
	var pool Pool
	source := &trickle{}
	r := NewReader(source, Limits{})
	r.Draw(&pool)
	for _, step := range []struct{ commands, chunk int }{{1, chunkSmallLen}, {200, chunkLen}, {200, chunkLen}, {1, chunkLen}, {1, chunkSmallLen}} {
		source.data = nil
		for range step.commands {
			source.data = AppendCommandStrings(source.data, "SET", "k", "some value of some length")
		}
		for range step.commands {
			if _, err := r.ReadCommand(); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.buf) != step.chunk {
			t.Errorf("%d commands lie in a chunk of %d bytes, want %d", step.commands, len(r.buf), step.chunk)
		}
		r.Release()
		r.Rest()
	}
	if len(pool.small) != 1 || len(pool.chunks) == 0 {
		t.Errorf("the pool got %d small chunks and %d others back", len(pool.small), len(pool.chunks))
	}
}
