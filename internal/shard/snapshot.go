package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"tutti/internal/cluster"
	"tutti/internal/peer"
	"tutti/internal/store"
)

// A snapshot stream is frames: a head with raft's message, chunks of rows, an
// end with their number; the receiver answers the end once all is durable.
//
//	head: shard:8 length:4 descriptor raftpb.Message    chunk: rows    end: count:8    ok: (empty)
const (
	snapHead peer.Kind = 32
	snapRows peer.Kind = 33
	snapEnd  peer.Kind = 34
	snapOK   peer.Kind = 35
)

const (
	snapChunkBytes = 256 << 10
	// copyRate bounds the bytes of all snapshots that a node sends in a second: they
	// take processor, network and disk from the clients of both nodes. (Without, p99
	// on two cores and one disk was 7 times as long while 384 MiB were copied.)
	copyRate = 32 << 20
	// copyBurst is sent at once: the copy of a state that is almost empty.
	copyBurst = 4 << 20
)

// snapRetry is how long a leader waits after a snapshot that failed.
const snapRetry = 500 * time.Millisecond

// errDeposed ends the sending of a snapshot whose message raft would not take.
var errDeposed = errors.New("another node leads")

// snapshots is the replica's part in sending and receiving whole states.
type snapshots struct {
	r        *Replica
	views    views           // that are open
	sending  outgoing        // what this leader sends
	incoming *store.Incoming // a received snapshot that raft has been told of
	// installing is a snapshot that raft has taken and that waits until no view is
	// open; behind is what raft has given to the log since.
	installing *store.Incoming
	behind     []*pb.Message
	// receiving is set while a snapshot comes in, by the goroutine that receives, and
	// until it is installed; from is where it comes from as long as it comes.
	receiving atomic.Bool
	from      atomic.Pointer[reception]
}

// reception is a stream by which a leader sends a snapshot.
type reception struct {
	s    *peer.Conn
	term uint64
}

// describe describes the newest applied state; raft sends it to a follower
// that needs entries the log no longer has.
func (sn *snapshots) describe() (*pb.Snapshot, error) {
	at := sn.r.machine.view
	return &pb.Snapshot{Data: []byte{}, Metadata: &pb.SnapshotMetadata{
		Index: new(at.Index), Term: new(at.Term), ConfState: proto.Clone(sn.r.machine.viewConf).(*pb.ConfState)}}, nil
}

// send streams the view that raft's message describes.
func (sn *snapshots) send(m *pb.Message) {
	sn.r.loop.touch(sn.r)
	if sn.r.machine.view.Index != m.GetSnapshot().GetMetadata().GetIndex() {
		sn.r.raft.ReportSnapshot(m.GetTo(), raft.SnapshotFailure)
		return
	}
	if sn.r.leader != nil {
		sn.r.leader.copying.begin(m.GetTo())
	}
	v, d, to := sn.r.machine.view.Acquire(), sn.r.members.desc, sn.r.members.nodeOf(m.GetTo())
	ctx := sn.sending.begin(sn.r.loop.ctx)
	sn.r.loop.wg.Go(func() {
		start := time.Now()
		defer begin(&sn.r.host.meter.sending)()
		err := sn.stream(ctx, to, v, d, m)
		v.Release()
		status := raft.SnapshotFinish
		log := sn.r.host.cfg.Logger.With(slog.Uint64("shard", uint64(sn.r.id)), slog.Uint64("to", uint64(to)), slog.Uint64("index", v.Index))
		if err != nil {
			status = raft.SnapshotFailure
			sn.r.host.meter.sendFailed.Add(1)
			log.Warn("send snapshot", slog.Any("error", err))
			// raft sends another as soon as it hears of it: to a node that still takes
			// in that of an earlier leader dozens in a second, each a connection.
			select {
			case <-time.After(snapRetry):
			case <-sn.r.loop.ctx.Done():
			}
		} else {
			sn.r.host.meter.sent.Add(1)
			log.Info("snapshot sent", slog.Duration("took", time.Since(start)))
		}
		sn.r.loop.post(snapshotSent{sn.r, m.GetTo(), status})
	})
}

type snapshotSent struct {
	r      *Replica
	to     uint64
	status raft.SnapshotStatus
}

// outgoing is what the snapshots have in common that a leader sends. It is the loop's.
type outgoing struct {
	ctx  context.Context // ends when the leader does not lead any more; nil: none is sent
	stop context.CancelFunc
}

// begin returns what a snapshot is sent under.
func (o *outgoing) begin(parent context.Context) context.Context {
	if o.ctx == nil {
		o.ctx, o.stop = context.WithCancel(parent)
	}
	return o.ctx
}

// end ends all sending when the leader does not lead any more: what is sent nobody takes,
// but the receiver takes no other until it ends, and whoever waits here for the last view
// to be released waits for it. To connect may take seconds, and one frame over a slow link
// as long as the stream's time-out.
func (o *outgoing) end() {
	if o.ctx != nil {
		o.stop()
		o.ctx, o.stop = nil, nil
	}
}

// leads reports whether this node still leads in the term of a snapshot's message.
func (sn *snapshots) leads(m *pb.Message) bool {
	lead := sn.r.lead.Load()
	return lead.Node == sn.r.host.cfg.Node && lead.Term == m.GetTerm()
}

func (sn *snapshots) stream(ctx context.Context, to cluster.NodeID, v *store.View, d cluster.Descriptor, m *pb.Message) error {
	s, err := sn.r.host.cfg.Links.OpenStream(ctx, to)
	if err == nil {
		err = sn.sendRows(ctx, s, v, d, m)
		_ = s.Close()
	}
	if err != nil && !sn.leads(m) {
		return errDeposed
	}
	return err
}

func (sn *snapshots) sendRows(ctx context.Context, s *peer.Conn, v *store.View, d cluster.Descriptor, m *pb.Message) error {
	msg, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if err := s.WriteFrame(snapHead, func(dst []byte) []byte {
		dst = be.AppendUint64(dst, uint64(sn.r.id))
		desc := d.Encode(nil)
		dst = append(be.AppendUint32(dst, uint32(len(desc))), desc...)
		return append(dst, msg...)
	}); err != nil {
		return err
	}
	var chunk []byte
	count := uint64(0)
	flush := func() error {
		defer func() { chunk = chunk[:0] }()
		switch {
		case sn.r.host.stopping.Load():
			return peer.ErrClosed
		case !sn.leads(m):
			return errDeposed // nobody takes it, and that of the next leader has to wait for its end
		}
		sn.r.host.meter.snapshotOut.Add(uint64(len(chunk)))
		for left := len(chunk); left > 0; left -= copyBurst {
			if sn.r.host.copies.WaitN(ctx, min(left, copyBurst)) != nil {
				return peer.ErrClosed // or nobody takes it any more
			}
		}
		return s.WriteFrame(snapRows, func(dst []byte) []byte { return append(dst, chunk...) })
	}
	if err := v.Rows(d.Slots, func(row, val []byte) error {
		count++
		if chunk = store.AppendRow(chunk, row, val); len(chunk) < snapChunkBytes {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	if err := s.WriteFrame(snapEnd, func(dst []byte) []byte { return be.AppendUint64(dst, count) }); err != nil {
		return err
	}
	if kind, _, err := s.ReadFrame(); err != nil || kind != snapOK {
		return fmt.Errorf("the receiver did not confirm: %w", err)
	}
	return nil
}

// receiveSnapshot takes a stream that a node opened to send a snapshot.
func (h *Host) receiveSnapshot(from cluster.NodeID, head []byte, s *peer.Conn) {
	if err := h.receive(from, head, s); err != nil {
		h.meter.receiveFailed.Add(1)
		h.cfg.Logger.Warn("receive snapshot", slog.Uint64("from", uint64(from)), slog.Any("error", err))
	}
}

func (h *Host) receive(from cluster.NodeID, head []byte, s *peer.Conn) error {
	r, m, d, err := h.snapshotHead(head)
	if err != nil {
		return err
	}
	if !r.snapshots.receiving.CompareAndSwap(false, true) {
		if x := r.snapshots.from.Load(); x != nil && x.term < m.GetTerm() {
			_ = x.s.Close() // of a leader that was: this one tries again
		}
		return fmt.Errorf("shard %d already receives a snapshot", r.id)
	}
	r.snapshots.from.Store(&reception{s, m.GetTerm()})
	defer r.snapshots.from.Store(nil)
	defer begin(&h.meter.receiving)()
	in, err := h.cfg.State.Receive(r.id, r.self, d.Slots)
	if err == nil {
		err = h.meter.receiveRows(s, in)
	}
	if err != nil {
		if in != nil {
			_ = in.Discard()
		}
		r.snapshots.receiving.Store(false)
		return err
	}
	if err := s.WriteFrame(snapOK, func(dst []byte) []byte { return dst }); err != nil {
		h.cfg.Logger.Debug("confirm snapshot", slog.Any("error", err))
	}
	h.meter.received.Add(1)
	r.loop.post(snapshotReceived{r, from, m, in})
	return nil
}

// snapshotHead reads the head of a snapshot stream.
func (h *Host) snapshotHead(head []byte) (*Replica, *pb.Message, cluster.Descriptor, error) {
	var d cluster.Descriptor
	if len(head) < 12 || uint64(be.Uint32(head[8:])) > uint64(len(head)-12) {
		return nil, nil, d, peer.ErrFrame
	}
	shard, n := cluster.ShardID(be.Uint64(head)), int(be.Uint32(head[8:]))
	r := h.replica(shard)
	d, err := cluster.DecodeDescriptor(head[12 : 12+n])
	if err != nil {
		return nil, nil, d, fmt.Errorf("%w: %w", peer.ErrFrame, err)
	}
	m := &pb.Message{}
	if err := proto.Unmarshal(head[12+n:], m); err != nil {
		return nil, nil, d, fmt.Errorf("%w: %w", peer.ErrFrame, err)
	}
	if r == nil || d.ID != shard || m.GetType() != pb.MsgSnap || cluster.ReplicaID(m.GetTo()) != r.self || raft.IsEmptySnap(m.GetSnapshot()) {
		return nil, nil, d, fmt.Errorf("%w: snapshot of shard %d", peer.ErrFrame, shard)
	}
	return r, m, d, nil
}

func (m *meter) receiveRows(s *peer.Conn, in *store.Incoming) error {
	count := uint64(0)
	for {
		kind, payload, err := s.ReadFrame()
		switch {
		case err != nil:
			return err
		case kind == snapRows:
			m.snapshotReceived.Add(uint64(len(payload)))
			if err := store.EachRow(payload, func(row, val []byte) error {
				count++
				return in.Add(row, val)
			}); err != nil {
				return err
			}
		case kind == snapEnd && len(payload) == 8 && be.Uint64(payload) == count:
			return in.Finish()
		default:
			return fmt.Errorf("%w: kind %d after %d rows", peer.ErrFrame, kind, count)
		}
	}
}

type snapshotReceived struct {
	r    *Replica
	from cluster.NodeID
	m    *pb.Message
	in   *store.Incoming
}

// offer tells raft of a received snapshot. raft takes it, and install follows
// within this cycle, or it is of no use any more.
func (sn *snapshots) offer(f snapshotReceived) {
	sn.incoming = f.in
	sn.r.receiveMsg(f.from, f.m)
	sn.r.loop.touch(sn.r)
}

// install begins to replace the state by the received snapshot. Its excision
// would change what older views show, so it waits until nobody has one: readers
// hold one for the evaluation of their commands. The loop goes on meanwhile;
// what raft gives to the log in that time waits behind the snapshot.
func (sn *snapshots) install(m *pb.Message) error {
	if sn.incoming == nil {
		return fmt.Errorf("shard %d: raft restores snapshot %d, but none was received", sn.r.id, m.GetSnapshot().GetMetadata().GetIndex())
	}
	sn.installing, sn.incoming = sn.incoming, nil
	sn.r.loop.post(inLoop{sn.r, func() {
		if err := sn.makeWay(m); err != nil {
			sn.r.host.fatal(err)
		}
	}})
	return nil
}

// makeWay clears the place for the state of the snapshot. It comes after the cycle in which
// install was called: the batch of a cycle holds entries of other replicas, which
// must not be taken for applied before it is committed.
func (sn *snapshots) makeWay(m *pb.Message) error {
	if err := sn.r.loop.settleAll(); err != nil {
		return err
	}
	sn.r.audit.stop()
	sn.r.machine.census.stop()
	sn.r.machine.view.Release()
	sn.r.machine.view = nil
	sn.views.whenNone(func() {
		sn.r.loop.post(inLoop{sn.r, func() {
			if err := sn.finish(m); err != nil {
				sn.r.host.fatal(err)
			}
		}})
	})
	return nil
}

// finish installs the snapshot, in the order that survives a crash between any
// two steps: marker, ingest, log reset.
func (sn *snapshots) finish(m *pb.Message) error {
	r, meta := sn.r, m.GetSnapshot().GetMetadata()
	r.appends.epoch++
	r.appends.log.StartInstall(meta.GetIndex(), meta.GetTerm())
	applied, err := sn.installing.Install()
	if err != nil {
		return err
	}
	if applied.Index != meta.GetIndex() {
		return fmt.Errorf("shard %d: snapshot %d holds the state at %d", r.id, meta.GetIndex(), applied.Index)
	}
	r.appends.installed(applied)
	if err := r.machine.installed(applied); err != nil {
		return err
	}
	behind := sn.behind
	sn.installing, sn.behind = nil, nil
	sn.receiving.Store(false)
	r.host.cfg.Logger.Info("snapshot installed", slog.Uint64("shard", uint64(r.id)), slog.Uint64("index", applied.Index))
	r.loop.touch(r)
	if len(m.GetEntries()) > 0 {
		// Entries behind the snapshot came within the same step; the commit index
		// may lie among them.
		m = &pb.Message{Entries: m.GetEntries(), Responses: m.GetResponses(),
			Term: new(r.term), Vote: new(r.appends.vote), Commit: new(r.appends.commit)}
		if err := r.appends.append(m); err != nil {
			return err
		}
	} else {
		r.respond(m)
	}
	for _, m := range behind {
		if err := r.appends.append(m); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets a snapshot that raft did not take, or that is not installed yet
// when the replica ends.
func (sn *snapshots) drop() {
	sn.dropOffer()
	if sn.installing != nil {
		sn.incoming, sn.installing, sn.behind = sn.installing, nil, nil
		sn.dropOffer()
	}
}

// dropOffer forgets a snapshot that raft did not take.
func (sn *snapshots) dropOffer() {
	if sn.incoming == nil {
		return
	}
	if err := sn.incoming.Discard(); err != nil {
		sn.r.host.cfg.Logger.Warn("discard snapshot", slog.Any("error", err))
	}
	sn.incoming = nil
	sn.receiving.Store(false)
}
