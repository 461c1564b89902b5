package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"tutti/internal/resp"
)

// commandsFile has the commands that a test of the server compares with what redis-server
// has told once.
const commandsFile = "../../internal/server/testdata/events.txt"

// moreCommands are tried as well. An empty line forgets all keys, and "wait" waits until
// what is to expire has.
const moreCommands = `
GET miss
HGET miss f
SET e1 v PX 60
wait
HSET h f v
PEXPIRE h 50
wait
SET src 1
RENAME src dst
COPY dst dst2
MOVE dst2 1
RPUSH l 3 1 2
SORT l STORE dstl
BLPOP l 1
BLMOVE l l2 LEFT RIGHT 1
ZADD z 1 a
BZPOPMIN z 1
XADD x 1-1 f v
XGROUP CREATE x g 0
XREADGROUP GROUP g c STREAMS x >
XAUTOCLAIM x g c2 0 0
XTRIM x MAXLEN 0
EVAL redis.call('set',KEYS[1],'1')redis.call('del',KEYS[1]) 1 sc
GETEX dst PERSIST
SETRANGE dst 5 x
EXPIRE dst -1
PFADD hl a b
PFMERGE hl2 hl
GEOADD geo 13 38 P
GEOSEARCHSTORE geo2 geo FROMMEMBER P BYRADIUS 1 km
LMPOP 1 l2 LEFT
ZADD z 1 a 2 b
ZRANGESTORE z2 z 0 -1
ZMPOP 1 z MIN
ZUNIONSTORE z3 2 z z2
SADD s1 a b
SUNIONSTORE s2 1 s1
SINTERSTORE s2 2 s1 none
`

// settings of notify-keyspace-events: everything, each class alone, and mixed ones.
var settings = []string{"KEAn", "KEA", "KEg", "KE$", "KEl", "KEs", "KEh", "KEz", "KEx", "KEe", "KEt", "KEd", "KEn", "K$g", "Elx", ""}

const (
	expiryWait = 400 * time.Millisecond
	// mark is what a line ends with: both publish it behind their events.
	mark = "__keymark@__:end"
)

// tryEvents runs each command here and on redis-server, and compares what is told.
func tryEvents(ctx context.Context, t *trial) (string, error) {
	lines, err := eventLines()
	if err != nil {
		return "", err
	}
	chosen := settings
	if t.short {
		chosen = settings[:1]
	}
	events := 0
	for _, classes := range chosen {
		n, err := compareEvents(ctx, t, classes, lines)
		if err != nil {
			return "", fmt.Errorf("notify-keyspace-events %q: %w", classes, err)
		}
		events += n
	}
	if events == 0 {
		return "", fmt.Errorf("redis-server told of nothing")
	}
	return fmt.Sprintf("%d commands under each of %d settings: the %d events of redis-server, in its order", len(lines), len(chosen), events), nil
}

func eventLines() (lines []string, err error) {
	f, err := os.Open(commandsFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		if line := in.Text(); !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return append(lines, strings.Split(moreCommands, "\n")...), in.Err()
}

// compareEvents runs the lines under one setting.
func compareEvents(ctx context.Context, t *trial, classes string, lines []string) (events int, err error) {
	// Whoever listens is at another node than who writes.
	here, err := newWatcher(ctx, t.dev.Addrs[2], t.dev.Addrs[0], classes)
	if err != nil {
		return 0, err
	}
	defer here.close()
	here.late = afterMark
	there, err := newWatcher(ctx, t.redis, t.redis, classes)
	if err != nil {
		return 0, err
	}
	defer there.close()
	for at := 0; at < len(lines); {
		end := at + 1
		for end < len(lines) && lines[end] != "" {
			end++
		}
		got, err := here.run(lines[at:end])
		if err != nil {
			return 0, err
		}
		want, err := there.run(lines[at:end])
		if err != nil {
			return 0, err
		}
		if !slices.Equal(got, want) {
			return 0, fmt.Errorf("after %q were told %v, by redis-server %v", lines[at:end], got, want)
		}
		events += len(want)
		at = end
	}
	return events, nil
}

// watcher runs commands on one connection, and hears on another one of what was done.
type watcher struct {
	sub, client *conn
	late        time.Duration // how long events may come behind a mark
}

func newWatcher(ctx context.Context, sub, client, classes string) (w *watcher, err error) {
	w = &watcher{}
	if w.client, err = dial(ctx, client, 2); err != nil {
		return nil, err
	}
	if w.sub, err = dial(ctx, sub, 2); err != nil {
		return nil, err
	}
	if _, err := w.client.do("FLUSHALL"); err != nil {
		return nil, err
	}
	if _, err := w.client.do("CONFIG", "SET", "notify-keyspace-events", classes); err != nil {
		return nil, err
	}
	if err := w.sub.c.Send([]string{"PSUBSCRIBE", "__key*@*__:*"}); err != nil {
		return nil, err
	}
	_, err = w.sub.next(answerTimeout)
	return w, err
}

// run runs lines and returns what is told of them. Commands are one after the other: two
// of a pipeline may be told of together by the same node, yet never out of their order.
func (w *watcher) run(lines []string) (told []string, err error) {
	for _, line := range lines {
		switch {
		case line == "":
			_, err = w.client.do("FLUSHALL")
		case line == "wait":
			time.Sleep(expiryWait)
		case strings.HasPrefix(line, "EVAL "):
			script := strings.TrimSuffix(strings.TrimPrefix(line, "EVAL "), " 1 sc")
			_, err = w.client.ask("EVAL", script, "1", "sc")
		default:
			_, err = w.client.ask(strings.Fields(line)...)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
	}
	return w.told()
}

// told returns what was told until now. What is done to keys is told by the node that leads
// their shard, which need not be the one that publishes the mark: so what comes for a
// moment behind the mark counts too.
func (w *watcher) told() (told []string, err error) {
	if _, err := w.client.do("PUBLISH", mark, ""); err != nil {
		return nil, err
	}
	wait, marked := answerTimeout, false
	for {
		v, err := w.sub.next(wait)
		if marked && err != nil && !errors.Is(err, errEnded) {
			return told, nil
		}
		if err != nil {
			return nil, err
		}
		if v.Kind != resp.KindArray || len(v.Elems) != 4 {
			return nil, fmt.Errorf("a message is %s", whole(v))
		}
		if string(v.Elems[2].Str) == mark {
			if w.late == 0 {
				return told, nil
			}
			wait, marked = w.late, true
			continue
		}
		told = append(told, string(v.Elems[2].Str)+"="+string(v.Elems[3].Str))
	}
}

// afterMark is how long events may come behind a mark that another node has published.
const afterMark = 100 * time.Millisecond

func (w *watcher) close() {
	w.sub.close()
	w.client.close()
}
