package server

import "tutti/internal/resp"

// emptyFunctions is what FUNCTION DUMP answers without libraries: the version
// of the format and its checksum.
const emptyFunctions = "\t\x00\x8di\r\x8c[\xf9\xc1k"

func scriptHandlers() map[string]handler {
	return map[string]handler{
		"function|dump":  func(r *request, _ [][]byte) { r.BulkString(emptyFunctions) },
		"function|flush": functionFlush,
		"function|list":  functionList,
		"function|stats": functionStats,
		"script|exists":  scriptExists,
		"script|flush":   scriptFlush,
	}
}

func functionFlush(r *request, args [][]byte) {
	if len(args) > 3 || len(args) == 3 && !resp.IsWord(args[2], "SYNC") && !resp.IsWord(args[2], "ASYNC") {
		r.Error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
		return
	}
	r.OK()
}

func scriptFlush(r *request, args [][]byte) {
	if len(args) > 3 || len(args) == 3 && !resp.IsWord(args[2], "SYNC") && !resp.IsWord(args[2], "ASYNC") {
		r.Error("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	r.OK()
}

func functionList(r *request, args [][]byte) {
	for i := 2; i < len(args); i++ {
		switch {
		case resp.IsWord(args[i], "WITHCODE"):
		case resp.IsWord(args[i], "LIBRARYNAME") && i+1 < len(args):
			i++
		case resp.IsWord(args[i], "LIBRARYNAME"):
			r.Error("ERR library name argument was not given")
			return
		default:
			r.Error("ERR Unknown argument " + string(args[i]))
			return
		}
	}
	r.Array(0)
}

func functionStats(r *request, _ [][]byte) {
	r.Map(2)
	r.BulkString("running_script")
	r.Null()
	r.BulkString("engines")
	r.Map(0)
}

func scriptExists(r *request, args [][]byte) {
	r.Array(len(args) - 2)
	for range args[2:] {
		r.Int(0)
	}
}
