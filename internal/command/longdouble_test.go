package command

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestLongDoubleOfDecimals checks what clients rely on: small numbers with few
// digits come back as they were written, and their sums are exact.
func TestLongDoubleOfDecimals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		places := r.IntN(7)
		scale := 1.0
		for range places {
			scale *= 10
		}
		ten := int64(10 * scale)
		a, b := r.Int64N(2*ten)-ten, r.Int64N(2*ten)-ten
		text := func(n int64) string { return strconv.FormatFloat(float64(n)/scale, 'f', places, 64) }
		x, ok1 := parseLongDouble([]byte(text(a)))
		y, ok2 := parseLongDouble([]byte(text(b)))
		if !ok1 || !ok2 {
			t.Fatalf("%s or %s refused", text(a), text(b))
		}
		sum, ok := addLongDouble(x, y)
		want := text(a + b)
		if places > 0 {
			want = strings.TrimRight(strings.TrimRight(want, "0"), ".")
		}
		if want == "-0" {
			want = "0"
		}
		if got := string(appendLongDouble([]byte("0"), sum))[1:]; !ok || got != want {
			t.Fatalf("%s + %s = %s, want %s", text(a), text(b), got, want)
		}
	}
}

func FuzzLongDouble(f *testing.F) {
	for _, s := range []string{"1.5", "-inf", "0x1p-3", "1e-4950", "1e99999999999", "+.5", "0x.", "1e4932"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, ok := parseLongDouble(b)
		if !ok || x.IsInf() {
			return
		}
		text := appendLongDouble(nil, x)
		if len(text) > longDoubleLenMax {
			t.Fatalf("%q becomes %d bytes", b, len(text))
		}
		if _, ok := parseLongDouble(text); !ok {
			t.Fatalf("%q becomes %q, which is refused", b, text)
		}
	})
}
