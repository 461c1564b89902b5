// Package node builds one node of the parts that the other packages are, opens
// them in the order in which they need each other, and closes them in reverse.
//
// A node's folder holds:
//
//	node.json node.json.2      who it is
//	ca.pem node.pem node.key   its identity, each in two copies, see package trust
//	request.key forming        while the node is made, as well
//	map map.2                  who belongs to the cluster and what lives where
//	counters counters.2 vow log/ state/   its data, see package store
//	starts starts.2            the newest start of each peer, see package store
//	damaged damaged.2 damaged-N/   while its data is made anew, see package store
//	ballast spare trial        nothing but room, see package store
//	LOCK                       held while it runs
package node
