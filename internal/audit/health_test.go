package audit

import "testing"

// step is one entry: when it was proposed, held by the first follower, and
// durable here, in ticks; 0: not yet.
type step struct{ proposed, held, durable uint64 }

func TestHealth(t *testing.T) {
	tests := []struct {
		name  string
		steps []step
		at    uint64 // tick of the judgement
		leave bool
	}{
		{"nothing proposed", nil, 1000, false},
		{"quick disk", []step{{200, 200, 201}, {201, 202, 202}}, 300, false},
		{"one hiccup", []step{{200, 200, 215}}, 216, false},
		{"slow twice", []step{{200, 200, 210}, {210, 211, 220}}, 220, true},
		{"slow, quick, slow", []step{{200, 200, 210}, {210, 210, 211}, {211, 211, 222}}, 223, false},
		{"under way for long", []step{{200, 201, 0}}, 220, true},
		{"under way, not long", []step{{200, 201, 0}}, 219, false},
		{"followers are slow too", []step{{200, 205, 215}, {215, 220, 230}}, 230, false},
		{"no follower answers", []step{{200, 0, 0}}, 500, false},
		{"below the bound", []step{{200, 200, 204}, {204, 204, 208}, {208, 208, 212}, {212, 212, 216}, {216, 216, 220}}, 221, false},
		{"a new leader stays", []step{{110, 110, 120}, {120, 120, 130}, {130, 130, 0}}, 199, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h Health
			h.Begin(100)
			for i, s := range tt.steps {
				index := uint64(i + 1)
				h.Propose(index, s.proposed)
				h.Held(2, index-1, s.proposed) // of the entry before: says nothing
				if s.held != 0 {
					h.Held(2, index, s.held)
				}
				if s.durable != 0 {
					h.Appended(index, s.durable)
				}
			}
			if got := h.Leave(tt.at); got != tt.leave {
				t.Errorf("leave = %v, want %v; %+v", got, tt.leave, h)
			}
		})
	}
}

// A follower's answer to a later entry is one to this entry too, and the first
// one counts.
func TestHealthFirstFollower(t *testing.T) {
	var h Health
	h.Begin(0)
	h.Propose(7, 200)
	h.Held(3, 6, 200)
	h.Held(2, 8, 201)
	h.Held(3, 7, 202)
	if h.entry.by != 2 || h.entry.first != 201 {
		t.Errorf("%+v", h.entry)
	}
}
