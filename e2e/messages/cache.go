package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"tutti/e2e/process"
	"tutti/internal/resp"
)

// cache keeps what it reads until it is told that it has changed.
type cache struct {
	mode   []string
	node   int
	addr   string
	ledger *ledger

	c    *conn
	sub  *conn // nil: it is told on c
	kept map[string]int

	reads, hits, told, flushes, lost int
	mine                             mine
	old                              []string // reads of something older than what was acknowledged before they began
}

// mine is the key that a cache with NOLOOP writes itself.
type mine struct {
	writes, echoes int    // echoes: how often it was told of that key behind its write
	kept           string // as it has written it last; "": it does not know
}

// oldMax is how many wrong reads are told one by one.
const oldMax = 3

// invalidations is the channel on which who is redirected hears of changes.
const invalidations = "__redis__:invalidate"

// run reads until ctx ends. Whenever a connection is lost all is forgotten, as clients do.
func (k *cache) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.session(ctx); err != nil {
			clear(k.kept)
			process.Pause(ctx, againPause)
		}
	}
}

// session is one connection: nil when ctx has ended.
func (k *cache) session(ctx context.Context) (err error) {
	clear(k.kept)
	k.mine.kept = ""
	background := context.WithoutCancel(ctx)
	if err := k.open(background); err != nil {
		return err
	}
	defer k.c.close()
	if k.sub != nil {
		defer k.sub.close()
	}
	for ctx.Err() == nil {
		if err := k.step(); err != nil {
			k.lost++
			return err
		}
		time.Sleep(readPause)
	}
	return k.hear()
}

func (k *cache) open(ctx context.Context) (err error) {
	k.sub = nil
	if !slices.Contains(k.mode, redirectMode) {
		if k.c, err = dial(ctx, k.addr, 3); err != nil {
			return err
		}
		if _, err = k.c.do(append([]string{"CLIENT", "TRACKING", "ON"}, k.mode...)...); err != nil {
			k.c.close()
		}
		return err
	}
	sub, err := dial(ctx, k.addr, 2)
	if err != nil {
		return err
	}
	id, err := sub.do("CLIENT", "ID")
	if err == nil {
		_, err = sub.do("SUBSCRIBE", invalidations)
	}
	if err == nil {
		k.c, err = dial(ctx, k.addr, 2)
	}
	if err == nil {
		if _, err = k.c.do("CLIENT", "TRACKING", "ON", redirectMode, strconv.FormatInt(id.Int, 10)); err != nil {
			k.c.close()
		}
	}
	if err != nil {
		sub.close()
		return err
	}
	k.sub = sub
	return nil
}

// hear forgets what has changed.
func (k *cache) hear() error {
	all, err := k.c.pushes()
	if err != nil {
		return err
	}
	if k.sub != nil {
		more, err := k.sub.pushes()
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	for _, v := range all {
		if err := k.forget(v); err != nil {
			return err
		}
	}
	return nil
}

func (k *cache) forget(v resp.Value) error {
	if len(v.Elems) < 2 {
		return fmt.Errorf("it was pushed %s", whole(v))
	}
	keys := v.Elems[len(v.Elems)-1] // as a message of a channel, or alone
	if keys.Null {
		k.flushes++
		clear(k.kept)
		k.mine.kept = ""
		return nil
	}
	for _, key := range keys.Elems {
		k.told++
		delete(k.kept, string(key.Str))
		if k.mine.kept != "" && string(key.Str) == k.ownKey() {
			k.mine.echoes++
			k.mine.kept = ""
		}
	}
	return nil
}

// step reads one key, from memory if it is there.
func (k *cache) step() error {
	if err := k.hear(); err != nil {
		return err
	}
	key := trackedKey(rand.IntN(trackedKeys))
	if _, has := k.kept[key]; has {
		k.hits++
		return nil
	}
	keep, err := k.announce()
	if err != nil {
		return err
	}
	floor := k.ledger.floor(key)
	v, err := k.c.do("GET", key)
	if err != nil {
		return err
	}
	value, _ := strconv.Atoi(string(v.Str)) // none has been written yet
	if k.reads++; value < floor && len(k.old) < oldMax {
		k.old = append(k.old, fmt.Sprintf("%s: %d, %d was acknowledged", key, value, floor))
	}
	// What was told before the reply is of older values, where both come the same way. On
	// another connection it may be of this one, and come before the reply or behind it.
	if k.sub == nil {
		err = k.hearBefore()
	}
	if keep {
		k.kept[key] = value
	}
	if k.sub != nil {
		err = k.hear()
	}
	if err != nil {
		return err
	}
	return k.own()
}

// hearBefore takes what came before the last reply.
func (k *cache) hearBefore() error {
	before := k.c.pushed
	k.c.pushed = nil
	for _, v := range before {
		if err := k.forget(v); err != nil {
			return err
		}
	}
	return nil
}

// announce says whether the next read is to be kept, where that is asked for.
func (k *cache) announce() (keep bool, err error) {
	switch {
	case slices.Contains(k.mode, "OPTIN"):
		_, err = k.c.do("CLIENT", "CACHING", "YES")
	case slices.Contains(k.mode, "OPTOUT") && rand.IntN(4) == 0:
		_, err = k.c.do("CLIENT", "CACHING", "NO")
		return false, err
	}
	return true, err
}

// ownOnce is how often one in so many reads is followed by a write of the cache's own.
const ownOnce = 4

func (k *cache) noLoop() bool { return slices.Contains(k.mode, "NOLOOP") }

func (k *cache) ownKey() string { return "t:own:" + strings.Join(k.mode, "-") + strconv.Itoa(k.node) }

// own reads and writes a key of the cache's own, of which with NOLOOP it is not to be told,
// though the entries that change it have writes of many.
func (k *cache) own() error {
	if !k.noLoop() || rand.IntN(ownOnce) != 0 {
		return nil
	}
	if err := k.hear(); err != nil {
		return err
	}
	k.mine.kept = "" // what it reads is told to be old at once where nobody would tell later
	if _, err := k.c.do("GET", k.ownKey()); err != nil {
		return err
	}
	value := strconv.Itoa(k.reads)
	if _, err := k.c.do("SET", k.ownKey(), value); err != nil {
		return err
	}
	if err := k.hearBefore(); err != nil {
		return err
	}
	k.mine.writes++
	k.mine.kept = value
	return k.hear()
}

// judgeOwn compares what it holds of its own key in the end with what is there then, and
// says if it was told of what it has written. Where a leader dies before it answers nobody
// knows any more who has written.
func (k *cache) judgeOwn(last string) error {
	switch m := &k.mine; {
	case m.kept != "" && m.kept != last:
		return fmt.Errorf("it still holds %s = %s, which is %s", k.ownKey(), m.kept, last)
	case m.writes == 0:
		return fmt.Errorf("it has written nothing")
	case m.echoes*20 > m.writes:
		return fmt.Errorf("of %d writes of its own it was told of %d", m.writes, m.echoes)
	}
	return nil
}

// judge compares what it holds in the end with what is there then.
func (k *cache) judge(last map[string]int) error {
	if len(k.old) > 0 {
		return fmt.Errorf("reads that were too old: %v", k.old)
	}
	for key, value := range k.kept {
		if value != last[key] {
			return fmt.Errorf("it still holds %s = %d, which is %d", key, value, last[key])
		}
	}
	if k.hits == 0 || k.told == 0 {
		return fmt.Errorf("%d values from memory and %d invalidations are too few for a verdict", k.hits, k.told)
	}
	return nil
}
