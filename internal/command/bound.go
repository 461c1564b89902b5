package command

// replyBound bounds the reply of a command that is evaluated where writes are.
type replyBound struct {
	most  int // Out may have so many bytes after it; 0: any
	end   int // it is given up where Out would have more
	need  int // the reply was too large, and would have had so many, or more
	crowd func(n int) (until int)
}

// Bound has a command whose reply makes Out longer than most bytes fail with TextNoReply,
// and take back what it wrote. It is given up where Out would have more than end. 0: there
// is no bound.
func Bound(c *Ctx, most, end int) {
	c.most, c.end, c.need = most, end, 0
	if c.Until, c.More = end, nil; most == 0 {
		return
	}
	if c.crowd == nil { // once, and not for each command
		c.crowd = func(int) int {
			c.Tx.Crowd()
			return c.end
		}
	}
	c.More = c.crowd
}

// TooMuch returns how large the reply of the last command would have been, if it failed
// for that; else 0.
func TooMuch(c *Ctx) int { return c.need }

// Instead answers with another error than the one that the last command failed with.
func Instead(c *Ctx, text string) {
	c.Out = c.Out[:c.errorAt]
	c.Error(text)
}

// tooMuch notes how large the reply that begins at at is, if it is too large.
func tooMuch(c *Ctx, crowded bool, at int) bool {
	switch c.need = 0; {
	case c.most == 0:
	case crowded: // what is in Out is not all
		c.need = max(c.end, len(c.Out)) - at + 1
	case len(c.Out) > c.most:
		c.need = len(c.Out) - at
	}
	return c.need > 0
}

// What a read keeps of an element beside its bytes: a slice or a string, and its share of
// the list or the table that it is in.
const (
	asideEach = 32
	asideMap  = 64
)

// aside counts n more bytes that a read keeps to make its reply of: they take memory as the
// reply does, and some make much of little. With no room the command ends. At a leader, where
// one command is evaluated at a time, nobody counts.
func aside(c *Ctx, n int) {
	if c.Tx.Writable() {
		return
	}
	if c.Aside += n; !c.Fits() {
		c.Tx.Crowd()
	}
}
