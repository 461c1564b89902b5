package pubsub

import "tutti/internal/resp"

// Message is a message on its way to the subscribers of one name. It is encoded once
// for all of them that speak the same protocol.
type Message struct {
	Kind    Kind
	Pattern string // that the channel matches, of kind Pattern
	Channel []byte
	Payload []byte
	frames  [2][]byte // in RESP2 and RESP3
}

var words = [kinds]string{Channel: "message", Pattern: "pmessage", ShardChannel: "smessage"}

// Encode returns the message as clients of a version of the protocol are sent it.
// It must not be changed. Not for several goroutines at once.
func (m *Message) Encode(proto int) []byte {
	frame := &m.frames[proto-2]
	if *frame != nil {
		return *frame
	}
	n := 3
	if m.Kind == Pattern {
		n = 4
	}
	b := make([]byte, 0, 64+len(m.Pattern)+len(m.Channel)+len(m.Payload))
	b = resp.AppendPush(b, proto, n)
	b = resp.AppendBulkString(b, words[m.Kind])
	if m.Kind == Pattern {
		b = resp.AppendBulkString(b, m.Pattern)
	}
	*frame = resp.AppendBulk(resp.AppendBulk(b, m.Channel), m.Payload)
	return *frame
}
