package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"tutti/internal/resp"
)

// What the workers of the demo do: count the words of the files that a task names,
// each of which they get from their own node.

// Bounds of the workers.
const (
	// workerShare is what part of a core each may use: three and all the nodes then
	// fit on a machine with two, and what spreading gains shows.
	workerShare  = 1.0 / 6
	workerLease  = 2 * time.Second
	workerBeat   = workerLease / 10
	workerWait   = 250 * time.Millisecond // of one claim
	workerPause  = 100 * time.Millisecond // before it begins anew
	workerAnswer = 10 * time.Second       // of one command: a node tries a write for five
)

// wordCount is what is counted. Sum is over the hashes of all words: two texts with
// the same sum have the same words, each as often.
type wordCount struct {
	Words int64  `json:"words"`
	Sum   uint64 `json:"sum"`
}

func (w *wordCount) add(o wordCount) {
	w.Words += o.Words
	w.Sum += o.Sum
}

// countWords counts the words of a text: runs of letters, digits, and all that is not
// ASCII.
func countWords(text []byte) (w wordCount) {
	counts := make(map[string]int64)
	begin := -1
	for i := 0; i <= len(text); i++ {
		if i < len(text) && inWord(text[i]) {
			if begin < 0 {
				begin = i
			}
			continue
		}
		if begin >= 0 {
			counts[string(text[begin:i])]++
			begin = -1
		}
	}
	for word, n := range counts {
		w.Words += n
		w.Sum += xxhash.Sum64String(word) * uint64(n)
	}
	return w
}

func inWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b >= 0x80
}

// wordWorker claims tasks at one node. With its connection it loses what it has in
// hand, and begins anew under another name, as a process would that is started again.
type wordWorker struct {
	name, queue string
	at          target
	done        chan struct{} // closed when it has ended

	once sync.Once
	over chan struct{} // closed when it is to end
	last error         // why it began anew the last time, once done is closed
}

func startWordWorker(name, queue string, at target) *wordWorker {
	w := &wordWorker{name: name, queue: queue, at: at, done: make(chan struct{}), over: make(chan struct{})}
	go w.run()
	return w
}

// stop ends it once it has finished what it has in hand.
func (w *wordWorker) stop() {
	w.once.Do(func() { close(w.over) })
	<-w.done
}

func (w *wordWorker) run() {
	defer close(w.done)
	for life := 1; ; life++ {
		err := w.live(fmt.Sprintf("%s/%d", w.name, life))
		if err == nil {
			return
		}
		w.last = err
		select {
		case <-w.over:
			return
		case <-time.After(workerPause):
		}
	}
}

// live claims and counts until it is to end, or can't.
func (w *wordWorker) live(name string) error {
	conn, err := w.at.dial(dialTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	ended := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		if w.beat(name, ended) != nil {
			conn.Close() // without signs of life it must not go on
		}
	})
	defer beating.Wait()
	defer close(ended)
	for {
		select {
		case <-w.over:
			return nil
		default:
		}
		v, err := conn.do(workerAnswer, "TASK.CLAIM", name, "BLOCK", fmt.Sprint(workerWait.Milliseconds()), "LEASE", fmt.Sprint(workerLease.Milliseconds()), "FROM", w.queue)
		if err := firstError(err, v); err != nil {
			return err
		}
		for _, t := range v.Elems {
			result, err := countFiles(conn, string(t.Elems[4].Str))
			if err != nil {
				return err
			}
			v, err := conn.do(workerAnswer, "TASK.DONE", string(t.Elems[0].Str), string(t.Elems[1].Str), result)
			if err := firstError(err, v); err != nil {
				return err
			}
		}
	}
}

// beat renews the lease of what is in hand, on a connection of its own.
func (w *wordWorker) beat(name string, ended <-chan struct{}) error {
	conn, err := w.at.dial(dialTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := time.NewTicker(workerBeat)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-t.C:
		}
		if _, err := conn.do(workerAnswer, "TASK.BEAT", name); err != nil {
			return err
		}
	}
}

// countFiles gets files and counts their words, in no less time than its share of a
// core allows.
func countFiles(conn *respConn, payload string) (string, error) {
	var paths []string
	if err := json.Unmarshal([]byte(payload), &paths); err != nil {
		return "", fmt.Errorf("payload of a task: %w", err)
	}
	commands := make([][]string, len(paths))
	for i, p := range paths {
		commands[i] = []string{"GET", contentKey(p)}
	}
	replies, err := conn.pipeline(workerAnswer, commands...)
	if err := firstError(err, replies...); err != nil {
		return "", err
	}
	var total wordCount
	spent := onOneThread(func() {
		for i := range replies {
			total.add(countWords(replies[i].Str))
		}
	})
	time.Sleep(time.Duration(float64(spent) * (1/workerShare - 1)))
	text, err := json.Marshal(total)
	return string(text), err
}

// onOneThread returns how much of a core f has used.
func onOneThread(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadTime()
	f()
	return threadTime() - begin
}

// firstError is that of the connection, or else the first that was answered.
func firstError(err error, replies ...resp.Value) error {
	for i := range replies {
		if err == nil && replies[i].IsError() {
			err = fmt.Errorf("%s", replies[i].Str)
		}
	}
	return err
}
