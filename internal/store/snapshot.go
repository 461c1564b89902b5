package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/cluster"
	"tutti/internal/durable"
	"tutti/internal/keyspace"
)

// A snapshot of a shard travels as rows and becomes two tables at the receiver:
// the rows of its slots, and its shard-local rows. Both are ingested in one
// step that also removes what was there before: the slots by excision, the
// local rows, which lie outside that span, by a range deletion in their table.

func slotBounds(r cluster.SlotRange) (lower, upper []byte) {
	return keyspace.SlotPrefix(nil, r.First), keyspace.SlotPrefix(nil, r.End)
}

func localBounds(shard cluster.ShardID) (lower, upper []byte) {
	return be.AppendUint64([]byte{localPrefix}, uint64(shard)), be.AppendUint64([]byte{localPrefix}, uint64(shard)+1)
}

// Rows calls f with every row of the view: first the shard-local ones, then
// those of its slots, each in order.
func (v *View) Rows(slots cluster.SlotRange, f func(row, val []byte) error) error {
	for i := range 2 {
		lower, upper := localBounds(v.Shard)
		if i == 1 {
			lower, upper = slotBounds(slots)
		}
		if err := v.rows(lower, upper, f); err != nil {
			return err
		}
	}
	return nil
}

// Piece is Rows for a part of the rows: from the row from (empty: the first)
// until they amount to size bytes. It returns the row that the next piece begins
// with, nil after the last one. Equal states have equal pieces. They are read past
// the rows in memory, and the error is ErrMemory if those differ.
func (v *View) Piece(slots cluster.SlotRange, from []byte, size int, f func(row, val []byte) error) (next []byte, err error) {
	for i := range 2 {
		lower, upper := localBounds(v.Shard)
		if i == 1 {
			lower, upper = slotBounds(slots)
		}
		if bytes.Compare(from, upper) >= 0 {
			continue
		}
		if bytes.Compare(from, lower) > 0 {
			lower = from
		}
		if err := v.rows(lower, upper, func(row, val []byte) error {
			if size <= 0 {
				next = bytes.Clone(row)
				return errEnough
			}
			size -= len(row) + len(val)
			if err := v.agrees(row, val); err != nil {
				return err
			}
			return f(row, val)
		}); err != nil && !errors.Is(err, errEnough) {
			return nil, damage(err)
		}
		if next != nil {
			return next, nil
		}
	}
	return nil, nil
}

// errEnough ends a walk over rows.
var errEnough = errors.New("enough")

func (v *View) rows(lower, upper []byte, f func(row, val []byte) error) error {
	it, err := v.all(lower, upper)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// Incoming is a snapshot being received. It belongs to one goroutine until it
// is handed to Install.
type Incoming struct {
	s        *State
	shard    cluster.ShardID
	slots    cluster.SlotRange
	local    *tableWriter
	data     *tableWriter
	names    []string
	finished bool
}

// incomingPrefix begins the names of the folders of snapshots being received.
const incomingPrefix = "incoming-"

// dropIncoming removes what interrupted snapshots have left.
func (s *State) dropIncoming() error {
	names, err := s.cfg.FS.List(s.cfg.Dir)
	for _, name := range names {
		if err == nil && strings.HasPrefix(name, incomingPrefix) {
			err = s.cfg.FS.RemoveAll(s.cfg.FS.PathJoin(s.cfg.Dir, name))
		}
	}
	return err
}

// Receive starts to receive a snapshot for a replica of a shard that owns slots
// in it, into a folder of its own, replacing what an interrupted one left there.
func (s *State) Receive(shard cluster.ShardID, replica cluster.ReplicaID, slots cluster.SlotRange) (*Incoming, error) {
	fs := s.cfg.FS
	dir := fs.PathJoin(s.cfg.Dir, fmt.Sprint(incomingPrefix, shard, "-", replica))
	if err := errors.Join(fs.RemoveAll(dir), durable.MakePrivate(fs, dir)); err != nil {
		return nil, err
	}
	in := &Incoming{s: s, shard: shard, slots: slots}
	for _, name := range []string{"local.sst", "data.sst"} {
		in.names = append(in.names, fs.PathJoin(dir, name))
	}
	var err error
	if in.local, err = s.newTable(in.names[0]); err != nil {
		return nil, err
	}
	lower, upper := localBounds(shard)
	if err := in.local.w.DeleteRange(lower, upper); err != nil {
		return nil, err
	}
	if in.data, err = s.newTable(in.names[1]); err != nil {
		return nil, err
	}
	return in, nil
}

// tableBytesPerSync is what Pebble uses for its own tables.
const tableBytesPerSync = 512 << 10

type tableWriter struct {
	w    *sstable.Writer
	file vfs.File
	rows int
}

func (s *State) newTable(name string) (*tableWriter, error) {
	f, err := s.cfg.stores().Create(name, categorySnapshot)
	if err != nil {
		return nil, fmt.Errorf("create table %s: %w", name, err)
	}
	// What is written goes to the disk bit by bit: one fsync of it all at the end
	// holds up every other fsync of the disk for as long as it takes.
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: tableBytesPerSync})
	opts := sstable.WriterOptions{TableFormat: s.db.TableFormat()}
	return &tableWriter{w: sstable.NewWriter(objstorageprovider.NewFileWritable(f), opts), file: f}, nil
}

// Add adds a row; rows come in the order of View.Rows.
func (in *Incoming) Add(row, val []byte) error {
	if lower, upper := slotBounds(in.slots); within(row, lower, upper) {
		in.data.rows++
		return in.data.w.Set(row, val)
	}
	if lower, upper := localBounds(in.shard); within(row, lower, upper) && len(row) >= localRowLen {
		return in.local.w.Set(row, val)
	}
	return fmt.Errorf("snapshot of shard %d: row %x is not one of its own", in.shard, row)
}

func within(row, lower, upper []byte) bool {
	return bytes.Compare(row, lower) >= 0 && bytes.Compare(row, upper) < 0
}

// Finish makes the received tables durable. After an error only Discard is left:
// a second fsync might succeed over data that is gone.
func (in *Incoming) Finish() error {
	in.finished = true
	return errors.Join(in.local.w.Close(), in.data.w.Close())
}

// Discard throws the received tables away.
func (in *Incoming) Discard() error {
	if !in.finished {
		_ = in.local.w.Close()
		_ = in.data.w.Close()
	}
	return in.s.cfg.FS.RemoveAll(in.s.cfg.FS.PathDir(in.names[0]))
}

// Install replaces the state of the shard by the received one, atomically and
// durably. The caller has called ShardLog.StartInstall and calls Installed
// afterwards.
func (in *Incoming) Install() (Applied, error) {
	lower, upper := slotBounds(in.slots)
	names := in.names
	if in.data.rows == 0 {
		names = names[:1]
	}
	in.s.late.forget(in.shard)
	var err error
	if in.slots.Empty() { // there is nothing to excise
		err = in.s.db.Ingest(context.Background(), names)
	} else {
		_, err = in.s.db.IngestAndExcise(context.Background(), names, nil, nil, pebble.KeyRange{Start: lower, End: upper})
	}
	if err != nil {
		return Applied{}, fmt.Errorf("ingest snapshot of shard %d: %w", in.shard, err)
	}
	in.s.hot.forget(in.shard)
	if err := in.s.cfg.FS.RemoveAll(in.s.cfg.FS.PathDir(in.names[0])); err != nil {
		return Applied{}, err
	}
	return in.s.Applied(in.shard)
}

// AppendRow appends a row of a snapshot stream: two length-prefixed strings.
func AppendRow(dst, row, val []byte) []byte {
	dst = be.AppendUint32(dst, uint32(len(row)))
	dst = append(dst, row...)
	dst = be.AppendUint32(dst, uint32(len(val)))
	return append(dst, val...)
}

// EachRow calls f for every row in a chunk written by AppendRow.
func EachRow(chunk []byte, f func(row, val []byte) error) error {
	for len(chunk) > 0 {
		row, rest, err := cut(chunk)
		if err != nil {
			return err
		}
		val, rest, err := cut(rest)
		if err != nil {
			return err
		}
		if err := f(row, val); err != nil {
			return err
		}
		chunk = rest
	}
	return nil
}

func cut(b []byte) (head, rest []byte, err error) {
	if len(b) < 4 || uint64(be.Uint32(b)) > uint64(len(b)-4) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := int(be.Uint32(b))
	return b[4 : 4+n], b[4+n:], nil
}
