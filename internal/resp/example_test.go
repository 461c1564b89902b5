package resp_test

import (
	"bufio"
	"fmt"
	"strings"

	"tutti/internal/resp"
)

// A server answers all commands that have arrived before it reads again, and
// only then gives their memory back.
func ExampleReader() {
	r := resp.NewReader(strings.NewReader("PING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*x\r\n"), resp.Limits{})
	var replies []byte
	args, err := r.ReadCommand()
	for ok := err == nil; ok; args, ok, err = r.NextBuffered() {
		replies = resp.AppendBulk(replies, args[len(args)-1])
	}
	if err != nil {
		replies = resp.AppendError(replies, "ERR "+err.Error())
	}
	r.Release()
	fmt.Printf("%q\n", replies)
	// Output: "$4\r\nPING\r\n$2\r\nhi\r\n-ERR Protocol error: invalid multibulk length\r\n"
}

func ExampleReadValue() {
	v, err := resp.ReadValue(bufio.NewReader(strings.NewReader("*2\r\n$1\r\na\r\n:1\r\n")))
	fmt.Println(v, err)
	fmt.Println(v.FormatCLI())
	// Output:
	// ["a" 1] <nil>
	// 1) "a"
	// 2) (integer) 1
}
