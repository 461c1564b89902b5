package keyspace

// Whoever watches keys wants to be told what commands do to them. A transaction notes
// that if somebody does, see Env.Events: which keys the command that runs has changed,
// of which its row in the command table makes events, and those events. They say
// nothing before the effects are applied.

// Classes are classes of events, and by which channels they are told. The bits are
// those of Redis; nodes tell them to each other.
type Classes uint16

// The classes, each with its letter in the setting notify-keyspace-events.
const (
	ByKey         Classes = 1 << iota // K
	ByEvent                           // E
	EventGeneric                      // g
	EventString                       // $
	EventList                         // l
	EventSet                          // s
	EventHash                         // h
	EventZSet                         // z
	EventExpired                      // x
	EventEvicted                      // e: there are none
	EventStream                       // t
	EventMissed                       // m: there are none
	eventLoaded                       // of Redis only
	EventModule                       // d: there are none
	EventNew                          // n
	EventsDefault = EventGeneric | EventString | EventList | EventSet | EventHash | EventZSet | EventExpired | EventEvicted | EventStream | EventModule
)

// Event is what was done to a key, or a message that a script publishes.
type Event struct {
	DB        uint8
	Name, Key string
	Message   Message // not NoMessage: Name is the channel, and Key what it is told
}

// Message says in which way something is published.
type Message uint8

// The ways.
const (
	NoMessage Message = iota
	Published
	PublishedToShard
)

// What says what became of a key.
type What uint8

// What there is to say. A key that was made is also changed.
const (
	Made    What = iota
	Changed      // and is there
	Emptied      // its last element was taken away, and the key with it
	Deleted
)

// KeyChange is what became of a key in the command that runs.
type KeyChange struct {
	DB     uint8
	Key    []byte
	What   What
	Expire int64
}

// notes are the events of a transaction, and what the command that runs has changed.
type notes struct {
	wanted  Classes
	changes []KeyChange
	events  []Event
	noted   int // bytes that the events take, messages without what they say
}

const (
	// EventsMax is the most bytes that the events of one command may take: more than those of
	// any that is within WriteSetMax, but for a script, which may change one key with a long
	// name again and again.
	EventsMax = 96 << 20
	// eventBytes is what an event takes beside the name of its key.
	eventBytes = 64
)

// Noted reports whether anybody wants to be told of keys.
func (n *notes) Noted() bool { return n.wanted != 0 }

func (n *notes) changed(o *Object, what What) {
	if n.wanted != 0 {
		n.changes = append(n.changes, KeyChange{o.DB, o.Key, what, o.Expire})
	}
}

// TakeChanges returns what became of keys since it was called last. It is valid until
// the next change.
func (n *notes) TakeChanges() []KeyChange {
	list := n.changes
	n.changes = n.changes[:0]
	return list
}

// Notify notes an event if somebody wants those of its class.
func (n *notes) Notify(class Classes, name string, db uint8, key []byte) {
	if n.wanted&class != 0 {
		n.events = append(n.events, Event{DB: db, Name: name, Key: string(key)})
		n.noted += eventBytes + len(key)
	}
}

// Publish notes a message, whoever wants it.
func Publish(t *Tx, how Message, channel, payload []byte) {
	t.events = append(t.events, Event{Name: string(channel), Key: string(payload), Message: how})
	t.size += len(channel) + len(payload)
	t.noted += eventBytes
}

// EventBytes returns what the events since the outermost mark take: those of the command,
// however deep it calls others. It is what EventsMax bounds.
func EventBytes(t *Tx) int {
	if len(t.marks) == 0 {
		return t.noted
	}
	return t.noted - t.marks[0].noted
}

// Eventful reports whether there are events to be taken.
func (n *notes) Eventful() bool { return len(n.events) > 0 }

// TakeEvents returns the events, which are the caller's.
func (n *notes) TakeEvents() []Event {
	list := n.events
	n.events = nil
	return list
}
