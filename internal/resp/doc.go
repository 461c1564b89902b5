// Package resp reads and writes the Redis serialization protocol, versions 2
// and 3.
//
// The server side is a Reader, which cuts commands out of a byte stream, and
// the Append functions, which write replies behind a slice. The client side is
// AppendCommand and ReadValue.
//
// A command is an array of bulk strings, or one line of words ("inline"):
//
//	"*" count CR LF { "$" length CR LF length*byte CR LF }*count
//	word { blank word } [CR] LF
//
// A reply is one value. Version 3 adds the types in the second column; a
// function that takes proto writes the first column when proto is 2:
//
//	"+" text CR LF                    simple string
//	"-" text CR LF                    error
//	":" integer CR LF                 integer
//	"$" length CR LF bytes CR LF      bulk string       "$-1" CR LF   none
//	"*" count CR LF values            array             "*-1" CR LF   none
//
//	"_" CR LF                         null
//	"#" ("t" | "f") CR LF             boolean
//	"," number CR LF                  double
//	"(" digits CR LF                  big number
//	"!" length CR LF bytes CR LF      error in bulk form
//	"=" length CR LF fmt ":" bytes CR LF   verbatim string, fmt is 3 bytes
//	"%" count CR LF 2*count values    map
//	"~" count CR LF values            set
//	">" count CR LF values            push
//	"|" count CR LF 2*count values    attribute of the value that follows
//
// The package is pure: it knows no clock, starts no goroutine and does no
// input or output other than calling the io.Reader it was given.
package resp
