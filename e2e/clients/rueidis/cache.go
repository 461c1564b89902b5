package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"tutti/e2e/clients/workload"
)

const (
	keysKept    = 50
	readsInARow = 20 // before others get their turn
	keepFor     = time.Hour
	callTimeout = 20 * time.Second
)

// written is a version of a key, and when its write was acknowledged.
type written struct {
	version int64
	at      time.Time
}

// cacheReport is what the runner calls caches.
type cacheReport struct {
	Reads      int            `json:"reads"`
	FromMemory int            `json:"from_memory"`
	Writes     int            `json:"writes"`
	Failed     int            `json:"failed"`
	Back       int            `json:"back"`
	LateMS     int64          `json:"late_ms"`
	Wrong      int            `json:"wrong"`
	Errors     map[string]int `json:"errors"`
}

// cacheLoad reads by DoCache, with all that rueidis does by default, beside a writer that goes
// through the gateway.
type cacheLoad struct {
	reader, writer rueidis.Client
	keys           string
	stop           atomic.Bool
	seen           [keysKept]int64 // the newest version that was read; the reader's alone

	mu           sync.Mutex // guards report and acknowledged
	report       cacheReport
	acknowledged [keysKept][]written
}

func beginCache(mode string, o *workload.Order) (func() any, error) {
	s, err := o.Settings()
	if err != nil {
		return nil, err
	}
	l := &cacheLoad{keys: o.Keys, report: cacheReport{Errors: map[string]int{}}}
	if l.reader, err = connect(mode, s); err != nil {
		return nil, err
	}
	s.Addrs = []string{o.Gateway}
	if l.writer, err = plain(s); err != nil {
		l.reader.Close()
		return nil, err
	}
	var both sync.WaitGroup
	both.Go(func() { l.writeAll(o.Pause()) })
	both.Go(l.readAll)
	return func() any {
		l.stop.Store(true)
		both.Wait()
		time.Sleep(time.Second)
		l.compare()
		l.reader.Close()
		l.writer.Close()
		return l.report
	}, nil
}

func (l *cacheLoad) key(k int) string { return l.keys + strconv.Itoa(k) }

// failed counts an error that the application was told.
func (l *cacheLoad) failed(err error) {
	l.mu.Lock()
	l.report.Failed++
	l.report.Errors[err.Error()]++
	l.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
}

func (l *cacheLoad) writeAll(pause time.Duration) {
	for version := int64(1); !l.stop.Load(); version++ {
		k := int(version % keysKept)
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		err := l.writer.Do(ctx, l.writer.B().Set().Key(l.key(k)).Value(strconv.FormatInt(version, 10)).Build()).Error()
		cancel()
		if err != nil {
			l.failed(err)
		} else {
			l.mu.Lock()
			l.report.Writes++
			l.acknowledged[k] = append(l.acknowledged[k], written{version, time.Now()})
			l.mu.Unlock()
		}
		time.Sleep(pause)
	}
}

func (l *cacheLoad) readAll() {
	for !l.stop.Load() {
		for range readsInARow {
			l.read(rand.IntN(keysKept))
		}
		time.Sleep(time.Millisecond)
	}
}

// get returns the version of a key that the application sees, 0 for none.
func (l *cacheLoad) get(k int) (version int64, fromMemory, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	reply := l.reader.DoCache(ctx, l.reader.B().Get().Key(l.key(k)).Cache(), keepFor)
	version, err := reply.AsInt64()
	if err != nil && !rueidis.IsRedisNil(err) {
		l.failed(err)
		return 0, false, false
	}
	return version, reply.IsCacheHit(), true
}

func (l *cacheLoad) read(k int) {
	began := time.Now()
	version, fromMemory, ok := l.get(k)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Reads++
	if fromMemory {
		l.report.FromMemory++
	}
	if version < l.seen[k] {
		l.report.Back++
	}
	l.seen[k] = max(l.seen[k], version)
	for _, w := range l.acknowledged[k] {
		if w.version > version && w.at.Before(began) {
			l.report.LateMS = max(l.report.LateMS, began.Sub(w.at).Milliseconds())
			break
		}
	}
}

// compare counts the keys whose last value is not what is kept when nothing is written any
// more.
func (l *cacheLoad) compare() {
	for k := range keysKept {
		version, _, _ := l.get(k)
		if all := l.acknowledged[k]; len(all) > 0 && version < all[len(all)-1].version {
			l.report.Wrong++
		}
	}
}
