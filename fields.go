package tutti

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// fields are what TASK.GET tells of a task.
type fields map[string]any

// parseTask reads a reply of TASK.GET: nil if it is null.
func parseTask(cmd *redis.Cmd) (fields, error) {
	reply, err := cmd.Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, err
	}
	f := make(fields)
	switch reply := reply.(type) {
	case map[any]any: // RESP3
		for k, v := range reply {
			f[fmt.Sprint(k)] = v
		}
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			f[fmt.Sprint(reply[i])] = reply[i+1]
		}
	default:
		return nil, fmt.Errorf("TASK.GET answers with %T", reply)
	}
	return f, nil
}

func (f fields) text(name string) string {
	s, _ := f[name].(string)
	return s
}

func (f fields) ended() bool {
	switch f.text("state") {
	case "done", "dead", "cancelled":
		return true
	}
	return false
}

// outcome is the result of a task that has ended, or why it has none.
func outcome[Out any](f fields) (out Out, err error) {
	switch state := f.text("state"); state {
	case "done":
		if out, err = decode[Out]([]byte(f.text("result"))); err != nil {
			err = fmt.Errorf("result of task %s: %w", f.text("id"), err)
		}
		return out, err
	case "dead":
		dead := &DeadError{ID: f.text("id")}
		list, _ := f["errors"].([]any)
		for _, e := range list {
			dead.Errors = append(dead.Errors, fmt.Sprint(e))
		}
		return out, dead
	case "cancelled":
		return out, fmt.Errorf("task %s: %w", f.text("id"), ErrCancelled)
	default:
		return out, fmt.Errorf("task %s is %s", f.text("id"), state)
	}
}
