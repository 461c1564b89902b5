package shard

import (
	"fmt"
	"log/slog"
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

const snapChunkBytes = 256 << 10

// makeSnapshot describes the newest applied state; raft sends it to a follower
// that needs entries the log no longer has.
func (r *Replica) makeSnapshot() (*pb.Snapshot, error) {
	at := r.view
	return &pb.Snapshot{Data: []byte{}, Metadata: &pb.SnapshotMetadata{
		Index: new(at.Index), Term: new(at.Term), ConfState: proto.Clone(r.viewConf).(*pb.ConfState)}}, nil
}

// sendSnapshot streams the view that raft's message describes.
func (r *Replica) sendSnapshot(m *pb.Message) {
	r.loop.touch(r)
	if r.view.Index != m.GetSnapshot().GetMetadata().GetIndex() {
		r.raft.ReportSnapshot(m.GetTo(), raft.SnapshotFailure)
		return
	}
	v, d, to := r.view.Acquire(), r.desc, r.nodeOf(m.GetTo())
	r.loop.wg.Go(func() {
		start := time.Now()
		err := r.stream(to, v, d, m)
		v.Release()
		status := raft.SnapshotFinish
		log := r.host.cfg.Logger.With(slog.Uint64("shard", uint64(r.id)), slog.Uint64("to", uint64(to)), slog.Uint64("index", v.Index))
		if err != nil {
			status = raft.SnapshotFailure
			log.Warn("send snapshot", slog.Any("error", err))
		} else {
			log.Info("snapshot sent", slog.Duration("took", time.Since(start)))
		}
		r.loop.post(snapshotSent{r, m.GetTo(), status})
	})
}

type snapshotSent struct {
	r      *Replica
	to     uint64
	status raft.SnapshotStatus
}

func (r *Replica) stream(to cluster.NodeID, v *store.View, d cluster.Descriptor, m *pb.Message) error {
	s, err := r.host.cfg.Links.OpenStream(to)
	if err != nil {
		return err
	}
	defer s.Close()
	msg, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if err := s.WriteFrame(snapHead, func(dst []byte) []byte {
		dst = be.AppendUint64(dst, uint64(r.id))
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
		if r.host.closing() {
			return peer.ErrClosed
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
		h.cfg.Logger.Warn("receive snapshot", slog.Uint64("from", uint64(from)), slog.Any("error", err))
	}
}

func (h *Host) receive(from cluster.NodeID, head []byte, s *peer.Conn) error {
	r, m, d, err := h.snapshotHead(head)
	if err != nil {
		return err
	}
	if !r.receiving.CompareAndSwap(false, true) {
		return fmt.Errorf("shard %d already receives a snapshot", r.id)
	}
	in, err := h.cfg.State.Receive(r.id, r.self, d.Slots)
	if err == nil {
		err = receiveRows(s, in)
	}
	if err != nil {
		if in != nil {
			_ = in.Discard()
		}
		r.receiving.Store(false)
		return err
	}
	if err := s.WriteFrame(snapOK, func(dst []byte) []byte { return dst }); err != nil {
		h.cfg.Logger.Debug("confirm snapshot", slog.Any("error", err))
	}
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

func receiveRows(s *peer.Conn, in *store.Incoming) error {
	count := uint64(0)
	for {
		kind, payload, err := s.ReadFrame()
		switch {
		case err != nil:
			return err
		case kind == snapRows:
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
func (r *Replica) offer(f snapshotReceived) {
	r.incoming = f.in
	r.receiveMsg(f.from, f.m)
	r.loop.touch(r)
}

// install replaces the state by the received snapshot, in the order that
// survives a crash between any two steps: marker, ingest, log reset.
func (r *Replica) install(m *pb.Message) error {
	meta := m.GetSnapshot().GetMetadata()
	in := r.incoming
	if in == nil {
		return fmt.Errorf("shard %d: raft restores snapshot %d, but none was received", r.id, meta.GetIndex())
	}
	r.incoming = nil
	r.epoch++
	if err := r.loop.settleAll(); err != nil {
		return err
	}
	r.log.StartInstall(meta.GetIndex(), meta.GetTerm())
	// Excision would change what older views show. Readers hold one for the
	// evaluation of their commands only.
	r.stopScrub()
	r.view.Release()
	r.views.Wait()
	applied, err := in.Install()
	if err != nil {
		return err
	}
	if applied.Index != meta.GetIndex() {
		return fmt.Errorf("shard %d: snapshot %d holds the state at %d", r.id, meta.GetIndex(), applied.Index)
	}
	hs := &pb.HardState{Term: new(r.term), Vote: new(r.vote), Commit: new(applied.Index)}
	r.log.Installed(applied.Index, applied.Term, hs)
	r.applied, r.next, r.lastIndex = applied, applied, max(r.lastIndex, applied.Index)
	conf, err := r.host.cfg.State.Conf(r.id)
	if err != nil {
		return err
	}
	desc, err := r.host.cfg.State.Descriptor(r.id)
	if err != nil {
		return err
	}
	r.setConf(conf, desc)
	r.host.checkSettled()
	if err := r.loadDatabases(); err != nil {
		return err
	}
	r.view = nil
	r.publish()
	r.metaChanged()
	r.receiving.Store(false)
	r.host.cfg.Logger.Info("snapshot installed", slog.Uint64("shard", uint64(r.id)), slog.Uint64("index", applied.Index))
	if len(m.GetEntries()) > 0 {
		// Entries behind the snapshot came within the same step; the commit index
		// may lie among them.
		return r.append(&pb.Message{Entries: m.GetEntries(), Responses: m.GetResponses(),
			Term: new(r.term), Vote: new(r.vote), Commit: new(r.commit)})
	}
	r.respond(m)
	return nil
}

// dropOffer forgets a snapshot that raft did not take.
func (r *Replica) dropOffer() {
	if r.incoming == nil {
		return
	}
	if err := r.incoming.Discard(); err != nil {
		r.host.cfg.Logger.Warn("discard snapshot", slog.Any("error", err))
	}
	r.incoming = nil
	r.receiving.Store(false)
}
