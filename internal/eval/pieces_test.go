package eval

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tutti/internal/group"
	"tutti/internal/keyspace"
)

// largeCore returns a core whose effects go in pieces from 300 bytes on.
func largeCore(t *testing.T) *testCore {
	c := newTestCore(t)
	c.core.cfg.PiecesFrom = 300
	return c
}

// large is an MSET of ten keys, with a value of a hundred letters each.
func (c *testCore) large(letter string) *group.Group {
	var b strings.Builder
	b.WriteString("MSET")
	for i := range 10 {
		fmt.Fprintf(&b, " k%d %s", i, strings.Repeat(letter, 100))
	}
	return c.write(b.String())
}

// stage evaluates a group beside the loop and has its effects go in pieces.
func (c *testCore) stage(g *group.Group) []Waiting {
	c.t.Helper()
	q := c.prepare(g)
	if b, n, err := c.core.Evaluate(c.input(), q); b != nil || n != 0 || !errors.Is(err, ErrPieces) {
		c.t.Fatalf("%v, %d groups, %v, want its effects to go in pieces", b, n, err)
	}
	if q[0].Holds == nil {
		c.t.Error("nobody has to wait")
	}
	c.core.Pieces.Begin(&q[0])
	return q
}

// piece brings one of 64 bytes, with what others do.
func (c *testCore) piece(others ...*group.Group) {
	c.t.Helper()
	in := c.input()
	in.Piece = 64
	b := c.evaluate(in, others...)
	c.core.Kept()
	if b.Data == nil {
		c.t.Fatal("there is no piece")
	}
	c.apply(b)
}

// bring brings all pieces but the last.
func (c *testCore) bring() (n int) {
	c.t.Helper()
	for ; c.core.Pieces.Unsent() > 64; n++ {
		c.piece(c.write("INCR others"))
	}
	return n
}

// pieces counts those in the state.
func (c *testCore) pieces() int {
	c.t.Helper()
	v := c.view()
	defer v.Release()
	n, err := v.Pieces()
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// end evaluates a batch, and keeps it.
func (c *testCore) end(q []Waiting) []string {
	c.t.Helper()
	got := c.runAll(q)
	c.core.Kept()
	return got
}

func TestEffectsInPieces(t *testing.T) {
	c := largeCore(t)
	q := c.stage(c.large("x"))
	n := c.bring()
	if got := c.pieces(); n < 10 || got != n {
		t.Errorf("there are %d pieces, of %d", got, n)
	}
	c.want(c.run(c.write("MGET k0 k9", "GET others")), fmt.Sprintf("*2 $-1 $-1 $2 %d ", n))
	c.core.Kept()
	c.want(c.end(q), "+OK ")
	x := strings.Repeat("x", 100)
	c.want(c.run(c.write("MGET k0 k9", "DBSIZE")), fmt.Sprintf("*2 $100 %s $100 %s :11 ", x, x))
	if got := c.pieces(); got != 0 || c.core.Due() {
		t.Errorf("%d pieces are left, due %v", got, c.core.Due())
	}
	// The next one begins anew.
	q = c.stage(c.large("y"))
	c.bring()
	c.want(c.end(q), "+OK ")
	c.want(c.run(c.write("GET k9")), "$100 "+strings.Repeat("y", 100)+" ")
}

// TestPiecesGivenUp has effects go in pieces of a group that has to be evaluated again in
// the end, of one whose last batch is not proposed, and of one whose leader ends.
func TestPiecesGivenUp(t *testing.T) {
	for _, x := range []struct {
		name string
		do   func(c *testCore, q []Waiting)
	}{
		{"a key has changed", func(c *testCore, q []Waiting) {
			c.run(c.write("SET k3 other"))
			if _, n, err := c.core.Evaluate(c.input(), q); n != 0 || !errors.Is(err, keyspace.ErrHeavy) {
				c.t.Errorf("%d, %v, want it to be evaluated again", n, err)
			}
		}},
		{"its batch was not proposed", func(c *testCore, q []Waiting) {
			c.evaluateAll(c.input(), q)
			c.core.Dropped()
		}},
		{"another leads", func(c *testCore, _ []Waiting) {
			c.reign()
			c.core.cfg.PiecesFrom = 300
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := largeCore(t)
			g := c.large("x")
			q := c.stage(g)
			c.bring()
			x.do(c, q)
			if n := c.pieces(); n == 0 || !c.core.Due() {
				t.Errorf("%d pieces are left, due %v", n, c.core.Due())
			}
			c.want(c.end(nil))
			if n := c.pieces(); n != 0 || c.core.Due() {
				t.Errorf("%d pieces are left, due %v", n, c.core.Due())
			}
			q = c.stage(g)
			c.bring()
			c.want(c.end(q), "+OK ")
			c.want(c.run(c.write("GET k3")), "$100 "+strings.Repeat("x", 100)+" ")
		})
	}
}

// TestLargeGroupWithoutRoom refuses a large group where there is no room, at once.
func TestLargeGroupWithoutRoom(t *testing.T) {
	c := largeCore(t)
	full := c.input()
	full.Full = true
	c.want([]string{text(c.evaluate(full, c.large("x")).Replies[0])}, "-"+group.TextNoSpace+" ")
}

// TestPieceNotProposed has a batch with a piece dropped: the piece comes again.
func TestPieceNotProposed(t *testing.T) {
	c := largeCore(t)
	q := c.stage(c.large("x"))
	c.piece()
	unsent := c.core.Pieces.Unsent()
	in := c.input()
	in.Piece = 64
	c.evaluate(in)
	c.core.Dropped()
	if got := c.core.Pieces.Unsent(); got != unsent {
		t.Errorf("%d bytes are left, want %d", got, unsent)
	}
	c.bring()
	c.want(c.end(q), "+OK ")
	c.want(c.run(c.write("GET k9")), "$100 "+strings.Repeat("x", 100)+" ")
}

// TestWhatGoesInPieces has groups that write much, or do not.
func TestWhatGoesInPieces(t *testing.T) {
	for _, x := range []struct {
		name  string
		group func(c *testCore) *group.Group
		from  int
		old   bool
		heavy bool // it is evaluated beside the loop
		err   error
	}{
		{"by what it brings", func(c *testCore) *group.Group { return c.large("x") }, 300, false, true, ErrPieces},
		{"by what it writes", func(c *testCore) *group.Group { return c.write("SETRANGE k 1000 x") }, 300, false, true, ErrPieces},
		{"all together", func(c *testCore) *group.Group { return c.atomic("SETRANGE k 200 x", "SETRANGE l 200 x") }, 300, false, true, ErrPieces},
		{"little", func(c *testCore) *group.Group { return c.write("SETRANGE k 200 x") }, 300, false, false, nil},
		{"much, and it only reads", func(c *testCore) *group.Group { return c.write("EXISTS " + strings.Repeat("x", 1000)) }, 300, false, false, nil},
		{"a member does not know pieces", func(c *testCore) *group.Group { return c.large("x") }, 300, true, false, nil},
		{"it depends on which keys there are", func(c *testCore) *group.Group { return c.atomic("DBSIZE", "SETRANGE k 1000 x") }, 300, false, true, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newTestCore(t)
			c.core.cfg.PiecesFrom = x.from
			if x.old {
				c.core.cfg.Format = func() byte { return 6 }
			}
			g := x.group(c)
			if !x.heavy {
				if b := c.evaluate(c.input(), g); b.Replies[0].Status != group.OK {
					t.Error(text(b.Replies[0]))
				}
				return
			}
			if _, _, err := c.core.Evaluate(c.input(), c.prepare(g)); !errors.Is(err, x.err) {
				t.Errorf("%v, want %v", err, x.err)
			}
		})
	}
}
