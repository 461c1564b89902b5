package store

import (
	"fmt"

	"tutti/internal/cluster"
)

const (
	localPrefix    = 0x00
	localApplied   = 'a'
	localConf      = 'c'
	localShard     = 'd'
	localDBs       = 'b'
	localCount     = 'k'
	localNode      = 'n'
	localSession   = 's'
	localReplies   = 'r'
	localWaiter    = 'w'
	localPiece     = 'p'
	localScrub     = 'x'
	localSlots     = 'o'
	localUsers     = 'u'
	localScripts   = 'l'
	localLibraries = 'f'
)

// ofNoKey reports whether a row is of a shard, or of the map: it comes before all others.
func ofNoKey(row []byte) bool { return len(row) > 0 && row[0] == localPrefix }

// localRowLen is the length of a row of which a shard has one.
const localRowLen = 10

func localRow(shard cluster.ShardID, kind byte) []byte {
	return append(be.AppendUint64([]byte{localPrefix}, uint64(shard)), kind)
}

// LocalKey takes apart a row that is not of a key but of a shard: its kind, and what
// follows that in it.
func LocalKey(row []byte) (kind byte, key []byte, is bool) {
	if len(row) < localRowLen || row[0] != localPrefix {
		return 0, nil, false
	}
	return row[localRowLen-1], row[localRowLen:], true
}

// DatabasesRow is the row of a shard that holds its databases.
func DatabasesRow(shard cluster.ShardID) []byte { return localRow(shard, localDBs) }

// AppliedRow is the row that says how far a shard has been applied.
func AppliedRow(shard cluster.ShardID) []byte { return localRow(shard, localApplied) }

// CountRow is the row that counts the keys of a physical database.
func CountRow(shard cluster.ShardID, pdb uint32) []byte {
	return be.AppendUint32(localRow(shard, localCount), pdb)
}

// ScrubRow is the row whose writing asks the replicas to hash their rows as they
// are then; its value is the row to begin with.
func ScrubRow(shard cluster.ShardID) []byte { return localRow(shard, localScrub) }

// SlotsRow is the row whose writing makes the shard own other slots from that entry
// on: its value, see EncodeSlots.
func SlotsRow(shard cluster.ShardID) []byte { return localRow(shard, localSlots) }

// slotsVersion begins the value of a slots row.
const slotsVersion = 1

// EncodeSlots returns version:1=1 first:2 end:2.
func EncodeSlots(s cluster.SlotRange) []byte {
	return be.AppendUint16(be.AppendUint16([]byte{slotsVersion}, uint16(s.First)), uint16(s.End))
}

func decodeSlots(b []byte) (cluster.SlotRange, error) {
	if len(b) > 0 && b[0] != slotsVersion {
		return cluster.SlotRange{}, fmt.Errorf("slots row of version %d, this tutti knows version %d: %w", b[0], slotsVersion, ErrFormat)
	}
	if len(b) != 5 {
		return cluster.SlotRange{}, fmt.Errorf("slots row of %d bytes: %w", len(b), ErrFormat)
	}
	s := cluster.SlotRange{First: int(be.Uint16(b[1:])), End: int(be.Uint16(b[3:]))}
	if s.First > s.End || s.End > cluster.Slots || s.Empty() && s != (cluster.SlotRange{}) {
		return cluster.SlotRange{}, fmt.Errorf("slots from %d to before %d: %w", s.First, s.End, ErrFormat)
	}
	return s, nil
}

// ScriptRows begins the rows of the scripts that a shard keeps; their hashes follow.
func ScriptRows(shard cluster.ShardID) []byte { return localRow(shard, localScripts) }

// LibraryRows begins the rows of the libraries of functions that a shard keeps.
func LibraryRows(shard cluster.ShardID) []byte { return localRow(shard, localLibraries) }

// UsersRow is the row with the epoch of the users by which whoever sends commands
// must at least have let them in.
func UsersRow(shard cluster.ShardID) []byte { return localRow(shard, localUsers) }

// NodeRow is the row that remembers the newest incarnation of an entry node.
func NodeRow(shard cluster.ShardID, node cluster.NodeID) []byte {
	return be.AppendUint64(localRow(shard, localNode), uint64(node))
}

// SessionRow is the row of a session.
func SessionRow(shard cluster.ShardID, session uint64) []byte {
	return be.AppendUint64(localRow(shard, localSession), session)
}

// RepliesRow is the row of the replies that the entry at index gave to a session.
func RepliesRow(shard cluster.ShardID, session, index uint64) []byte {
	return be.AppendUint64(be.AppendUint64(localRow(shard, localReplies), session), index)
}

// WaiterRow is the row of the answer to a waiter of a session.
func WaiterRow(shard cluster.ShardID, session, waiter uint64) []byte {
	return be.AppendUint64(be.AppendUint64(localRow(shard, localWaiter), session), waiter)
}
