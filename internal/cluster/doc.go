// Package cluster says who belongs to a cluster and what lives where: its
// members, its shards, and the replicas that make the shards.
//
// A Map is one immutable value with an epoch. The meta shard holds its parts as
// rows; every node keeps a copy in a Holder, on disk too, serves by it while
// meta has no leader, and replaces it only by one of a newer epoch. What a shard
// owns and who its replicas are is not decided by the map but by the shard's own
// Descriptor, a replicated row of it, of which the map has a copy that may be
// older; the generations tell which of two is newer.
//
// Plan says which replicas a shard should have. NextChange is the one place that
// decides how it comes from those it has to those.
//
// # Formats
//
// All integers are unsigned varints unless said otherwise; a string is its
// length and its bytes. Each record begins with a byte that is its version; an
// unknown one is refused with ErrVersion, never taken for damage.
//
//	member      1 id name zone peer client role:1 state:1 version
//	descriptor  1 shard first end generation next n { id node data role:1 }×n
//	placement   1 n { node learner:1 }×n
//	policy      1 manual:1 milliseconds until a silent node is dead
//	map         1 epoch name version policy n { member }×n n { descriptor placement }×n
//
// In a map, each policy, member, descriptor and placement is preceded by its
// length.
package cluster
