package keyspace

// Somebody may wait for what is not there yet: an element of a list, the end of a
// task. What is waited for has a topic, and whoever writes something of that topic
// signals it; who is waiting then looks. A signal promises nothing: what wrote it
// may have been taken back, or somebody else may have been faster.

// KeyTopic is the topic of elements that come to a key of a logical database.
func KeyTopic(db uint8, key []byte) []byte {
	return append([]byte{'k', db}, key...)
}

// IsKeyTopic reports whether a topic is that of a key.
func IsKeyTopic(topic string) bool { return len(topic) > 1 && topic[0] == 'k' }

// signals are the topics that a transaction has signalled.
type signals struct {
	awaited func(topic []byte) bool // see Env.Awaited; nil: nobody waits
	topics  [][]byte
	all     bool // databases were exchanged: any key may be another one now
}

// Signal tells that something of a topic may have come. It is noted only if
// somebody waits for that, see Env.Awaited.
func (s *signals) Signal(topic []byte) {
	if s.awaited != nil && s.awaited(topic) {
		s.topics = append(s.topics, append([]byte(nil), topic...))
	}
}

// Signalled reports whether there are signals to be taken.
func (s *signals) Signalled() bool { return s.all || len(s.topics) > 0 }

// TakeSignals returns the topics signalled since the last time, and whether those
// of all keys were. What it returns stays valid.
func (s *signals) TakeSignals() (topics [][]byte, all bool) {
	topics, all = s.topics, s.all
	s.topics, s.all = nil, false
	return topics, all
}

// signalKey is Signal for the topic of the key of an object.
func signalKey(o *Object) {
	t := o.tx
	if t.awaited == nil {
		return
	}
	t.buf = append(append(t.buf[:0], 'k', o.DB), o.Key...)
	t.Signal(t.buf)
}
