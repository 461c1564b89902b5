// Package acl says who may do what: users, their passwords and rights, in the
// grammar of Redis. It knows commands only by their names and categories, from a
// Catalog, and decides nothing about where users are kept.
//
// A User is compiled: one bit per command and patterns for keys, so that the check
// of one with all rights is a single comparison. Users don't change; a change
// makes another one, and a Set of all of them, with the epoch that it was made in.
//
// # Rules
//
// A user is kept and shown as the list of rules that make it from one without any
// rights. Beyond what Redis has, a password hash may be one of argon2id:
//
//	#<64 hexadecimal digits>                    SHA-256, as Redis has it
//	#$argon2id$v=19$m=KiB,t=N,p=N$salt$hash     salt and hash in base64 without padding
package acl
