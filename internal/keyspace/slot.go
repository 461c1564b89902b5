package keyspace

import "bytes"

// Slots is the number of hash slots, as in the Redis Cluster specification.
const Slots = 16384

// crcTable is CRC16/XMODEM (polynomial 0x1021), the checksum that the Redis
// Cluster specification prescribes for key slots.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[i] = c
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
	var c uint16
	for _, b := range key {
		c = c<<8 ^ crcTable[byte(c>>8)^b]
	}
	return c & (Slots - 1)
}
