// Package check judges what clients of a store were told. Clients take down
// every operation in a Recorder; the History that comes out holds all a checker
// needs, can be written to a file and judged again, and knows nothing of how it
// came about: simulated clusters, real processes and other stores use the same
// checkers.
//
// An operation has one of three outcomes. OK: it was answered. Failed: it was
// certainly not applied. Unknown: it may have been applied, at any moment after
// its call, or may be yet. Everything rests on that being right; Classify says
// how a reply is read.
//
// A Suite says which checker judges which keys:
//
//   - a Model gives the meaning of the commands on one key; what clients saw must
//     be explained by an order of all operations in which each takes effect
//     between its call and its return (linearizability, by porcupine);
//   - "append" looks for cycles among transactions that append to lists and read
//     them (strict serializability, after Elle);
//   - "bank", "counter" and "adds" judge by a sum, a number or a set, and so see
//     histories too large for a search;
//   - final reads of every key through every node must agree. Without them no
//     checker would see what was lost at the end.
//
// A search that cannot finish, a key with too many operations for one and an
// operation that no checker looks at are failures, not passes.
package check
