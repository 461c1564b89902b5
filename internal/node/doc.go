// Package node builds one node of the parts that the other packages are, opens
// them in the order in which they need each other, and closes them in reverse.
//
// A node's folder holds:
//
//	node.json            who it is and who the members are (formation)
//	ca.pem node.pem node.key   its identity, see package trust
//	authority.pem authority.key   what signs identities, see package trust
//	counters vow log/ state/   its data, see package store
//	LOCK                 held while it runs
package node
