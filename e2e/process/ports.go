package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// FreeRow returns an address from which on the six ports are free that tutti dev
// takes: one for clients of each of three nodes, and one for peers 1000 above it.
func FreeRow() (string, error) {
	for range 100 {
		if addr, ok := tryRow(); ok {
			return addr, nil
		}
	}
	return "", errors.New("found no free ports for tutti dev")
}

// Ports that are chosen lie below those that the kernel gives to connections: one of
// those may be gone before it is used.
const (
	firstPort = 10_000
	lastPort  = 30_000
)

// FreeAddrs returns n addresses that nobody uses.
func FreeAddrs(n int) (addrs []string, err error) {
	for range 100 * n {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort)))
		if err != nil {
			continue
		}
		defer l.Close() // not before all are chosen
		if addrs = append(addrs, l.Addr().String()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("found no %d free ports", n)
}

func tryRow() (addr string, ok bool) {
	first, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort)))
	if err != nil {
		return "", false
	}
	defer first.Close()
	port := first.Addr().(*net.TCPAddr).Port
	for _, n := range []int{port + 1, port + 2, port + 1000, port + 1001, port + 1002} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n))
		if err != nil {
			return "", false
		}
		defer l.Close() // not before all are tried
	}
	return first.Addr().String(), true
}
