package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// reading is an iterator that tells the node of damage which it meets: of tables Pebble does,
// of values beside them it does not.
type reading struct {
	*pebble.Iterator
	cfg *Config
}

// read walks over the rows from lower to before upper.
func read(cfg *Config, from pebble.Reader, lower, upper []byte) (reading, error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return reading{}, fmt.Errorf("read state: %w", damage(err))
	}
	return reading{it, cfg}, nil
}

// Value implements keyspace.Iterator. After an error the walk is over, and Close says why.
func (r reading) Value() []byte {
	value := r.Iterator.Value()
	if value == nil {
		noticed(r.cfg, r.Error())
	}
	return value
}

func (r reading) Close() error {
	err := r.Iterator.Close()
	noticed(r.cfg, err)
	return err
}

// noticed tells the node of damage that somebody has met, if err is that.
func noticed(cfg *Config, err error) {
	if err == nil {
		return
	}
	if err = damage(err); errors.Is(err, ErrDamaged) {
		cfg.Fatal(fmt.Errorf("state store: %w", err))
	}
}
