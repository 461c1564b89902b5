package script

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// format is string.format, which formats as C does.
func formatString(v *vm, L *lua.LState) int {
	f := str(L, 1)
	v.pay(L, len(f))
	var out []byte
	arg := 1
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			out = append(out, f[i])
			continue
		}
		if i++; i < len(f) && f[i] == '%' {
			out = append(out, '%')
			continue
		}
		begin := i
		for i < len(f) && strings.IndexByte("-+ #0", f[i]) >= 0 {
			i++
		}
		flags := i
		for i < len(f) && (isDigit(f[i]) || f[i] == '.') {
			i++
		}
		width, precision, hasPrecision := strings.Cut(f[flags:i], ".")
		if flags-begin > 5 || len(width) > 2 || len(precision) > 2 || strings.Contains(precision, ".") {
			L.RaiseError("invalid format (width or precision too long)")
		}
		if i == len(f) {
			L.RaiseError("invalid option '%%' to 'format'")
		}
		arg++
		spec := f[begin:i]
		if f[i] == 's' || f[i] == 'q' {
			s := formatted(L, arg)
			if f[i] == 'q' {
				s = quoted(s)
			}
			if n, err := strconv.Atoi(precision); hasPrecision && (err == nil || precision == "") && n < len(s) && f[i] == 's' {
				s = s[:n]
			}
			s = padded(s, f[begin:flags], width)
			v.grow(L, len(s))
			if len(out)+len(s) > StringMax {
				v.grow(L, StringMax+1)
			}
			out = append(out, s...)
			continue
		}
		out = append(out, formatNumber(L, spec, f[i], arg)...)
	}
	v.grow(L, len(out))
	L.Push(lua.LString(out))
	return 1
}

// formatted returns argument n for %s.
func formatted(L *lua.LState, n int) string {
	if n > L.GetTop() {
		L.ArgError(n, "no value")
	}
	return str(L, n)
}

func padded(s, flags, width string) string {
	n, _ := strconv.Atoi(width)
	if n <= len(s) {
		return s
	}
	if strings.Contains(flags, "-") {
		return s + strings.Repeat(" ", n-len(s))
	}
	return strings.Repeat(" ", n-len(s)) + s
}

func quoted(s string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", "\\\n", "\r", `\r`, "\x00", `\000`).Replace(s) + `"`
}

// formatNumber formats argument n. spec is what stands between % and the letter.
func formatNumber(L *lua.LState, spec string, letter byte, n int) string {
	switch letter {
	case 'c', 'd', 'i', 'o', 'u', 'x', 'X', 'e', 'E', 'f', 'g', 'G':
	default:
		L.RaiseError("invalid option '%%%c' to 'format'", letter)
	}
	f := float64(num(L, n))
	switch letter {
	case 'c':
		return padded(string([]byte{byte(int64(f))}), spec, strings.TrimLeft(spec, "-+ #0"))
	case 'd', 'i':
		return formatInteger(strings.ReplaceAll(spec, "#", ""), int64(f))
	case 'u':
		return fmt.Sprintf("%"+strings.ReplaceAll(strings.ReplaceAll(spec, "+", ""), " ", "")+"d", uint64(int64(f)))
	case 'o', 'x', 'X':
		return fmt.Sprintf("%"+strings.ReplaceAll(strings.ReplaceAll(spec, "+", ""), " ", "")+string(letter), uint64(int64(f)))
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		width, _, _ := strings.Cut(strings.TrimLeft(spec, "-+ #0"), ".")
		s := number(f)
		if strings.Contains(spec, "+") && f > 0 {
			s = "+" + s
		}
		if letter == 'E' || letter == 'G' {
			s = strings.ToUpper(s)
		}
		return padded(s, spec, width)
	}
	if !strings.Contains(spec, ".") {
		spec += ".6"
	}
	return fmt.Sprintf("%"+spec+string(letter), f)
}

// formatInteger formats with a precision, which Go and C both take for the number of digits.
func formatInteger(spec string, n int64) string { return fmt.Sprintf("%"+spec+"d", n) }
