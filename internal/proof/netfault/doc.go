// Package netfault is a switch for TCP: processes that dial each other through
// it can have every direction between every two of them cut, delayed, slowed,
// tampered with, and their connections broken, while the processes themselves
// are as they are delivered.
//
//	node 1 ── dials ──► forwarder 1→2 ── dials ──► node 2
//	          bytes to node 2 take the path 1→2
//	          bytes to node 1 take the path 2→1
//
// A forwarder listens on a loopback address and stands for one host to be
// reached, seen from one other host or from all. Faults belong to paths, the
// directions between two named hosts, and act on all their connections, those
// that exist and those to come.
//
// What the two ends see is what a network between kernels would show: a cut is
// silence, not an error; bytes held by it arrive in order when it heals, if the
// ends have not given up; the end of a connection travels the path too, so the
// peer of a killed process behind a cut does not learn of it. Packets lost,
// doubled or out of order do not exist above TCP; they show as delay.
//
// The chance in it comes from a seed: which bits flip depends on the seed, the
// path, and the number of the connection on it, not on how TCP cuts the stream
// into pieces. Delays by jitter do depend on that.
package netfault
