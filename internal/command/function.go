package command

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"tutti/internal/glob"
	"tutti/internal/rdb"
	"tutti/internal/resp"
	"tutti/internal/script"
)

// Libraries of functions are rows of every data shard, below Scripting.Libraries:
//
//	0        version:1=1 epoch:8, raised by every change; id:8, which no other state of
//	         the libraries has
//	1 name   version:1=1, the text of the library
//
// Changes are evaluated by one shard, the one with the lowest id, which gives them an
// order; the entry node then has all others keep what came of it, unless they know a later
// epoch, before it answers.

const (
	librariesVersion  = 1
	librariesMax      = 1000
	librariesBytesMax = 4 << 20

	// loadStepsMax bounds what a library does while it is loaded, to half a second.
	loadStepsMax = 2_000_000

	errNoFunction    = "ERR Function not found"
	errNoLibrary     = "ERR Library not found"
	errFunctionWrite = "ERR Can not execute a script with write flag using *_ro command."
)

func librariesEpochRow(c *Ctx) []byte { return append(bytes.Clone(c.Scripts.Libraries), 0) }

func libraryRow(c *Ctx, name string) []byte {
	return append(append(bytes.Clone(c.Scripts.Libraries), 1), name...)
}

// librariesEpoch returns the epoch of the libraries and what names their state; 0: there
// never were any.
func librariesEpoch(c *Ctx) (epoch, id uint64) {
	val, ok := c.Tx.Get(librariesEpochRow(c), nil)
	if !ok || len(val) != 17 || val[0] != librariesVersion {
		return 0, 0
	}
	return binary.BigEndian.Uint64(val[1:]), binary.BigEndian.Uint64(val[9:])
}

// functions returns the libraries that the shard keeps. An error is in the words of Redis,
// or what ended the transaction.
func functions(c *Ctx) (script.Functions, error) {
	epoch, id := librariesEpoch(c)
	engine := c.Scripts.Table.scripts
	if epoch == 0 {
		return script.Functions{}, nil
	}
	if f, ok := engine.Functions(id); ok {
		return f, nil
	}
	f := script.Functions{ID: id, ByName: make(map[string]*script.Function)}
	it := c.Tx.Iter(libraryRow(c, ""), append(bytes.Clone(c.Scripts.Libraries), 2))
	var codes []string
	for ok := it.First(); ok; ok = it.Next() {
		if val := it.Value(); len(val) > 0 && val[0] == librariesVersion {
			codes = append(codes, string(val[1:]))
		}
	}
	_ = it.Close() // its error is the transaction's
	for _, code := range codes {
		lib, err := loadLibrary(c, code)
		if err != nil {
			return f, err
		}
		f.Libraries = append(f.Libraries, lib)
		for _, fn := range lib.Functions {
			f.ByName[strings.ToLower(fn.Name)] = fn
		}
	}
	if c.Tx.Err() == nil {
		engine.SetFunctions(f)
	}
	return f, c.Tx.Err()
}

var errLoadLong = errors.New("FUNCTION LOAD timeout")

// TextLoadLong is the error for a library that takes too long to load, by its steps or by
// the clock.
var TextLoadLong = "ERR " + errLoadLong.Error()

// loadLibrary compiles and runs a library. The work counts.
func loadLibrary(c *Ctx, code string) (*script.Library, error) {
	if c.Tx.Spend(script.CompileSteps([]byte(code))); c.Tx.Err() != nil {
		return nil, c.Tx.Err()
	}
	sum := 0
	return c.Scripts.Table.scripts.Load(code, func(steps int) error {
		if sum += steps; sum > loadStepsMax {
			return errLoadLong
		}
		c.Tx.Spend(steps)
		return c.Tx.Err()
	})
}

// libraryError answers with an error, unless the transaction has ended.
func libraryError(c *Ctx, err error) {
	if c.Tx.Err() == nil {
		c.Error("ERR " + oneLine(err.Error()))
	}
}

func fcall(c *Ctx)   { callFunction(c, false) }
func fcallRO(c *Ctx) { callFunction(c, true) }

func callFunction(c *Ctx, readOnly bool) {
	all, err := functions(c)
	if err != nil {
		libraryError(c, err)
		return
	}
	f := all.ByName[strings.ToLower(string(c.Args[1]))]
	if f == nil {
		c.Error(errNoFunction)
		return
	}
	if _, is := resp.ParseInt(c.Args[2]); !is {
		c.Error("ERR Bad number of keys provided")
		return
	}
	keys, args, ok := scriptArgs(c)
	if !ok {
		return
	}
	if readOnly && !f.NoWrites {
		c.Error(errFunctionWrite)
		return
	}
	x, run := newCalls(c, keys, args, readOnly || f.NoWrites)
	x.ended(c.Scripts.Table.scripts.Call(f, run, &c.Writer))
}

// tuttiFunctionLoad is FUNCTION LOAD [REPLACE] code.
func tuttiFunctionLoad(c *Ctx) {
	replace := false
	code := c.Args[len(c.Args)-1]
	for _, a := range c.Args[2 : len(c.Args)-1] {
		if !strings.EqualFold(string(a), "REPLACE") {
			c.Error("ERR Unknown option given: " + string(a))
			return
		}
		replace = true
	}
	lib, err := loadLibrary(c, string(code))
	if err == nil {
		err = addLibraries(c, []*script.Library{lib}, replace)
	}
	if err != nil {
		libraryError(c, err)
		return
	}
	c.BulkString(lib.Name)
}

// libraryTaken says that there is a library of that name.
type libraryTaken string

func (name libraryTaken) Error() string { return "Library '" + string(name) + "' already exists" }

// addLibraries adds libraries to those there are, in the place of one of the same name if
// replace says so.
func addLibraries(c *Ctx, list []*script.Library, replace bool) error {
	old, err := functions(c)
	if err != nil {
		return err
	}
	taken, names, size := make(map[string]bool), make(map[string]bool), 0
	for _, lib := range list {
		if names[lib.Name] {
			return libraryTaken(lib.Name)
		}
		names[lib.Name] = true
		size += len(lib.Code)
	}
	n := len(list)
	for _, lib := range old.Libraries {
		switch {
		case names[lib.Name] && !replace:
			return libraryTaken(lib.Name)
		case names[lib.Name]:
			continue
		}
		n++
		size += len(lib.Code)
		for _, f := range lib.Functions {
			taken[strings.ToLower(f.Name)] = true
		}
	}
	if n > librariesMax || size > librariesBytesMax {
		return errors.New("a cluster has at most 1000 libraries, of 4 MiB together. Not applied")
	}
	for _, lib := range list {
		for _, f := range lib.Functions {
			if taken[strings.ToLower(f.Name)] {
				return errors.New("Function " + f.Name + " already exists")
			}
			taken[strings.ToLower(f.Name)] = true
		}
	}
	for _, lib := range list {
		putLibrary(c, lib.Name, []byte(lib.Code))
	}
	raiseLibraries(c)
	return c.Tx.Err()
}

func putLibrary(c *Ctx, name string, code []byte) {
	c.Tx.Put(libraryRow(c, name), append([]byte{librariesVersion}, code...))
}

func setLibrariesEpoch(c *Ctx, epoch, id uint64) {
	c.Tx.Put(librariesEpochRow(c), binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{librariesVersion}, epoch), id))
}

// raiseLibraries says that the libraries have changed.
func raiseLibraries(c *Ctx) {
	epoch, _ := librariesEpoch(c)
	setLibrariesEpoch(c, epoch+1, c.Tx.NewID())
}

func tuttiFunctionDelete(c *Ctx) {
	row := libraryRow(c, string(c.Args[2]))
	if _, ok := c.Tx.Get(row, nil); !ok {
		c.Error(errNoLibrary)
		return
	}
	c.Tx.Delete(row)
	raiseLibraries(c)
	c.OK()
}

func tuttiFunctionFlush(c *Ctx) {
	dropLibraries(c)
	raiseLibraries(c)
	c.OK()
}

// dropLibraries removes the rows of all libraries.
func dropLibraries(c *Ctx) {
	var rows [][]byte
	it := c.Tx.Iter(libraryRow(c, ""), append(bytes.Clone(c.Scripts.Libraries), 2))
	for ok := it.First(); ok; ok = it.Next() {
		rows = append(rows, bytes.Clone(it.Key()))
	}
	_ = it.Close() // its error is the transaction's
	for _, row := range rows {
		c.Tx.Delete(row)
	}
}

// tuttiFunctionRestore is FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE].
func tuttiFunctionRestore(c *Ctx) {
	policy := "APPEND"
	if len(c.Args) > 3 {
		policy = strings.ToUpper(string(c.Args[3]))
	}
	if policy != "FLUSH" && policy != "APPEND" && policy != "REPLACE" {
		c.Error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
		return
	}
	codes, err := rdb.DecodeFunctions(c.Args[2])
	if err != nil {
		c.Error("ERR DUMP payload version or checksum are wrong")
		return
	}
	if policy == "FLUSH" {
		dropLibraries(c)
		raiseLibraries(c)
	}
	var list []*script.Library
	for _, code := range codes {
		lib, err := loadLibrary(c, string(code))
		if err != nil {
			libraryError(c, err)
			return
		}
		list = append(list, lib)
	}
	err = addLibraries(c, list, policy == "REPLACE")
	if taken, is := errors.AsType[libraryTaken](err); is {
		c.Error("ERR Library " + string(taken) + " already exists")
		return
	}
	if err != nil {
		libraryError(c, err)
		return
	}
	c.OK()
}

// tuttiFunctionRecord returns the epoch, the id, and the names and texts of all libraries.
func tuttiFunctionRecord(c *Ctx) {
	all, err := functions(c)
	if err != nil {
		libraryError(c, err)
		return
	}
	epoch, id := librariesEpoch(c)
	c.Array(2 + 2*len(all.Libraries))
	c.BulkString(strconv.FormatUint(epoch, 10))
	c.BulkString(strconv.FormatUint(id, 10))
	for _, lib := range all.Libraries {
		c.Pair(lib.Name, lib.Code)
	}
}

// tuttiFunctionKeep has the shard keep what TUTTI.FUNCTION RECORD returned elsewhere.
func tuttiFunctionKeep(c *Ctx) {
	epoch, err1 := strconv.ParseUint(string(c.Args[2]), 10, 64)
	id, err2 := strconv.ParseUint(string(c.Args[3]), 10, 64)
	if err1 != nil || err2 != nil {
		c.Error(TextNotInt)
		return
	}
	if now, _ := librariesEpoch(c); epoch > now {
		dropLibraries(c)
		for i := 4; i+1 < len(c.Args); i += 2 {
			putLibrary(c, string(c.Args[i]), c.Args[i+1])
		}
		setLibrariesEpoch(c, epoch, id)
	}
	c.OK()
}

func tuttiFunctionDump(c *Ctx) {
	all, err := functions(c)
	if err != nil {
		libraryError(c, err)
		return
	}
	var codes [][]byte
	for _, lib := range all.Libraries {
		codes = append(codes, []byte(lib.Code))
	}
	c.Bulk(rdb.AppendFunctions(nil, codes))
}

// tuttiFunctionStats answers what FUNCTION STATS does.
func tuttiFunctionStats(c *Ctx) {
	all, err := functions(c)
	if err != nil {
		libraryError(c, err)
		return
	}
	c.Map(2)
	c.BulkString("running_script")
	c.Null()
	c.BulkString("engines")
	c.Map(1)
	c.BulkString("LUA")
	c.Map(2)
	c.BulkString("libraries_count")
	c.Int(int64(len(all.Libraries)))
	c.BulkString("functions_count")
	c.Int(int64(len(all.ByName)))
}

// tuttiFunctionList is FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE].
func tuttiFunctionList(c *Ctx) {
	pattern, withCode := []byte(nil), false
	for i := 2; i < len(c.Args); i++ {
		switch {
		case c.is(i, "WITHCODE") && !withCode:
			withCode = true
		case c.is(i, "LIBRARYNAME") && pattern == nil && i+1 < len(c.Args):
			i++
			pattern = c.Args[i]
		case c.is(i, "LIBRARYNAME") && pattern == nil:
			c.Error("ERR library name argument was not given")
			return
		default:
			c.Error("ERR Unknown argument " + string(c.Args[i]))
			return
		}
	}
	all, err := functions(c)
	if err != nil {
		libraryError(c, err)
		return
	}
	var list []*script.Library
	for _, lib := range all.Libraries {
		if pattern == nil || glob.Match(bytes.ToLower(pattern), []byte(strings.ToLower(lib.Name))) {
			list = append(list, lib)
		}
	}
	c.Array(len(list))
	for _, lib := range list {
		listLibrary(c, lib, withCode)
	}
}

func listLibrary(c *Ctx, lib *script.Library, withCode bool) {
	fields := 3
	if withCode {
		fields++
	}
	c.Map(fields)
	c.Pair("library_name", lib.Name)
	c.Pair("engine", "LUA")
	c.BulkString("functions")
	c.Array(len(lib.Functions))
	for _, f := range lib.Functions {
		c.Map(3)
		c.Pair("name", f.Name)
		c.BulkString("description")
		if f.Description == "" {
			c.Null()
		} else {
			c.BulkString(f.Description)
		}
		c.BulkString("flags")
		c.Set(len(f.Flags))
		for _, flag := range f.Flags {
			c.Simple(flag)
		}
	}
	if withCode {
		c.Pair("library_code", lib.Code)
	}
}
