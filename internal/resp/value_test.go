package resp

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// valueCases are replies, what String and FormatCLI make of them.
var valueCases = []struct{ name, in, str, cli string }{
	{"simple", "+OK\r\n", "OK", "OK"},
	{"empty simple", "+\r\n", "", ""},
	{"error", "-ERR x\r\n", "(error) ERR x", "(error) ERR x"},
	{"int", ":1\r\n", "1", "(integer) 1"},
	{"int plus", ":+1\r\n", "1", "(integer) 1"},
	{"bulk", "$3\r\nabc\r\n", `"abc"`, `"abc"`},
	{"bulk binary", "$6\r\n\"\\\r\n\x00\xff\r\n", `"\"\\\r\n\x00\xff"`, `"\"\\\r\n\x00\xff"`},
	{"bulk null", "$-1\r\n", "nil", "(nil)"},
	{"array null", "*-1\r\n", "nil", "(nil)"},
	{"null", "_\r\n", "nil", "(nil)"},
	{"true", "#t\r\n", "true", "(true)"},
	{"false", "#f\r\n", "false", "(false)"},
	{"double", ",1.5\r\n", "1.5", "(double) 1.5"},
	{"double inf", ",-inf\r\n", "-inf", "(double) -inf"},
	{"big number", "(123456789012345678901234567890\r\n", "123456789012345678901234567890", "123456789012345678901234567890"},
	{"bulk error", "!5\r\nERR x\r\n", "(error) ERR x", "(error) ERR x"},
	{"verbatim", "=6\r\ntxt:hi\r\n", `"hi"`, "hi"},
	{"empty array", "*0\r\n", "[]", "(empty array)"},
	{"empty map", "%0\r\n", "{}", "(empty hash)"},
	{"empty set", "~0\r\n", "{}", "(empty set)"},
	{"array", "*3\r\n$1\r\na\r\n:2\r\n$-1\r\n", `["a" 2 nil]`, "1) \"a\"\n2) (integer) 2\n3) (nil)"},
	{"nested", "*2\r\n*2\r\n:1\r\n:2\r\n+x\r\n", "[[1 2] x]", "1) 1) (integer) 1\n   2) (integer) 2\n2) x"},
	{"set", "~1\r\n:1\r\n", "{1}", "1~ (integer) 1"},
	{"map", "%2\r\n+a\r\n:1\r\n+b\r\n*2\r\n:2\r\n:3\r\n", "{a: 1 b: [2 3]}",
		"1# a => (integer) 1\n2# b => 1) (integer) 2\n   2) (integer) 3"},
	{"push", ">2\r\n+message\r\n:1\r\n", ">[message 1]", "1) message\n2) (integer) 1"},
	{"attribute", "|1\r\n+ttl\r\n:9\r\n:5\r\n", "5", "(integer) 5"},
	{"ten elements", "*10\r\n" + strings.Repeat(":1\r\n", 10), "[1 1 1 1 1 1 1 1 1 1]",
		" 1) (integer) 1\n 2) (integer) 1\n 3) (integer) 1\n 4) (integer) 1\n 5) (integer) 1\n" +
			" 6) (integer) 1\n 7) (integer) 1\n 8) (integer) 1\n 9) (integer) 1\n10) (integer) 1"},
}

func TestReadValue(t *testing.T) {
	for _, c := range valueCases {
		t.Run(c.name, func(t *testing.T) {
			br := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(c.in)), 16)
			v, err := ReadValue(br)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.String(); got != c.str {
				t.Errorf("String is %s, want %s", got, c.str)
			}
			if got := v.FormatCLI(); got != c.cli {
				t.Errorf("FormatCLI is\n%s\nwant\n%s", got, c.cli)
			}
			if v.IsError() != strings.HasPrefix(c.str, "(error)") {
				t.Errorf("IsError is %v", v.IsError())
			}
			if _, err := ReadValue(br); !errors.Is(err, io.EOF) {
				t.Errorf("after the value: %v, want EOF", err)
			}
		})
	}
}

func TestReadValueRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"unknown type":      "x\r\n",
		"empty line":        "\r\n",
		"line feed alone":   "+OK\n",
		"not a number":      ":x\r\n",
		"bool":              "#x\r\n",
		"double":            ",x\r\n",
		"big number":        "(1x\r\n",
		"null with text":    "_x\r\n",
		"bulk length":       "$-2\r\n",
		"bulk end":          "$1\r\nabc",
		"streamed bulk":     "$?\r\n",
		"verbatim":          "=2\r\nab\r\n",
		"null map":          "%-1\r\n",
		"many elements":     "*16777217\r\n",
		"too deep":          strings.Repeat("*1\r\n", 200),
		"attribute to deep": strings.Repeat("|1\r\n", 200),
		"long line":         "+" + strings.Repeat("a", 70000) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadValue(bufio.NewReader(strings.NewReader(in)))
			if _, ok := errors.AsType[*ProtocolError](err); !ok {
				t.Errorf("got %v, want a protocol error", err)
			}
		})
	}
}

func TestReadValueCutOff(t *testing.T) {
	for _, c := range valueCases {
		for n := 1; n < len(c.in); n++ {
			if _, err := ReadValue(bufio.NewReader(strings.NewReader(c.in[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("first %d bytes of %q: %v", n, c.in, err)
			}
		}
	}
}

func TestReadValueLong(t *testing.T) {
	want := strings.Repeat("x", 300000)
	in := string(AppendBulkString(nil, want)) + "+" + want[:60000] + "\r\n"
	br := bufio.NewReader(strings.NewReader(in))
	if v, err := ReadValue(br); err != nil || string(v.Str) != want {
		t.Fatalf("bulk of %d bytes, %v", len(v.Str), err)
	}
	if v, err := ReadValue(br); err != nil || string(v.Str) != want[:60000] {
		t.Fatalf("line of %d bytes, %v", len(v.Str), err)
	}
}
