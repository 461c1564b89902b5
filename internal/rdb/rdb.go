// Package rdb encodes and decodes the value of one key in the format of Redis's
// dump files, as DUMP gives it and RESTORE takes it:
//
//	type:1 value version:2 crc:8
//
// version and crc are little-endian; crc is the CRC-64/Jones of all before it.
//
// Lengths in a value are
//
//	00nnnnnn                  6 bits
//	01nnnnnn n:1              14 bits
//	80 n:4                    32 bits
//	81 n:8                    64 bits
//	11eeeeee                  instead of a string: C0 an integer of 1 byte, C1 of 2,
//	                          C2 of 4, little-endian; C3 LZF: packed and full length, data
//
// big-endian where nothing else is said. A string is its length and its bytes.
// What is encoded uses the oldest types, which every version of Redis since 5.0
// reads, streams those of 7.0, hashes whose fields have deadlines that of 7.4, which
// brought them; what is decoded may have any type of Redis 7.4 that holds strings,
// lists, sets, sorted sets, hashes and streams.
//
// The package is pure. Payloads come from outside, so decoding trusts nothing.
package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"math"
)

// Versions of the format.
const (
	versionWritten = 9  // Redis 5.0
	versionStreams = 10 // Redis 7.0
	versionTimed   = 12 // Redis 7.4
	versionReadMax = 12
	footerLen      = 2 + 8
)

// Types of values.
const (
	typeString       = 0
	typeList         = 1
	typeSet          = 2
	typeZSetText     = 3 // scores as text
	typeHash         = 4
	typeZSet         = 5
	typeListZiplist  = 10
	typeSetIntset    = 11
	typeZSetZiplist  = 12
	typeHashZiplist  = 13
	typeListQuick    = 14 // of ziplists
	typeHashListpack = 16
	typeZSetListpack = 17
	typeStream       = 15
	typeListQuick2   = 18 // of listpacks and single elements
	typeStream2      = 19 // with what it remembers of ids
	typeSetListpack  = 20
	typeStream3      = 21 // with when consumers last got something

	typeHashTimed         = 24 // with deadlines of fields
	typeHashTimedListpack = 25
)

// What a node of a list of typeListQuick2 is.
const (
	quicklistPlain  = 1
	quicklistPacked = 2
)

// First bytes of lengths, and what stands instead of a string.
const (
	length6  = 0 // in the two upper bits
	length14 = 1
	length32 = 0x80
	length64 = 0x81

	encodedInt8  = 0
	encodedInt16 = 1
	encodedInt32 = 2
	encodedLZF   = 3
)

// ErrVersionOrChecksum means that a payload is damaged or too new.
var ErrVersionOrChecksum = errors.New("rdb: version or checksum of a payload is wrong")

// ErrFormat means that a payload with a right checksum can't be decoded.
var ErrFormat = errors.New("rdb: bad payload")

var (
	le = binary.LittleEndian
	be = binary.BigEndian
	// jones is the polynomial of Jones, in Go's order of bits.
	jones = crc64.MakeTable(0x95ac9329ac4bc9b5)
)

// checksum is the CRC that starts from 0; Go's starts and ends inverted.
func checksum(b []byte) uint64 { return ^crc64.Update(math.MaxUint64, jones, b) }

// Kind is what a value is.
type Kind byte

// The kinds of values.
const (
	String Kind = iota + 1
	List
	Set
	ZSet
	Hash
	Stream
)

// Member is a member of a sorted set.
type Member struct {
	Name  []byte
	Score float64
}

// Value is a decoded value. Its slices may refer to the payload.
type Value struct {
	Kind    Kind
	Str     []byte   // of a string
	Elems   [][]byte // of a list or a set; of a hash, every field before its value
	Members []Member // of a sorted set
	// Deadlines of the fields of a hash, in milliseconds of Unix time, 0 for none. Nil: no
	// field has one.
	Deadlines []int64
	Stream    *StreamValue
}

// AppendString appends the value of a string without its footer.
func AppendString(dst, val []byte) []byte { return AppendElement(append(dst, typeString), val) }

// AppendStart appends the head of a value of n elements, members or fields,
// which must follow: with AppendElement, AppendMember, or AppendElement for
// field and value.
func AppendStart(dst []byte, kind Kind, n int) []byte {
	var typ byte
	switch kind {
	case List:
		typ = typeList
	case Set:
		typ = typeSet
	case ZSet:
		typ = typeZSet
	case Hash:
		typ = typeHash
	default:
		panic(fmt.Sprintf("rdb: kind %d has no elements", kind))
	}
	return appendLen(append(dst, typ), n)
}

// AppendElement appends an element, a field or the value of one.
func AppendElement(dst, e []byte) []byte { return append(appendLen(dst, len(e)), e...) }

// AppendMember appends a member of a sorted set.
func AppendMember(dst, name []byte, score float64) []byte {
	return le.AppendUint64(AppendElement(dst, name), math.Float64bits(score))
}

// AppendFooter appends version and checksum to a value, which begins at dst[0].
func AppendFooter(dst []byte) []byte {
	version := uint16(versionWritten)
	switch {
	case len(dst) > 0 && dst[0] == typeStream2:
		version = versionStreams
	case len(dst) > 0 && dst[0] == typeHashTimed:
		version = versionTimed
	}
	dst = le.AppendUint16(dst, version)
	return le.AppendUint64(dst, checksum(dst))
}

func appendLen(dst []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(dst, length6<<6|byte(n))
	case n < 1<<14:
		return append(dst, length14<<6|byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return be.AppendUint32(append(dst, length32), uint32(n))
	}
	return be.AppendUint64(append(dst, length64), uint64(n))
}
