package tracking

import (
	"slices"
	"sync"

	"tutti/internal/resp"
)

// Channel is where clients of RESP2 hear of invalidations, on a connection that others
// redirect them to.
const Channel = "__redis__:invalidate"

// Invalidation says that keys have changed, or that everything may have. It is one
// value for all who are told, and does not change.
type Invalidation struct {
	Keys []string
	All  bool // Keys has none

	mu     sync.Mutex // guards frames
	frames [2][]byte  // by protocol: encoded once
}

// everything says that everything may have changed.
func everything() *Invalidation { return &Invalidation{All: true} }

// Encode returns the message in a protocol: in RESP2, which has no other way to tell, as
// a message of a channel. Not to be changed.
func (m *Invalidation) Encode(proto int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	frame := &m.frames[min(proto, 3)-2]
	if *frame != nil {
		return *frame
	}
	var b []byte
	if proto == 2 {
		b = resp.AppendBulkString(resp.AppendBulkString(resp.AppendPush(b, proto, 3), "message"), Channel)
	} else {
		b = resp.AppendBulkString(resp.AppendPush(b, proto, 2), "invalidate")
	}
	w := resp.Writer{Out: b, Proto: proto}
	if m.All {
		w.Null()
	} else {
		w.BulkStrings(slices.Clone(m.Keys))
	}
	*frame = w.Out
	return *frame
}
