package keyspace

import "math"

// Finds counts what commands found, for those who watch: keys that were there when a
// command looked for them, keys that were not, and keys that were removed because
// their deadline had passed.
type Finds struct{ Hits, Misses, Expired int64 }

// finder counts them in a transaction. Not every command counts: looking for a key to
// write it is no hit, as in Redis. It also knows what need not be looked for.
type finder struct {
	finds    Finds
	counting bool
	soonest  int64 // the earliest deadline of what was found; 0: none has one
	made     madeIDs
	walked   bool // what it has found depends on which keys there are
}

// Walked reports whether keys were counted or walked over: what was found depends on any
// key that comes or goes, whether it was looked at or not.
func (f *finder) Walked() bool { return f.walked }

// FoundUntil returns until when all keys that were found are there, by shard time.
func (f *finder) FoundUntil() int64 {
	if f.soonest == 0 {
		return math.MaxInt64
	}
	return f.soonest
}

// expires notes a live key with a deadline.
func (f *finder) expires(at int64) {
	if f.soonest == 0 || at < f.soonest {
		f.soonest = at
	}
}

// CountLookups says whether looking for a key counts from here on.
func (f *finder) CountLookups(on bool) { f.counting = on }

// Finds returns what was found so far, undone commands included.
func (f *finder) Finds() Finds { return f.finds }

func (f *finder) looked(found bool) {
	switch {
	case !f.counting:
	case found:
		f.finds.Hits++
	default:
		f.finds.Misses++
	}
}
