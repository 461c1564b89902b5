package pubsub

import "tutti/internal/glob"

// registry is who on this node has subscribed to what. The hub's mutex guards it.
type registry struct {
	by [kinds]map[string]map[*Subscriber]struct{}
}

// add adds a subscriber and returns how many there are now.
func (r *registry) add(kind Kind, name string, s *Subscriber) int {
	if r.by[kind] == nil {
		r.by[kind] = make(map[string]map[*Subscriber]struct{})
	}
	all := r.by[kind][name]
	if all == nil {
		all = make(map[*Subscriber]struct{})
		r.by[kind][name] = all
	}
	all[s] = struct{}{}
	return len(all)
}

// remove removes a subscriber and returns how many are left.
func (r *registry) remove(kind Kind, name string, s *Subscriber) int {
	all := r.by[kind][name]
	if delete(all, s); len(all) == 0 {
		delete(r.by[kind], name)
	}
	return len(all)
}

// deliver pushes a message to all who have subscribed to its channel, and of those
// that are none of a shard to all who have to a pattern that it matches, and returns
// how often.
func (r *registry) deliver(kind Kind, channel, payload []byte) (receivers int) {
	if all := r.by[kind][string(channel)]; len(all) > 0 {
		receivers += pushTo(all, &Message{Kind: kind, Channel: channel, Payload: payload})
	}
	if kind != Channel {
		return receivers
	}
	for pattern, all := range r.by[Pattern] {
		if glob.Match([]byte(pattern), channel) {
			receivers += pushTo(all, &Message{Kind: Pattern, Pattern: pattern, Channel: channel, Payload: payload})
		}
	}
	return receivers
}

func pushTo(all map[*Subscriber]struct{}, m *Message) int {
	for s := range all {
		s.push(m)
	}
	return len(all)
}
