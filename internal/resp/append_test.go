package resp

import (
	"math"
	"strconv"
	"testing"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name, got, want string
	}{
		{"simple", string(AppendSimple(nil, "OK")), "+OK\r\n"},
		{"simple with line end", string(AppendSimple(nil, "a\r\nb")), "+a  b\r\n"},
		{"error", string(AppendError([]byte("x"), "ERR no\r\nway")), "x-ERR no  way\r\n"},
		{"int", string(AppendInt(nil, math.MinInt64)), ":-9223372036854775808\r\n"},
		{"bulk", string(AppendBulk(nil, []byte("a\r\n"))), "$3\r\na\r\n\r\n"},
		{"bulk nil", string(AppendBulk(nil, nil)), "$0\r\n\r\n"},
		{"bulk string", string(AppendBulkString(nil, "ab")), "$2\r\nab\r\n"},
		{"array", string(AppendArray(nil, 3)), "*3\r\n"},
		{"null 2", string(AppendNull(nil, 2)), "$-1\r\n"},
		{"null 3", string(AppendNull(nil, 3)), "_\r\n"},
		{"null array 2", string(AppendNullArray(nil, 2)), "*-1\r\n"},
		{"null array 3", string(AppendNullArray(nil, 3)), "_\r\n"},
		{"map 2", string(AppendMap(nil, 2, 2)), "*4\r\n"},
		{"map 3", string(AppendMap(nil, 3, 2)), "%2\r\n"},
		{"set 2", string(AppendSet(nil, 2, 2)), "*2\r\n"},
		{"set 3", string(AppendSet(nil, 3, 2)), "~2\r\n"},
		{"push 2", string(AppendPush(nil, 2, 2)), "*2\r\n"},
		{"push 3", string(AppendPush(nil, 3, 2)), ">2\r\n"},
		{"double 2", string(AppendDouble(nil, 2, 1.5)), "$3\r\n1.5\r\n"},
		{"double 3", string(AppendDouble(nil, 3, math.Inf(-1))), ",-inf\r\n"},
		{"true 2", string(AppendBool(nil, 2, true)), ":1\r\n"},
		{"false 2", string(AppendBool(nil, 2, false)), ":0\r\n"},
		{"true 3", string(AppendBool(nil, 3, true)), "#t\r\n"},
		{"false 3", string(AppendBool(nil, 3, false)), "#f\r\n"},
		{"verbatim 2", string(AppendVerbatim(nil, 2, "txt", "hi")), "$2\r\nhi\r\n"},
		{"verbatim 3", string(AppendVerbatim(nil, 3, "txt", "hi")), "=6\r\ntxt:hi\r\n"},
		{"big number 2", string(AppendBigNumber(nil, 2, "123")), "$3\r\n123\r\n"},
		{"big number 3", string(AppendBigNumber(nil, 3, "-123")), "(-123\r\n"},
		{"command", string(AppendCommand(nil, []byte("GET"), nil)), "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"},
		{"command strings", string(AppendCommandStrings(nil, "PING")), "*1\r\n$4\r\nPING\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

func TestFormatDouble(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {1, "1"}, {-1, "-1"}, {3.1, "3.1"}, {-0.5, "-0.5"},
		{0.30000000000000004, "0.30000000000000004"}, {100, "100"}, {1e15, "1000000000000000"},
		{1 << 51, "2251799813685248"}, {1 << 52, "4503599627370496"}, {1e16, "10000000000000000"}, {1e17, "100000000000000000"},
		{1 << 60, "1152921504606846976"}, {1 << 62, "4611686018427387904"}, {-1 << 62, "-4611686018427387904"}, {1 << 63, "9223372036854776000"}, {1e21, "1e+21"}, {1.5e300, "1.5e+300"}, {-1e300, "-1e+300"},
		{0.001, "0.001"}, {0.000001, "0.000001"}, {1e-7, "1e-7"}, {1.5e-7, "1.5e-7"}, {1e-10, "1e-10"},
		{0.00012345678, "1.2345678e-4"}, {0.0012345678, "0.0012345678"}, {1234.56789, "1234.56789"},
		{12345.12345678, "1.234512345678e+4"}, {math.MaxFloat64, "1.7976931348623157e+308"},
		{math.SmallestNonzeroFloat64, "5e-324"}, {math.Inf(1), "inf"}, {math.Inf(-1), "-inf"}, {math.NaN(), "nan"},
	} {
		if got := FormatDouble(c.f); got != c.want {
			t.Errorf("FormatDouble(%g) = %s, want %s", c.f, got, c.want)
		}
	}
}

func FuzzFormatDouble(f *testing.F) {
	f.Add(uint64(1))
	f.Add(math.Float64bits(-123.456))
	f.Fuzz(func(t *testing.T, bits uint64) {
		want := math.Float64frombits(bits)
		got, err := strconv.ParseFloat(FormatDouble(want), 64)
		if err != nil || got != want && !math.IsNaN(want) {
			t.Fatalf("%g is formatted as %s", want, FormatDouble(want))
		}
	})
}

func TestVerbatimFormatLength(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for a format of four bytes")
		}
	}()
	AppendVerbatim(nil, 3, "text", "hi")
}
