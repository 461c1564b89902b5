package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"

	"tutti/internal/resp"
)

// The data set of bigdata: strings, hashes and sorted sets, written in units of
// 2 KiB of values: half of them strings, a quarter each of the others. Every
// value is random and follows from its place, so it can be checked without
// being kept.

const (
	unitBytes   = 2048 // of values in one command
	partBytes   = 128  // of a field's value or a member
	unitParts   = unitBytes / partBytes
	unitsPerKey = 16 // units of one hash or sorted set: 256 parts, 32 KiB
)

const (
	kindString = iota
	kindHash
	kindZSet
)

// unit is one write of the data set.
type unit struct {
	kind int
	at   int // its number among those of its kind
}

// unitOf returns unit n: string, hash, string, sorted set, and so on.
func unitOf(n int) unit {
	switch n % 4 {
	case 1:
		return unit{kindHash, n / 4}
	case 3:
		return unit{kindZSet, n / 4}
	}
	return unit{kindString, n / 2}
}

func (u unit) key() string {
	switch u.kind {
	case kindString:
		return "string:" + strconv.Itoa(u.at)
	case kindHash:
		return "hash:" + strconv.Itoa(u.at/unitsPerKey)
	}
	return "zset:" + strconv.Itoa(u.at/unitsPerKey)
}

// part numbers the i-th part of this unit among those of its key.
func (u unit) part(i int) int { return u.at%unitsPerKey*unitParts + i }

// value is what belongs at a place; part 0 is the only one of a string.
func value(key string, part, size int) []byte {
	var seed [32]byte
	copy(seed[4:], key)
	binary.LittleEndian.PutUint32(seed[:], uint32(part))
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// score of a member, an integer below 2³² that follows from it.
func score(member []byte) string {
	return strconv.FormatUint(uint64(binary.LittleEndian.Uint32(member)), 10)
}

// appendWrite appends the command that writes the unit.
func (u unit) appendWrite(dst []byte) []byte {
	key := u.key()
	switch u.kind {
	case kindString:
		return resp.AppendCommandStrings(dst, "SET", key, string(value(key, 0, unitBytes)))
	case kindHash:
		args := []string{"HSET", key}
		for i := range unitParts {
			args = append(args, strconv.Itoa(u.part(i)), string(value(key, u.part(i), partBytes)))
		}
		return resp.AppendCommandStrings(dst, args...)
	}
	args := []string{"ZADD", key}
	for i := range unitParts {
		member := value(key, u.part(i), partBytes)
		args = append(args, score(member), string(member))
	}
	return resp.AppendCommandStrings(dst, args...)
}

// written is what the unit's write answers the first time.
func (u unit) written() string {
	if u.kind == kindString {
		return "OK"
	}
	return strconv.Itoa(unitParts)
}

// read returns the command that reads the i-th part of the unit, and what it
// must answer.
func (u unit) read(i int) (command []string, want string) {
	key := u.key()
	switch u.kind {
	case kindString:
		return []string{"GET", key}, string(value(key, 0, unitBytes))
	case kindHash:
		return []string{"HGET", key, strconv.Itoa(u.part(i))}, string(value(key, u.part(i), partBytes))
	}
	member := value(key, u.part(i), partBytes)
	return []string{"ZSCORE", key, string(member)}, score(member)
}

// keysIn says how many keys the first n units make.
func keysIn(n int) int {
	collections := func(units int) int { return (units + unitsPerKey - 1) / unitsPerKey }
	return (n+1)/2 + collections((n+2)/4) + collections(n/4)
}

// wrongValue describes an answer that is not what was written.
func wrongValue(command []string, node int, got, want string) error {
	return fmt.Errorf("node %d: %s %s: %d bytes %.16x, written were %d bytes %.16x",
		node+1, command[0], command[1], len(got), got, len(want), want)
}
