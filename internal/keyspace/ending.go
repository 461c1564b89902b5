package keyspace

import "errors"

// Errors of a transaction that was ended before it was through.
var (
	// ErrHeavy says that it took more steps than Allow allowed, or wrote more than
	// AllowBytes did.
	ErrHeavy = errors.New("too many steps")
	// ErrStopped says that Env.Stop was set.
	ErrStopped = errors.New("stopped")
	// ErrForeign says that it came to a key that somebody else has, see Env.Owns.
	ErrForeign = errors.New("a key of another shard")
	// ErrNoRoom says that there is no memory for what it reads, or for its replies.
	ErrNoRoom = errors.New("no memory for so much")
)

// ending is what has ended a transaction before it was through; nil: nothing has.
type ending struct{ err error }

// Err returns what has ended the transaction: an error of the Reader, ErrHeavy,
// ErrStopped, or a RowError, ErrForeign or ErrNoRoom that nobody has taken.
func (e *ending) Err() error { return e.err }

// fail ends the transaction. What the Reader says goes before what somebody made
// of what it could not read.
func (e *ending) fail(err error) {
	if _, row := errors.AsType[*RowError](e.err); row || e.err == nil || errors.Is(e.err, ErrForeign) {
		e.err = err
	}
}

// refuse ends what the transaction is at: the command that reads the row fails.
func (e *ending) refuse(err *RowError) {
	if e.err == nil {
		e.err = err
	}
}

// TakeRowError returns the error that the transaction has ended with if it is one
// of a row, and lets the transaction go on as if it had not met it. The caller
// takes back what was written meanwhile. Nil: there is no such error.
func (e *ending) TakeRowError() *RowError {
	bad, ok := errors.AsType[*RowError](e.err)
	if !ok {
		return nil
	}
	e.err = nil
	return bad
}

// TakeForeign reports whether the transaction has ended with ErrForeign, and lets
// it go on as if it had not. The caller takes back what was written meanwhile.
func (e *ending) TakeForeign() bool {
	if !errors.Is(e.err, ErrForeign) {
		return false
	}
	e.err = nil
	return true
}

// Crowd ends the transaction with ErrNoRoom.
func (e *ending) Crowd() {
	if e.err == nil {
		e.err = ErrNoRoom
	}
}

// TakeNoRoom reports whether the transaction has ended with ErrNoRoom, and lets it go
// on as if it had not.
func (e *ending) TakeNoRoom() bool {
	if !errors.Is(e.err, ErrNoRoom) {
		return false
	}
	e.err = nil
	return true
}
