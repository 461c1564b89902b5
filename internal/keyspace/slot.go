package keyspace

import "bytes"

// Slots is the number of hash slots, as in the Redis Cluster specification.
const Slots = 16384

// crcStep is of how many bytes the checksum is made at a time.
const crcStep = 4

// crcTables are for CRC16/XMODEM (polynomial 0x1021), the checksum that the Redis
// Cluster specification prescribes for key slots. The first has what becomes of a byte,
// the n-th what becomes of it with n bytes of 0 behind it: so several bytes, each looked
// up in a table of its own, need not wait for one another (Kounavis and Berry, "Novel
// Table Lookup-Based Algorithms for High-Performance CRC Generation", 2008).
var crcTables = func() (t [crcStep][256]uint16) {
	for i := range 256 {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[0][i] = c
	}
	for n := 1; n < crcStep; n++ {
		for i, c := range t[n-1] {
			t[n][i] = c<<8 ^ t[0][c>>8]
		}
	}
	return t
}()

// Slot returns the hash slot of key: CRC16 of the part between the first '{'
// and the next '}' if that part is not empty, else of the whole key, modulo
// Slots.
func Slot(key []byte) uint16 {
	if i := bytes.IndexByte(key, '{'); i >= 0 {
		if n := bytes.IndexByte(key[i+1:], '}'); n > 0 {
			key = key[i+1 : i+1+n]
		}
	}
	return crc16(key) & (Slots - 1)
}

func crc16(b []byte) (c uint16) {
	for ; len(b) >= crcStep; b = b[crcStep:] {
		c = crcTables[3][byte(c>>8)^b[0]] ^ crcTables[2][byte(c)^b[1]] ^ crcTables[1][b[2]] ^ crcTables[0][b[3]]
	}
	for _, x := range b {
		c = c<<8 ^ crcTables[0][byte(c>>8)^x]
	}
	return c
}
