package main

import (
	"fmt"
	"slices"
	"time"
)

// What users may do at any time follows from the changes that were asked for and what came
// of them; what they were let do is judged by it. Nothing here speaks to a cluster.

// rights are what one user may do from a change on.
type rights struct {
	may      string // one of the levels
	password string
	life     int // a user that was deleted and made again has another one
}

// The levels of rights.
const (
	mayNothing = "nothing" // but log in
	mayRead    = "reads"
	mayWrite   = "writes"
	gone       = "gone" // there is no such user
)

// The kinds of tries.
const (
	tryRead        = "GET"
	tryWrite       = "SET"
	tryTransaction = "MULTI SET EXEC"
	tryLocal       = "PING, INFO and PUBLISH" // which a node answers by itself
	tryLogin       = "AUTH"
)

func (r rights) allow(what string) bool {
	switch what {
	case tryRead, tryLocal:
		return r.may == mayRead || r.may == mayWrite
	case tryWrite, tryTransaction:
		return r.may == mayWrite
	}
	return false
}

// fate is what came of a change.
type fate string

const (
	changed   fate = "answered"      // it holds everywhere
	halfDone  fate = "not confirmed" // it was applied; some may not go by it yet. It is repeated.
	unchanged fate = "not applied"
	doubtful  fate = "unknown" // it may take effect at any time: the last change of its user
)

// change is one of a user's rights. Those of a user follow each other.
type change struct {
	to         rights
	asked, end time.Duration
	fate       fate
}

// account is all that is known of a user.
type account struct {
	name    string
	changes []change
}

// between returns all rights that a user can have had at some time from a moment to another:
// those of the last change that was answered before, and of all that were asked for since.
func (a *account) between(from, to time.Duration) []rights {
	can := []rights{{may: gone}}
	for _, c := range a.changes {
		switch {
		case c.fate == unchanged || c.asked > to:
		case c.fate == changed && c.end <= from:
			can = []rights{c.to}
		default:
			can = append(can, c.to)
		}
	}
	return can
}

// answer is what a user was told.
type answer string

const (
	done      answer = "done"
	denied    answer = "denied"
	undecided answer = "no answer to that" // another error: nothing was let through
	lost      answer = "connection lost"
)

// login is an AUTH that was answered with OK, or the try of one.
type login struct {
	of         *account
	password   string
	asked, end time.Duration
}

// lives are those in which the user can have been let in rightly.
func (l *login) lives() (list []int) {
	for _, r := range l.of.between(l.asked, l.end) {
		if r.may != gone && r.password == l.password && !slices.Contains(list, r.life) {
			list = append(list, r.life)
		}
	}
	return list
}

// attempt is what a user tried, and what came of it. That of a login has what as tryLogin.
type attempt struct {
	login      *login
	what       string
	node       int
	asked, end time.Duration
	answer     answer
	text       string
	value      string // written, or read
}

// span is a time in which there was a fault.
type span struct {
	name     string
	from, to time.Duration
}

// learnTime is after which a node that is whole again must have learned of what changed
// meanwhile: links are made again, and users asked for, in one or two seconds each.
const learnTime = 4 * time.Second

// usersJudge holds attempts against what may have been.
type usersJudge struct {
	faults []span
	// counts of attempts by what they were and what came of them, and of those that were
	// held against what a node must know that no fault has met lately.
	counts map[string]map[answer]int
	strict int
	found  map[string]int // violations
	texts  []string       // the first of them
}

// textsMax is how many violations are told in full.
const textsMax = 20

func (j *usersJudge) accuse(what string, t *attempt, can []rights) {
	if j.found[what]++; len(j.texts) == textsMax {
		return
	}
	j.texts = append(j.texts, fmt.Sprintf("%s: node %d, %s of %s from %v to %v: %s %q. It had logged in with %s from %v to %v. Its rights may have been %v. Faults: %s",
		what, t.node+1, t.what, t.login.of.name, t.asked, t.end, t.answer, t.text, t.login.password, t.login.asked, t.login.end, can, j.faultsAt(t.asked-learnTime, t.end)))
}

func (j *usersJudge) faultsAt(from, to time.Duration) (names []string) {
	for _, f := range j.faults {
		if f.from <= to && from <= f.to {
			names = append(names, fmt.Sprintf("%s %v to %v", f.name, f.from.Round(time.Millisecond), f.to.Round(time.Millisecond)))
		}
	}
	return names
}

// quiet reports whether there was no fault until an attempt ended, for as long before it as
// a node may need to learn what it has missed.
func (j *usersJudge) quiet(t *attempt) bool {
	return len(j.faultsAt(t.asked-learnTime, t.end)) == 0
}

// judge looks at one attempt. What reaches data is held to the rights at all times, and so is
// what is denied. What a node answers by itself, and whom it lets in, it can only know while
// it is not cut off: that is judged where no fault was lately.
func (j *usersJudge) judge(t *attempt) {
	if j.counts[t.what] == nil {
		j.counts[t.what] = make(map[answer]int)
	}
	j.counts[t.what][t.answer]++
	if t.answer == undecided {
		return
	}
	can := t.login.of.between(t.asked, t.end)
	if t.what == tryLogin {
		j.judgeLogin(t, can)
		return
	}
	lives := t.login.lives()
	var let, refuse, alive bool
	for _, r := range can {
		in := slices.Contains(lives, r.life) && r.may != gone
		alive = alive || in
		let = let || in && r.allow(t.what)
		refuse = refuse || !in || !r.allow(t.what) || len(lives) > 1
	}
	local := t.what == tryLocal
	quiet := j.quiet(t)
	if local && quiet && t.answer != lost {
		j.strict++
	}
	switch {
	case t.answer == done && !let && (quiet || !local):
		j.accuse("let through by rights that are gone", t, can)
	case t.answer == denied && !refuse:
		j.accuse("denied though the right was given", t, can)
	case t.answer != lost && !alive && quiet:
		j.accuse("the connection of a user that is gone, or of an old password, is open", t, can)
	}
}

func (j *usersJudge) judgeLogin(t *attempt, can []rights) {
	var good, bad bool
	for _, r := range can {
		ok := r.may != gone && r.password == t.login.password
		good, bad = good || ok, bad || !ok
	}
	quiet := j.quiet(t)
	if quiet && t.answer != lost {
		j.strict++
	}
	switch {
	case t.answer == done && !good && quiet:
		j.accuse("let in with a password that is gone", t, can)
	case t.answer == denied && !bad:
		j.accuse("not let in with its password", t, can)
	}
}

// judgeValues looks whether something was written that was denied.
func (j *usersJudge) judgeValues(all []*attempt) {
	refused := make(map[string]*attempt)
	for _, t := range all {
		if t.answer == denied && (t.what == tryWrite || t.what == tryTransaction) {
			refused[t.value] = t
		}
	}
	for _, t := range all {
		if w := refused[t.value]; w != nil && t.what == tryRead && t.answer == done {
			j.accuse("what was denied is there", w, nil)
		}
	}
}

// judgeUsers judges all attempts of a run.
func judgeUsers(all []*attempt, faults []span) *usersJudge {
	j := &usersJudge{faults: faults, counts: make(map[string]map[answer]int), found: make(map[string]int)}
	for _, t := range all {
		j.judge(t)
	}
	j.judgeValues(all)
	return j
}
