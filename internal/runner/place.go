package runner

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"tutti/internal/resp"
)

// Short commands are claimed several at a time, as many as take batchTime by those
// before them. If one of them takes longer than patience, those behind it are given
// back: others may run them meanwhile.
const (
	batchTime = 100 * time.Millisecond
	batchMax  = 100
	patience  = 4 * batchTime
	// recordBytes is how much of results is recorded at once, and recordTime how long
	// one may wait for those behind it.
	recordBytes = 256 << 10
	recordTime  = batchTime
)

// idleWait is for how long a place waits for a command to claim before it looks
// whether it is needed at all: it is not told that the last one of others has ended.
const idleWait = 2 * time.Second

// turn is for how long a place is kept while others wait for a runner.
const turn = 5 * time.Second

// place is a place at a run that the node has. It belongs to one goroutine.
type place struct {
	Place
	r      *Runner
	worker string
	ticket task
	link   *link
	heard  time.Time // when the cluster was last told that the worker lives
	since  time.Time // the place is kept, or was last found to be wanted by nobody
	size   int       // of the next claim
	done   []finish
	bytes  int  // of the results in done
	desk   desk // of the commands
}

// finish is a command that has ended, and was not recorded yet.
type finish struct {
	task
	result []byte
	why    string // it failed
	back   bool   // it was not run, or not to its end, for no fault of its own
}

// errLost says that the worker was silent for too long: what it has is run elsewhere.
var errLost = errors.New("the cluster could not be reached for as long as the lease")

// work runs commands until there are none, or the place is given up.
func (p *place) work() {
	p.link = p.r.newLink()
	defer p.r.endLink(p.link)
	defer p.desk.close()
	p.heard, p.since = time.Now(), time.Now()
	if err := p.run(); err != nil && p.r.killing.Err() == nil {
		p.r.cfg.Logger.Warn("a place was lost: others go on with its commands after the lease", slog.String("run", p.Run), slog.Any("error", err))
	}
}

func (p *place) run() error {
	if p.ticket.attempt > 1 && !p.Orphan {
		return p.replace(true)
	}
	for wait := time.Duration(0); ; {
		if p.leaving() {
			return p.giveUp()
		}
		if gone, err := p.yield(); gone || err != nil {
			return err
		}
		tasks, err := p.next(wait)
		if err != nil {
			return err
		}
		if len(tasks) == 0 {
			over, err := p.over()
			if over || err != nil {
				return err
			}
			wait = min(idleWait, p.r.cfg.Lease/3)
			continue
		}
		wait = 0
		if err := p.runAll(tasks); err != nil {
			return err
		}
	}
}

// next records what has ended and claims what is to be run next, by one message: so
// both are one entry of the log, and one journey.
func (p *place) next(wait time.Duration) ([]task, error) {
	claim := claimOf(p.worker, p.size, wait, p.r.cfg.Lease, p.Run)
	done, err := p.recordFailed()
	if err != nil {
		return nil, err
	}
	if done == nil {
		v, err := p.link.do(claim...)
		return p.claimed(v, err)
	}
	replies, err := p.link.doAll(done, claim)
	if err != nil {
		// What was claimed is not known here: the worker must not live on. But what it
		// has done is recorded.
		_, again := p.insist(done...)
		return nil, errors.Join(err, again)
	}
	list, err := p.claimed(replies[1], errorOf(replies[1]))
	if refused := errorOf(replies[0]); refused != nil {
		if _, again := p.insist(done...); again != nil {
			return nil, errors.Join(err, again)
		}
	}
	return list, err
}

// claimed takes the answer to a claim. After an error what was claimed is not known
// here: the worker must not live on.
func (p *place) claimed(v resp.Value, err error) ([]task, error) {
	if err != nil {
		return nil, err
	}
	p.heard = time.Now()
	return tasksOf(v)
}

// leaving reports whether the node is to take no more commands.
func (p *place) leaving() bool {
	select {
	case <-p.r.stopping:
		return true
	default:
	}
	paused, _ := p.r.look()
	return paused
}

// over looks whether the place is still needed when there is nothing to claim, and
// ends it if not.
func (p *place) over() (bool, error) {
	v, err := p.insist("TASK.QUEUE", p.Run)
	if err != nil {
		return false, err
	}
	waiting := field(v, "ready") + field(v, "scheduled") + field(v, "waiting")
	if waiting == 0 && (field(v, "running") == 0 || !p.Orphan) {
		_, err := p.insist("TASK.DONE", p.ticket.id, p.ticket.token)
		return true, err
	}
	return false, nil
}

// yield gives the place to the end of the line if others have waited for a runner
// for a while. It reports whether it did.
func (p *place) yield() (bool, error) {
	if time.Since(p.since) < turn {
		return false, nil
	}
	p.since = time.Now()
	v, err := p.insist("TASK.QUEUE", Places)
	if err != nil || field(v, "ready") == 0 {
		return false, err
	}
	return true, p.giveUp()
}

// giveUp records what has ended, and leaves the place to another. Who can't record is
// lost, and silent.
func (p *place) giveUp() error {
	if err := p.record(); err != nil {
		return err
	}
	return p.replace(p.Orphan)
}

// replace puts another place in the stead of this one. If the node is lost in
// between there is one more, which does no harm.
func (p *place) replace(orphan bool) error {
	next := Place{Run: p.Run, Orphan: orphan}
	if _, err := p.insist("TASK.ADD", Places, string(next.Encode())); err != nil {
		return err
	}
	_, err := p.insist("TASK.DONE", p.ticket.id, p.ticket.token)
	return err
}

// runAll runs commands one after the other. What came of the last ones is to be recorded
// with the next claim.
func (p *place) runAll(tasks []task) error {
	began, ran, again := time.Now(), 0, false
	recorded := began
	for len(tasks) > 0 {
		t := tasks[0]
		tasks = tasks[1:]
		again = again || t.attempt > 1
		if p.leaving() {
			p.note(finish{task: t, back: true, why: "the node stops"})
			continue
		}
		var err error
		if tasks, err = p.runOne(t, tasks); err != nil {
			return err
		}
		ran++
		if len(tasks) > 0 && (p.bytes > recordBytes || time.Since(recorded) > recordTime) {
			if err := p.record(); err != nil {
				return err
			}
			recorded = time.Now()
		}
	}
	each := time.Since(began) / time.Duration(max(ran, 1))
	p.size = max(1, min(2*p.size, batchMax, int(batchTime/max(each, time.Microsecond))))
	if again {
		p.size = 1 // one of them may have ended a node: the others must not be lost with it again
	}
	return nil
}

func (p *place) note(f finish) {
	p.done = append(p.done, f)
	p.bytes += len(f.result)
}

// runOne runs a command, and returns those behind it that are still to be run here.
func (p *place) runOne(t task, behind []task) ([]task, error) {
	c, err := DecodeCommand(t.payload)
	if err != nil {
		p.note(finish{task: t, why: "no command that can be run: " + err.Error()})
		return behind, nil
	}
	defer p.desk.clear()
	if why, err := p.bring(t, c); why != "" || err != nil {
		r := Result{Number: c.Number, Node: p.r.cfg.Node, Exit: exitNotRun, Why: why, BeganMS: time.Now().UnixMilli()}
		p.note(finishOf(t, r, false))
		return behind, err
	}
	ctx, kill := context.WithCancel(p.r.killing)
	defer kill()
	ended := make(chan Result, 1)
	go func() { ended <- process{c, p.Run, t.id, p.r.cfg.Node, &p.desk}.start(ctx) }()
	beat := time.NewTicker(p.r.cfg.Lease / 3)
	defer beat.Stop()
	slow := time.NewTimer(patience)
	defer slow.Stop()
	var lost error
	for {
		select {
		case r := <-ended:
			if lost == nil && !r.Failed() {
				lost = p.bringBack(t, c, &r)
			}
			if lost != nil {
				return nil, lost
			}
			p.note(finishOf(t, r, p.r.killing.Err() != nil))
			return behind, nil
		case <-slow.C:
			for _, t := range behind {
				p.note(finish{task: t, back: true, why: "the one before it takes long"})
			}
			behind = nil
			lost = p.record()
		case <-beat.C:
			// Once the worker is lost it is silent: a sign of life would keep what it
			// could not record from being handed out again.
			if lost == nil {
				var stop bool
				if stop, lost = p.beat(t.id); stop {
					kill()
				}
			}
		}
		if lost != nil {
			kill()
		}
	}
}

// finishOf is what to record of a command; killed: by the node, which stops.
func finishOf(t task, r Result, killed bool) finish {
	f := finish{task: t, result: r.Encode()}
	switch {
	case killed && r.Failed():
		f.back, f.why = true, "the node stops"
	case r.Failed():
		f.why = r.String()
	}
	return f
}

// beat tells the cluster that the worker lives. It reports whether the command that
// runs need not go on.
func (p *place) beat(running string) (stop bool, err error) {
	v, err := p.link.do("TASK.BEAT", p.worker)
	if err != nil {
		if time.Since(p.heard) > p.r.cfg.Lease {
			return true, errLost
		}
		return false, nil
	}
	p.heard = time.Now()
	for _, e := range v.Elems {
		stop = stop || string(e.Str) == running
	}
	return stop, nil
}

// record records all that has ended.
func (p *place) record() error {
	done, err := p.recordFailed()
	if err == nil && done != nil {
		_, err = p.insist(done...)
	}
	return err
}

// recordFailed records what has failed and gives back what was not run. It returns the
// command that records the others, nil if there are none.
func (p *place) recordFailed() (done []string, err error) {
	list := p.done
	p.done, p.bytes = nil, 0
	var failed [][]string
	for _, f := range list {
		switch {
		case f.back:
			failed = append(failed, []string{"TASK.FAIL", f.id, f.token, f.why, "AGAIN"})
		case f.why != "":
			failed = append(failed, []string{"TASK.FAIL", f.id, f.token, f.why, "RESULT", string(f.result)})
		default:
			if done == nil {
				done = []string{"TASK.DONE"}
			}
			done = append(done, f.id, f.token, string(f.result))
		}
	}
	if len(failed) == 0 {
		return done, nil
	}
	replies, err := p.link.doAll(failed...)
	for i, args := range failed {
		if err == nil && errorOf(replies[i]) == nil {
			p.heard = time.Now()
			continue
		}
		if _, err := p.insist(args...); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// insist asks again while the cluster does not answer, for as long as the lease. Only
// what may be said twice is said by it.
func (p *place) insist(args ...string) (resp.Value, error) {
	for {
		v, err := p.link.do(args...)
		if refused, is := errors.AsType[*replyError](err); err == nil || is && !refused.passing() || errors.Is(err, errClosed) {
			if err == nil {
				p.heard = time.Now()
			}
			return v, err
		}
		if time.Since(p.heard) > p.r.cfg.Lease {
			return v, errors.Join(errLost, err)
		}
		select {
		case <-p.r.killing.Done():
			// The node stops: a last time.
			return p.link.do(args...)
		case <-time.After(min(retryEvery, p.r.cfg.Lease/10)):
		}
	}
}

// field returns a number of an answer that is a map, in the form of RESP2.
func field(v resp.Value, name string) int64 {
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == name {
			if e := v.Elems[i+1]; e.Kind != resp.KindInt {
				n, _ := strconv.ParseInt(string(e.Str), 10, 64)
				return n
			}
			return v.Elems[i+1].Int
		}
	}
	return 0
}
