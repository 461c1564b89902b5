package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tutti/internal/node"
	"tutti/internal/resp"
)

// Patience of the failure claim.
const (
	calmTime        = time.Second             // of undisturbed writes before a node goes
	watchTime       = 1500 * time.Millisecond // of writes after it has gone, at least
	recoverTimeout  = 15 * time.Second        // for writes to go on
	returnTimeout   = 20 * time.Second        // for a node to catch up
	readTimeout     = 20 * time.Second        // for one answer of the final reads
	listPage        = 2000                    // entries of one LRANGE
	findingsShown   = 5
	ackedAfterCrash = clerksCount * 4 // acknowledgements that show that writes go on
)

type oneSystemClaim struct {
	Claim   string  `json:"claim"`
	Held    bool    `json:"held"`
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Equal   int     `json:"equal"`
	Seconds float64 `json:"seconds"`
}

// oneSystem loads the input through random nodes and reads it back through
// others; then all nodes count together.
func (d *demoRun) oneSystem(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n1  ONE SYSTEM")
	files, size, err := inputFiles(d.root)
	if err != nil {
		return false, err
	}
	loading := d.view.bar("loading", size)
	d.files, err = load(ctx, d.nodes, d.root, files, loading.add)
	loading.end()
	if err != nil {
		return false, err
	}
	size = totalSize(d.files) // a file may have changed since it was listed
	d.view.line("   %s files, %s of %s stored through random nodes in %.1f s", grouped(len(files)), mebibytes(size), d.root, time.Since(began).Seconds())
	reading := d.view.bar("reading back", size)
	equal, unlike, err := verify(ctx, d.nodes, d.files, func(r *fileReceipt) int {
		return (r.node + 1 + rand.IntN(demoNodes-1)) % demoNodes // any but the one that took it
	}, reading.add)
	reading.end()
	if err != nil {
		return false, err
	}
	more, err := verifyTotals(d.nodes, d.files)
	if err != nil {
		return false, err
	}
	d.view.result(equal == len(files), "%s files read back through another node than took them: %s equal (SHA-256)", grouped(len(files)), grouped(equal))
	total := demoNodes * incrPerNode
	outOfTurn, err := countTogether(ctx, d.nodes, incrKey, incrPerNode)
	if err != nil {
		return false, err
	}
	d.view.result(len(outOfTurn) == 0, "%d INCR from %d nodes at once: %d different answers, and every node reads %d", total, demoNodes, total-len(outOfTurn), total)
	intruders, err := d.strangers(ctx)
	if err != nil {
		return false, err
	}
	unlike = append(append(append(unlike, more...), outOfTurn...), intruders...)
	d.show(unlike)
	record := oneSystemClaim{"one-system", len(unlike) == 0, len(files), size, equal, seconds(time.Since(began))}
	if !record.Held {
		if err := d.writeEvidence("one-system.txt", unlike); err != nil {
			return false, err
		}
	}
	return record.Held, d.view.claim(record)
}

// strangers tries to get in where nobody may, and returns where that worked.
func (d *demoRun) strangers(ctx context.Context) (in []string, err error) {
	for i := range demoNodes {
		m := d.cluster.members[i]
		refused, err := strangerRefused(m.Peer)
		if err != nil {
			return nil, err
		}
		if !refused {
			in = append(in, "a stranger without certificate was let in by "+m.Name)
		}
	}
	if _, err := d.ask(ctx, "ACL", "SETUSER", guest, "on", "nopass", "~public:*", "+get", "+set"); err != nil {
		return nil, err
	}
	tried := 0
	for i, at := range d.nodes {
		got, n, err := tryGuest(at)
		if err != nil {
			return nil, err
		}
		unsafe, m, err := tryWithout(at)
		if err != nil {
			return nil, err
		}
		got, n = append(got, unsafe...), n+m
		for _, text := range got {
			in = append(in, d.cluster.members[i].Name+" "+text)
		}
		tried += n + 1 // one stranger each
	}
	if _, err := d.ask(ctx, "ACL", "DELUSER", guest); err != nil {
		return nil, err
	}
	d.view.result(len(in) == 0, "a stranger without certificate, clients without TLS or a login, and a user without rights were refused by all nodes, %d of %d times", tried-len(in), tried)
	return in, nil
}

// tryGuest does through a node what the guest may not do, and returns what was
// not refused, and how much was tried.
func tryGuest(at target) (in []string, tried int, err error) {
	conn, err := at.connect(dialTime)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	v, err := conn.do(readTimeout, "AUTH", guest, "x")
	if err != nil {
		return nil, 0, err
	}
	if v.IsError() { // and what follows would be said by somebody else
		return []string{fmt.Sprintf("does not know the user that another node has just made: %s", v.Str)}, 1, nil
	}
	for _, args := range [][]string{{"SET", "private", "x"}, {"GET", incrKey}, {"DEL", "public:a"}, {"FLUSHALL"}} {
		v, err := judged(conn, args)
		if err != nil {
			return nil, tried, err
		}
		tried++
		if !strings.HasPrefix(string(v.Str), "NOPERM") {
			in = append(in, fmt.Sprintf("answered a user without that right: %v: %s", args, v.Str))
		}
	}
	return in, tried, nil
}

// judged returns what a command is answered once a shard has said what its user may do: on a
// busy machine none may have in time, and then nothing was executed and nothing decided.
func judged(conn *respConn, args []string) (v resp.Value, err error) {
	for end := time.Now().Add(readTimeout); ; time.Sleep(100 * time.Millisecond) {
		v, err = conn.do(readTimeout, args...)
		if err != nil || !strings.HasPrefix(string(v.Str), "TRYAGAIN") || time.Now().After(end) {
			return v, err
		}
	}
}

// tryWithout reads through a node without TLS, and without a login, and returns what
// was not refused, and how much was tried.
func tryWithout(at target) (in []string, tried int, err error) {
	for _, x := range []struct {
		at           target
		who, refusal string
	}{{target{addr: at.addr}, "a client without TLS", "NEEDTLS"}, {at, "a client without a login", "NOAUTH"}} {
		conn, err := x.at.connect(dialTime)
		if err != nil {
			return nil, tried, err
		}
		v, err := conn.do(readTimeout, "GET", incrKey)
		conn.Close()
		if err != nil {
			return nil, tried, err
		}
		tried++
		if !strings.HasPrefix(string(v.Str), x.refusal) {
			in = append(in, fmt.Sprintf("answered %s: %s", x.who, v.Str))
		}
	}
	return in, tried, nil
}

// guest is a user who may do little.
const guest = "demo-guest"

// show prints the first findings.
func (d *demoRun) show(list []string) {
	for i, s := range list {
		if i == findingsShown {
			d.view.line("     and %d more", len(list)-i)
			return
		}
		d.view.line("     %s", s)
	}
}

type failureClaim struct {
	Claim      string  `json:"claim"`
	Held       bool    `json:"held"`
	Acked      int     `json:"acked"`
	Lost       int     `json:"lost"`
	Doubled    int     `json:"doubled"`
	Unknown    int     `json:"unknown"`
	GapMs      int64   `json:"gap_ms"`
	GracefulMs int64   `json:"graceful_gap_ms"`
	Seconds    float64 `json:"seconds"`
}

// span is a part of the ledger's time.
type span struct{ from, to time.Duration }

// failure kills the leader, brings it back, stops the next leader in order, and
// compares every receipt with what the cluster then holds.
func (d *demoRun) failure(ctx context.Context) (bool, error) {
	began := time.Now()
	d.view.line("\n2  FAILURE")
	crashed, victim, err := d.loseLeader(ctx, func(i int) error {
		d.view.line("   kill -9 node %d, pid %d, the leader", i+1, d.cluster.procs[i].pid())
		d.cluster.procs[i].kill()
		return nil
	})
	if err != nil {
		return false, err
	}
	stopped, _, err := d.loseLeader(ctx, func(i int) error {
		d.view.line("   SIGTERM to node %d, pid %d, the next leader", i+1, d.cluster.procs[i].pid())
		return d.cluster.procs[i].stop()
	})
	if err != nil {
		return false, err
	}
	receipts := d.ledger.stop()
	defer func() { d.ledger = d.ledger.goOn() }()
	gap, graceful := longestGap(receipts, crashed.from, crashed.to), longestGap(receipts, stopped.from, stopped.to)
	d.view.line("   longest time without an acknowledged write: %d ms after kill -9, %d ms after SIGTERM", milliseconds(gap), milliseconds(graceful))
	f, err := d.checkReceipts(ctx, receipts, victim)
	if err != nil {
		return false, err
	}
	record := failureClaim{Claim: "failure", Held: f.held(), Acked: f.acked, Lost: len(f.lost), Doubled: len(f.doubled), Unknown: f.unknown,
		GapMs: milliseconds(gap), GracefulMs: milliseconds(graceful), Seconds: seconds(time.Since(began))}
	if !record.Held || d.keep {
		if err := d.keepReceipts(receipts, f); err != nil {
			return false, err
		}
	}
	return record.Held, d.view.claim(record)
}

// settle ends the ledger and compares all that was ever acknowledged with what
// the cluster holds now.
func (d *demoRun) settle(ctx context.Context) (findings, error) {
	d.view.line("\nEVERYTHING ONCE MORE")
	receipts := d.ledger.stop()
	f, err := d.checkReceipts(ctx, receipts, len(d.nodes)-1)
	if err != nil {
		return f, err
	}
	d.total = f
	if !f.held() || d.keep {
		err = d.keepReceipts(receipts, f)
	}
	return f, err
}

// loseLeader ends the leader's process by end, waits until writes go on, and
// brings it back. It returns the time in which writes were watched, and which
// node it was.
func (d *demoRun) loseLeader(ctx context.Context, end func(i int) error) (span, int, error) {
	if err := pause(ctx, calmTime); err != nil {
		return span{}, 0, err
	}
	leader, err := d.leader(ctx)
	if err != nil {
		return span{}, 0, err
	}
	watched := span{from: d.ledger.now()}
	acks := d.ledger.ackCount.Load()
	before, err := d.cluster.status(leader)
	if err != nil {
		return span{}, 0, err
	}
	if err := end(leader); err != nil {
		return span{}, 0, fmt.Errorf("node %d: %w", leader+1, err)
	}
	if err := d.writesGoOn(ctx, acks); err != nil {
		return span{}, 0, err
	}
	if err := pause(ctx, watchTime); err != nil {
		return span{}, 0, err
	}
	returned := time.Now()
	if err := d.cluster.start(leader, childAttr()); err != nil {
		return span{}, 0, err
	}
	applied, err := d.catchUp(ctx, leader)
	if err != nil {
		return span{}, 0, err
	}
	missed := applied - before.Shards[0].Applied
	watched.to = d.ledger.now()
	d.view.line("   node %d is back and has caught up with the %s entries it missed after %.1f s", leader+1, grouped(int(missed)), time.Since(returned).Seconds())
	return watched, leader, nil
}

// leader is the index of the node that leads, by its own word.
func (d *fleet) leader(ctx context.Context) (int, error) {
	deadline := time.Now().Add(recoverTimeout)
	for time.Now().Before(deadline) {
		for i := range d.cluster.members {
			if s, err := d.cluster.status(i); err == nil && s.Shards[0].Leader == s.Node {
				return i, nil
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("no node says that it leads, for %v", recoverTimeout)
}

// writesGoOn waits until writes have been acknowledged again.
func (d *demoRun) writesGoOn(ctx context.Context, before int64) error {
	deadline := time.Now().Add(recoverTimeout)
	// Answers that were under way when the leader went don't count.
	for d.ledger.ackCount.Load() < before+ackedAfterCrash {
		if time.Now().After(deadline) {
			return fmt.Errorf("%w for %v", errNoAck, recoverTimeout)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// catchUp waits until node i has applied what the leader had applied when the
// node was back, and returns that index.
func (d *demoRun) catchUp(ctx context.Context, i int) (applied uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	if _, err := d.cluster.await(ctx, i, led); err != nil {
		return 0, err
	}
	leader, err := d.leader(ctx)
	if err != nil {
		return 0, err
	}
	goal, err := d.cluster.status(leader)
	if err != nil {
		return 0, err
	}
	_, err = d.cluster.await(ctx, i, func(s node.Status) bool { return s.Shards[0].Applied >= goal.Shards[0].Applied })
	return goal.Shards[0].Applied, err
}

// checkReceipts compares all receipts with what the cluster holds, the files
// once more through one node.
func (d *demoRun) checkReceipts(ctx context.Context, receipts []receipt, through int) (findings, error) {
	state, err := readLedger(d.nodes)
	if err != nil {
		return findings{}, err
	}
	f := checkLedger(receipts, state)
	reading := d.view.bar("checking all receipts", totalSize(d.files))
	equal, unlike, err := verify(ctx, d.nodes, d.files, func(*fileReceipt) int { return through }, reading.add)
	reading.end()
	if err != nil {
		return f, err
	}
	f.acked += writesPerFile * len(d.files)
	f.lost = append(f.lost, unlike...)
	if len(d.files) > 0 { // the claim that loads them was tried
		d.view.result(equal == len(d.files), "%s files read again through %s: %s equal", grouped(len(d.files)), d.nodes[through].addr, grouped(equal))
		total := demoNodes * incrPerNode
		unlike, err = readEverywhere(d.nodes, incrKey, strconv.Itoa(total))
		if err != nil {
			return f, err
		}
		f.acked += total
		f.lost = append(f.lost, unlike...)
	}
	d.view.result(f.held(), "%s receipts checked: %d lost, %d doubled; of %d writes the client was not told whether they were applied (%d were)",
		grouped(f.acked), len(f.lost), len(f.doubled), f.unknown, f.applied)
	if f.refused > 0 {
		d.view.line("     %d writes were refused as not applied", f.refused)
	}
	for _, list := range [][]string{f.lost, f.doubled, f.wrong} {
		d.show(list)
	}
	return f, nil
}

// readLedger reads what the ledger has written, each part through another node.
func readLedger(nodes []target) (ledgerState, error) {
	s := ledgerState{registers: map[string]string{}}
	conns := newClients(nodes, readTimeout)
	defer conns.close()
	ask := func(args ...string) (resp.Value, error) {
		node := rand.IntN(len(nodes))
		replies, _, err := conns.call(node, args)
		if err == nil && replies[0].IsError() {
			err = fmt.Errorf("%s through node %d: %s", args[0], node+1, replies[0].Str)
		}
		if err != nil {
			return resp.Value{}, fmt.Errorf("read the ledger: %w", err)
		}
		return replies[0], nil
	}
	v, err := ask("GET", ledgerCounter)
	if err != nil {
		return s, err
	}
	if s.counter, err = strconv.ParseInt(string(v.Str), 10, 64); err != nil && !v.Null {
		return s, fmt.Errorf("read the ledger: counter: %w", err)
	}
	for {
		v, err := ask("LRANGE", ledgerList, strconv.Itoa(len(s.list)), strconv.Itoa(len(s.list)+listPage-1))
		if err != nil {
			return s, err
		}
		if len(v.Elems) == 0 {
			break
		}
		for _, e := range v.Elems {
			s.list = append(s.list, string(e.Str))
		}
	}
	for clerk := range clerksCount {
		for r := range registersPerClerk {
			v, err := ask("GET", registerKey(clerk, r))
			if err != nil {
				return s, err
			}
			s.registers[registerKey(clerk, r)] = string(v.Str)
		}
	}
	return s, nil
}

// keepReceipts writes all receipts and findings down.
func (d *demoRun) keepReceipts(receipts []receipt, f findings) error {
	lines := []string{"# write\tcommand\tnode\ttold\tanswer\tseconds"}
	for i := range receipts {
		r := &receipts[i]
		lines = append(lines, fmt.Sprintf("%s\t%v\t%d\t%v\t%d %s\t%.6f", r.id(), r.command(), r.node+1, r.outcome, r.number, r.text, r.at.Seconds()))
	}
	if err := d.writeEvidence("receipts.txt", lines); err != nil {
		return err
	}
	lines = nil
	for name, list := range map[string][]string{"lost": f.lost, "doubled": f.doubled, "wrong": f.wrong} {
		for _, s := range list {
			lines = append(lines, name+": "+s)
		}
	}
	return d.writeEvidence("findings.txt", lines)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
