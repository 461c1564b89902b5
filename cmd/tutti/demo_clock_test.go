package main

import (
	"fmt"
	"testing"
	"time"

	"tutti/internal/resp"
)

// Whatever the questions take, and wherever in a second they fall, an hour is an hour.
func TestClocksApart(t *testing.T) {
	for _, takes := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 700 * time.Millisecond} {
		for now := 1_800_000_000 * time.Second; now < 1_800_000_001*time.Second; now += 97 * time.Millisecond {
			passed := now
			ahead, err := clocksApart(func(i int, _ ...string) (resp.Value, error) {
				passed += takes
				at := passed
				if i == demoAhead {
					at += clockAhead
				}
				part := func(d time.Duration) resp.Value {
					return resp.Value{Kind: resp.KindBulk, Str: []byte(fmt.Sprint(int64(d)))}
				}
				return resp.Value{Kind: resp.KindArray, Elems: []resp.Value{part(at / time.Second), part(at % time.Second / time.Microsecond)}}, nil
			})
			if err != nil || ahead.Round(time.Second) != clockAhead {
				t.Errorf("asked at %v, %v each: %v ahead, %v", now, takes, ahead, err)
			}
		}
	}
}
