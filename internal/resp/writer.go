package resp

import "slices"

// Writer appends replies to Out in version Proto of the protocol. A reply that
// holds others, such as an array, is its head and then the replies it holds.
type Writer struct {
	Out   []byte
	Proto int // 2 or 3
	Room
}

// Room bounds the strings that a reply may hold. The zero value does not.
type Room struct {
	Until int // Out may grow so far without asking
	Aside int // bytes that are kept beside Out to make the reply, and count as if in it
	// More is asked for Out to have n bytes, and returns how far it may grow. If that is
	// less the string is left out: whoever is asked sees to it that the reply does not
	// count. Nil: Out may grow as it likes.
	More func(n int) int
}

// has reports whether there is room for n more bytes.
func (w *Writer) has(n int) bool {
	n += len(w.Out) + w.Aside
	return w.More == nil || n <= w.Until || w.ask(n)
}

func (w *Writer) ask(n int) bool {
	w.Until = w.More(n)
	return n <= w.Until
}

// Fits asks for what came into Out otherwise than by Bulk and BulkString.
func (w *Writer) Fits() bool { return w.has(0) }

// Error answers with an error, whose text begins with its code.
func (w *Writer) Error(text string) { w.Out = AppendError(w.Out, text) }

// OK answers +OK.
func (w *Writer) OK() { w.Out = append(w.Out, "+OK\r\n"...) }

// Simple answers with a simple string.
func (w *Writer) Simple(s string) { w.Out = AppendSimple(w.Out, s) }

// Int answers with an integer.
func (w *Writer) Int(n int64) { w.Out = AppendInt(w.Out, n) }

// Bool answers with the integer 1 or 0.
func (w *Writer) Bool(b bool) {
	if b {
		w.Int(1)
	} else {
		w.Int(0)
	}
}

// Bulk answers with a string.
func (w *Writer) Bulk(b []byte) {
	if w.has(len(b)) {
		w.Out = AppendBulk(w.Out, b)
	}
}

// BulkOf answers with a string of n bytes, which add appends. If it returns nil it could
// not, and the reply must not be sent.
func (w *Writer) BulkOf(n int, add func(dst []byte) []byte) {
	if !w.has(n) {
		return
	}
	out := appendHeader(w.Out, '$', int64(n))
	if out = add(slices.Grow(out, n+2)); out != nil {
		w.Out = append(out, '\r', '\n')
	}
}

// BulkString answers with a string.
func (w *Writer) BulkString(s string) {
	if w.has(len(s)) {
		w.Out = AppendBulkString(w.Out, s)
	}
}

// BulkStrings answers with an array of strings.
func (w *Writer) BulkStrings(list []string) {
	w.Array(len(list))
	for _, s := range list {
		w.BulkString(s)
	}
}

// Pair answers with two strings, as the name of a field and its value.
func (w *Writer) Pair(name, value string) {
	w.BulkString(name)
	w.BulkString(value)
}

// Null answers with the null of the protocol version.
func (w *Writer) Null() { w.Out = AppendNull(w.Out, w.Proto) }

// NullArray answers with the null array of RESP2 or the null of RESP3.
func (w *Writer) NullArray() { w.Out = AppendNullArray(w.Out, w.Proto) }

// Array starts an array of n replies.
func (w *Writer) Array(n int) { w.Out = AppendArray(w.Out, n) }

// Map starts a map of n pairs, in RESP2 an array of 2n replies.
func (w *Writer) Map(n int) { w.Out = AppendMap(w.Out, w.Proto, n) }

// Set starts a set of n replies, in RESP2 an array.
func (w *Writer) Set(n int) { w.Out = AppendSet(w.Out, w.Proto, n) }

// Double answers with a float, in RESP2 as a string.
func (w *Writer) Double(f float64) { w.Out = AppendDouble(w.Out, w.Proto, f) }

// Verbatim answers with a text that is to be shown as it is.
func (w *Writer) Verbatim(text string) { w.Out = AppendVerbatim(w.Out, w.Proto, "txt", text) }

// Help answers the HELP of a command with subcommands: lines are a synopsis and
// indented text below it, by turns, as Redis prints them. HELP itself is added.
func (w *Writer) Help(command string, lines []string) {
	w.Array(len(lines) + 3)
	w.Simple(command + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
	for _, l := range lines {
		w.Simple(l)
	}
	w.Simple("HELP")
	w.Simple("    Prints this help.")
}
