package main

import (
	"path/filepath"
	"strconv"
	"strings"
)

// A template is a command in which an argument stands in for placeholders, with the
// meaning they have in GNU parallel:
//
//	{}    the argument
//	{.}   without its extension
//	{/}   its last element as a path
//	{//}  its folder
//	{#}   the number of the job, from 1
type template struct {
	words []string
	shell bool // the words are joined and given to sh -c; arguments are quoted for it
}

// newTemplate completes words: a command that says nowhere what to do with its
// argument takes it as the last one.
func newTemplate(words []string, shell bool) template {
	for _, w := range words {
		if expand(w, "", 0, func(string) string { return "" }) != w {
			return template{words: words, shell: shell}
		}
	}
	return template{words: append(words[:len(words):len(words)], "{}"), shell: shell}
}

// argv is the command of one job.
func (t template) argv(arg string, number int) []string {
	as := func(s string) string { return s }
	if t.shell {
		as = quoteForShell
	}
	argv := make([]string, len(t.words))
	for i, w := range t.words {
		argv[i] = expand(w, arg, number, as)
	}
	if t.shell {
		return []string{"/bin/sh", "-c", strings.Join(argv, " ")}
	}
	return argv
}

// expand puts arg in place of the placeholders of word, in the spelling of as.
func expand(word, arg string, number int, as func(string) string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(word, '{')
		if at < 0 {
			break
		}
		b.WriteString(word[:at])
		word = word[at:]
		name, rest, closed := strings.Cut(word[1:], "}")
		text, ok := "", closed
		if ok {
			text, ok = placeholder(name, arg, number)
		}
		if !ok { // no placeholder: the brace stands for itself
			b.WriteByte('{')
			word = word[1:]
			continue
		}
		b.WriteString(as(text))
		word = rest
	}
	b.WriteString(word)
	return b.String()
}

// placeholder is what stands for the placeholder {name}.
func placeholder(name, arg string, number int) (text string, ok bool) {
	switch name {
	case "":
		return arg, true
	case ".":
		base := filepath.Base(arg)
		if ext := filepath.Ext(base); ext != base { // .profile is a name, no extension
			return strings.TrimSuffix(arg, ext), true
		}
		return arg, true
	case "/":
		return filepath.Base(arg), true
	case "//":
		return filepath.Dir(arg), true
	case "#":
		return strconv.Itoa(number), true
	}
	return "", false
}

// quoteForShell makes one word of s in the language of sh.
func quoteForShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
