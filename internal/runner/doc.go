// Package runner runs commands on a node, as tasks of the cluster.
//
//	record.go    what the tasks hold: a command, a place, and what came of a command
//	execute.go   one command as a process: its limits, its end
//	desk.go      the folder it works in
//	limit_*.go   gives a process its limits from outside, where the system allows it
//	files.go     the files that travel with commands
//	output.go    what a process has written, up to a bound
//	place.go     a place at a run: claims its commands, runs them, records what came of them
//	runner.go    the node's places
//	link.go      what they speak with the cluster by
//
// # A run
//
// A run has a queue of its own, run-ID, with a task for each command. How many of
// them run at once, and where, is decided by its places: tasks of the one queue
// run-places, each of which names a run. A node with a free runner claims a place, and
// from then on claims commands of that run, one after the other, until there are none
// to claim; then the place is done. So nodes know of a run without looking for it,
// they take places in turn, and a run never has more commands running than places.
//
// Who holds a command holds a place. So a place that finds nothing to claim is not
// needed any more: what still runs is claimed again, if it fails, by the place that
// runs it. If its node is lost, both are handed out again after their lease, but
// maybe the place first. So whoever gets a place that somebody else had puts another in
// its stead, an orphan, which stays until all commands have ended. That it is another
// one matters, too: a command that ends each node that runs it ends dead, after
// three, and must not take with it the places of the others.
//
// A worker that stops gives back what it has not run, its place included. One that
// can't reach the cluster for its lease ends its command: it is run elsewhere by then.
//
// # Formats, version 1, and 2 with files
//
// The payload of a command is the JSON of Command, that of a place the JSON of Place.
// The result is one line of JSON with the numbers, and behind it what the command has
// written to stdout and stderr, as they are:
//
//	{"version":1,"number":7,"node":"ada","exit":0,"began":1764345600000,"ms":12,"out":3,"err":0}
//	ok
package runner
