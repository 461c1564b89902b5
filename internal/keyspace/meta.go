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
