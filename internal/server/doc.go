// Package server is the front door: connections of clients, what each client
// has chosen (database, protocol version, MULTI, WATCH), the order of replies,
// and the commands that a node answers by itself.
//
// A client is served by one goroutine, which reads all that a pipeline has
// brought, hands runs of it to the router as groups, and writes all replies at
// once, in order. Other goroutines may push messages between them. As long as all
// that a client wants is plain, it is served by an event loop instead, with many
// others. Whoever follows a command reads the files in this order:
//
//	server.go    accepts clients and knows them all
//	conn.go      one client: its goroutine, from the first byte to the last
//	stranger.go  who may be here, before and after the login
//	guesses.go   who guesses passwords
//	secure.go    TLS
//	foreign.go   who speaks something else, and is told so
//	reader.go    bytes to commands, with limits and deadlines
//	session.go   what a client has chosen, and what others see of it
//	dispatch.go  finds who executes a command
//	pipeline.go  gathers commands with keys, and hands them to lanes
//	address.go   where commands go, and the way of those that went wrong
//	lanes.go     executes the commands of a connection, of several shards at once
//	lane.go      executes those of one shard
//	eval.go      evaluates reads over a view
//	wait.go      waits, with an eye on the client
//	lookout.go   sees a client go while its command waits
//	tracking.go  what a client has read and keeps
//	outbox.go    replies and pushes to bytes, in order
//	seat.go      which clients an event loop serves, and when not
//	loops.go     the event loops
//	loop.go      one of them: who it serves, and what it is told
//	idle.go      its clients that have been idle for too long
//	feed.go      the clients of a simulation
//	turn.go      what has arrived of a client gathers
//	together.go  the writes of many clients as one group
//	readers.go   their reads over one view
//	spares.go    what clients are lent while they have something under way
//	request.go   what the handlers of commands get that a node answers by itself
//
// The other files are such handlers, one for each family, and what they show:
// settings, counters, the slow log.
package server
