package main

import "encoding/json"

// runResult is what is recorded of a command that succeeded.
type runResult struct {
	Version int   `json:"version"`
	Exit    int   `json:"exit"`
	Millis  int64 `json:"ms"`
}

// record is what came of recording commands that have ended.
type record struct {
	final []ending // have ended for good; the others are run again, or were not this run's any more
	err   error
}

// recordAll records each list, those that succeeded in one step.
func (r *hereRunner) recordAll(lists <-chan []ending, recorded chan<- record) {
	s := newSession(r.o.target, true)
	defer s.close()
	for list := range lists {
		final, err := recordOn(s, list)
		recorded <- record{final, err}
	}
}

func recordOn(s *session, list []ending) (final []ending, err error) {
	var done []ending
	args := []string{"TASK.DONE"}
	for _, out := range list {
		if out.why != "" {
			v, err := insist(s, "TASK.FAIL", out.claim.id, out.claim.token, out.why)
			if err != nil {
				return final, err
			}
			if string(v.Str) == "dead" {
				final = append(final, out)
			}
			continue
		}
		text, err := json.Marshal(runResult{Version: 1, Millis: out.took.Milliseconds()})
		if err != nil {
			return final, err
		}
		done, args = append(done, out), append(args, out.claim.id, out.claim.token, string(text))
	}
	if len(done) == 0 {
		return final, nil
	}
	v, err := insist(s, args...)
	if err != nil {
		return final, err
	}
	for i, out := range done {
		recorded := v.Int
		if len(done) > 1 && i < len(v.Elems) {
			recorded = v.Elems[i].Int
		}
		if recorded != 0 { // else another runner has it, or it was cancelled
			final = append(final, out)
		}
	}
	return final, nil
}

// finish prints what was written by the commands that have ended for good.
func (r *hereRunner) finish(done record) error {
	for _, out := range done.final {
		if err := r.print(out); err != nil {
			return err
		}
	}
	return done.err
}
