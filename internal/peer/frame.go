package peer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

var (
	be         = binary.BigEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	// FrameMax bounds kind and payload of one frame: one raft entry (16 MiB of
	// effects of one command beside a batch of 1 MiB) with room to spare.
	FrameMax = 40 << 20
	// chunkBytes is how much is allocated at once while a frame arrives.
	chunkBytes = 1 << 20
	// headBytes is what a frame has before its payload: length, checksum, kind.
	headBytes = 9
)

// ErrFrame says that a connection carried something that is no frame.
var ErrFrame = errors.New("malformed frame")

// ErrClosed says that the node is stopping.
var ErrClosed = errors.New("the links are closed")

// appendFrame appends a frame whose payload build appends.
func appendFrame(dst []byte, kind Kind, build func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0, byte(kind))
	dst = build(dst)
	body := dst[at+8:]
	be.PutUint32(dst[at:], uint32(len(body)))
	be.PutUint32(dst[at+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// readFrame reads one frame. The payload is the caller's. Memory is allocated
// as bytes arrive, not as the header announces them.
func readFrame(r *bufio.Reader) (Kind, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(be.Uint32(head[:]))
	if n < 1 || n > FrameMax {
		return 0, nil, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	body := make([]byte, 0, min(n, chunkBytes))
	for len(body) < n {
		at, more := len(body), min(n-len(body), max(chunkBytes, len(body)))
		body = append(body, make([]byte, more)...)
		if _, err := io.ReadFull(r, body[at:]); err != nil {
			return 0, nil, err
		}
	}
	if crc32.Checksum(body, castagnoli) != be.Uint32(head[4:]) {
		return 0, nil, fmt.Errorf("%w: wrong checksum", ErrFrame)
	}
	return Kind(body[0]), body[1:], nil
}
