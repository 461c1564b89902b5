package check

// Expiry is a string with a time to live. When exactly a key expires depends on
// when its command took effect and on clocks within e; between those bounds
// either answer is right, but a key that was seen expired stays so.
func Expiry(e TimeError) Model { return timed("expiry", e) }

// Lock is a lock: SET key token NX PX, released by a DEL in MULTI after a GET
// under WATCH that still read the token, prolonged by PEXPIRE likewise. Two
// holders at once, a release of somebody else's lock and a lock that never
// expires have no order that explains them.
func Lock(e TimeError) Model { return timed("lock", e) }

// step returns the states that an operation may lead to. The key may expire
// before it, if it can be due by then; not between the commands of a
// transaction, which have one time.
func (e TimeError) step(s deadline, op *Op) []deadline {
	w := windowOf(op)
	var next []deadline
	if !s.set || w.from <= s.latest {
		next = append(next, e.execute(s, op, w)...)
	}
	if s.set && s.earliest != forever && s.earliest <= w.to {
		next = append(next, e.execute(deadline{}, op, w)...)
	}
	return next
}

func (e TimeError) execute(s deadline, op *Op, w window) []deadline {
	before := s
	for _, c := range op.Cmds {
		next, want := e.run(s, w, c.Args, c.Reply)
		if c.Reply.Kind != KindNone && !c.Reply.Equal(want) {
			if op.Outcome == Unknown {
				return []deadline{before} // not applied: a watched key had changed
			}
			return nil
		}
		s = next
	}
	return []deadline{s}
}

// run executes a command. The reply is looked at for PTTL only: it is right if
// it lies within bounds.
func (e TimeError) run(s deadline, w window, args []string, reply Reply) (deadline, Reply) {
	a := args[2:]
	switch {
	case args[0] == "SET" && len(a) > 0:
		return e.set(s, w, a)
	case args[0] == "PEXPIRE" && len(a) == 1:
		after, ok := e.live(s, w, a[0])
		switch {
		case !ok:
			return s, Reply{}
		case !s.set:
			return s, boolean(false)
		}
		return after, boolean(true)
	case len(a) > 0:
		return s, Reply{}
	case args[0] == "GET":
		return s, s.reply()
	case args[0] == "DEL":
		return deadline{}, boolean(s.set)
	case args[0] == "PTTL":
		return s, s.remaining(w, reply)
	}
	return s, Reply{}
}

// set is SET key value [NX | XX] [GET] [PX milliseconds].
func (e TimeError) set(s deadline, w window, a []string) (deadline, Reply) {
	after, ok := deadline{earliest: forever, latest: forever}, true
	if n := len(a) - 2; n > 0 && a[n] == "PX" {
		after, ok = e.live(after, w, a[n+1])
		a = a[:n]
	}
	value, reply, written := setText(s.text, a)
	if !ok || !written {
		return s, reply
	}
	after.text = value
	return after, reply
}
