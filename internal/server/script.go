package server

// emptyFunctions is what FUNCTION DUMP answers without libraries: the version
// of the format and its checksum.
const emptyFunctions = "\t\x00\x8di\r\x8c[\xf9\xc1k"

func scriptHandlers() map[string]handler {
	return map[string]handler{
		"function|dump":  func(c *conn, _ [][]byte) { c.bulk(emptyFunctions) },
		"function|flush": functionFlush,
		"function|list":  functionList,
		"function|stats": functionStats,
		"script|exists":  scriptExists,
		"script|flush":   scriptFlush,
	}
}

func functionFlush(c *conn, args [][]byte) {
	if len(args) > 3 || len(args) == 3 && !is(args[2], "SYNC") && !is(args[2], "ASYNC") {
		c.error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
		return
	}
	c.ok()
}

func scriptFlush(c *conn, args [][]byte) {
	if len(args) > 3 || len(args) == 3 && !is(args[2], "SYNC") && !is(args[2], "ASYNC") {
		c.error("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
		return
	}
	c.ok()
}

func functionList(c *conn, args [][]byte) {
	for i := 2; i < len(args); i++ {
		switch {
		case is(args[i], "WITHCODE"):
		case is(args[i], "LIBRARYNAME") && i+1 < len(args):
			i++
		case is(args[i], "LIBRARYNAME"):
			c.error("ERR library name argument was not given")
			return
		default:
			c.error("ERR Unknown argument " + string(args[i]))
			return
		}
	}
	c.array(0)
}

func functionStats(c *conn, _ [][]byte) {
	c.pairs(2)
	c.bulk("running_script")
	c.null()
	c.bulk("engines")
	c.pairs(0)
}

func scriptExists(c *conn, args [][]byte) {
	c.array(len(args) - 2)
	for range args[2:] {
		c.int(0)
	}
}
