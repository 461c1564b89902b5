package keyspace

// MetaRow is a row of the map, which the meta shard holds beside its own rows:
// kind says what of, key which.
func MetaRow(kind byte, key ...byte) []byte {
	return append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, metaKind, kind}, key...)
}

// IsMetaRow reports whether a row is one of the map.
func IsMetaRow(row []byte) bool {
	return len(row) >= metaLen && row[0] == 0 && string(row[:metaLen-1]) == metaPrefix
}

const (
	metaKind   = 'm'
	metaLen    = 11
	metaPrefix = "\x00\x00\x00\x00\x00\x00\x00\x00\x00m"
)

// usersVersion begins the value of a row with an epoch of users.
const usersVersion = 1

// EncodeUsersEpoch returns the value of a row that holds an epoch of users, as the
// meta shard has for all of them and every shard for those it goes by:
// version:1=1 epoch:8.
func EncodeUsersEpoch(epoch uint64) []byte { return be.AppendUint64([]byte{usersVersion}, epoch) }

// DecodeUsersEpoch reads what EncodeUsersEpoch wrote. Another version, or what is
// none, is not ok.
func DecodeUsersEpoch(val []byte) (epoch uint64, ok bool) {
	if len(val) != 9 || val[0] != usersVersion {
		return 0, false
	}
	return be.Uint64(val[1:]), true
}
