package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"tutti/internal/resp"
)

// printer shows answers.
type printer struct {
	json, raw   bool
	out, errors io.Writer
}

// print shows v. If it is an error, print returns the exit code it stands for,
// as an error that has been printed.
func (p printer) print(v resp.Value) error {
	out := p.out
	var text string
	switch {
	case p.json:
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(jsonValue(v)); err != nil {
			return failed(fmt.Errorf("print the answer as JSON: %w", err), "")
		}
		text = strings.TrimSuffix(b.String(), "\n")
	case v.IsError():
		text, out = v.FormatCLI(), p.errors
	case p.raw:
		text = rawText(v)
	default:
		text = v.FormatCLI()
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		return failed(err, "")
	}
	if v.IsError() {
		return &exitError{code: answerCode(string(v.Str))}
	}
	return nil
}

// answerCode is the exit code that an error answer stands for. The texts say
// whether the command was applied; where they leave it open, that counts.
func answerCode(text string) int {
	code, _, _ := strings.Cut(text, " ")
	switch {
	case code == "UNCERTAIN" || strings.Contains(text, "may or may not have been applied"):
		return exitUnknown
	case code == "CLUSTERDOWN" || code == "TRYAGAIN" || code == "BUSY":
		return exitUnavailable
	case code == "NOAUTH" || code == "WRONGPASS" || code == "NOPERM":
		return exitNoLogin
	}
	return exitFailed
}

// rawText is v without quotes and types, each element on a line of its own.
func rawText(v resp.Value) string {
	if v.Null {
		return ""
	}
	switch v.Kind {
	case resp.KindBulk, resp.KindVerbatim, resp.KindError, resp.KindBulkError:
		return string(v.Str)
	case resp.KindArray, resp.KindSet, resp.KindMap, resp.KindPush:
		lines := make([]string, len(v.Elems))
		for i, e := range v.Elems {
			lines[i] = rawText(e)
		}
		return strings.Join(lines, "\n")
	}
	return v.String()
}

// jsonValue is v as encoding/json wants it.
func jsonValue(v resp.Value) any {
	if v.Null {
		return nil
	}
	switch v.Kind {
	case resp.KindError, resp.KindBulkError:
		return map[string]string{"error": string(v.Str)}
	case resp.KindInt:
		return v.Int
	case resp.KindBool:
		return v.Bool
	case resp.KindBigNumber:
		return json.Number(v.Str)
	case resp.KindDouble:
		if math.IsInf(v.Float, 0) || math.IsNaN(v.Float) {
			return v.String() // JSON has no number for it
		}
		return v.Float
	case resp.KindMap:
		object := make(map[string]any, len(v.Elems)/2)
		for i := 0; i+1 < len(v.Elems); i += 2 {
			object[rawText(v.Elems[i])] = jsonValue(v.Elems[i+1])
		}
		return object
	case resp.KindArray, resp.KindSet, resp.KindPush:
		list := make([]any, len(v.Elems))
		for i, e := range v.Elems {
			list[i] = jsonValue(e)
		}
		return list
	}
	return string(v.Str)
}
