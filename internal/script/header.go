package script

import (
	"errors"
	"fmt"
	"strings"
)

// Header is what the first line of a script says of it, "#!lua flags=no-writes".
type Header struct {
	// Declared says that there is such a line. Without one a script is let do what
	// scripts could do before there were flags.
	Declared bool
	Name     string // of a library
	NoWrites bool
	AllowOOM bool
	// AllowStale, NoCluster and AllowCross are taken and have no effect here.
	AllowStale, NoCluster, AllowCross bool
}

// cutHeader reads the first line of a script, if it is a header. What is left has as
// many lines.
func cutHeader(source string) (h Header, body string, err error) {
	if !strings.HasPrefix(source, "#!") {
		return h, source, nil
	}
	line, rest, found := strings.Cut(source, "\n")
	if !found {
		return h, "", errors.New("Invalid script shebang") //nolint:staticcheck // Redis's words
	}
	h.Declared = true
	words := strings.Fields(line)
	if engine := words[0]; !strings.EqualFold(engine, "#!lua") {
		return h, "", fmt.Errorf("Unexpected engine in script shebang: %s", engine) //nolint:staticcheck // Redis's words
	}
	for _, w := range words[1:] {
		flags, is := strings.CutPrefix(w, "flags=")
		if !is {
			return h, "", fmt.Errorf("Unknown lua shebang option: %s", w) //nolint:staticcheck // Redis's words
		}
		for f := range strings.SplitSeq(flags, ",") {
			if f != "" && !h.flag(f) {
				return h, "", fmt.Errorf("Unexpected flag in script shebang: %s", f) //nolint:staticcheck // Redis's words
			}
		}
	}
	return h, "\n" + rest, nil
}

// flag sets a flag by its name.
func (h *Header) flag(name string) (known bool) {
	switch name {
	case "no-writes":
		h.NoWrites = true
	case "allow-oom":
		h.AllowOOM = true
	case "allow-stale":
		h.AllowStale = true
	case "no-cluster":
		h.NoCluster = true
	case "allow-cross-slot-keys":
		h.AllowCross = true
	default:
		return false
	}
	return true
}
