package main

import (
	"strconv"
	"strings"
)

// A template is a command in which arguments stand in for placeholders, with the
// meaning they have in GNU parallel:
//
//	{}    the arguments
//	{.}   without extension
//	{/}   the last element of the path
//	{/.}  that without extension
//	{//}  the folder
//	{2}   the second argument; {-1} the last one, {2.} and so on as above
//	{#}   the number of the command, from 1
//
// A word that is nothing but a placeholder of several arguments becomes as many words;
// elsewhere they stand side by side, with a space between them.
type template struct {
	words []string
	shell bool // the words are joined and given to sh -c; arguments are quoted for it
}

// newTemplate completes words: a command that says nowhere what to do with its
// arguments takes them as the last ones.
func newTemplate(words []string, shell bool) template {
	for _, w := range words {
		if hasPlaceholder(w) {
			return template{words: words, shell: shell}
		}
	}
	return template{words: append(words[:len(words):len(words)], "{}"), shell: shell}
}

func asIs(s string) string { return s }

// argv is the command of one job.
func (t template) argv(args []string, number int) []string {
	if t.shell {
		line := make([]string, len(t.words))
		for i, w := range t.words {
			line[i] = expand(w, args, number, quoteForShell)
		}
		return []string{"/bin/sh", "-c", strings.Join(line, " ")}
	}
	argv := make([]string, 0, len(t.words))
	for _, w := range t.words {
		if texts, rest, ok := placeholderAt(w, args, number); ok && rest == "" {
			argv = append(argv, texts...)
			continue
		}
		argv = append(argv, expand(w, args, number, asIs))
	}
	return argv
}

// expand puts arguments in place of the placeholders of word, in the spelling of as.
func expand(word string, args []string, number int, as func(string) string) string {
	var b strings.Builder
	for word != "" {
		texts, rest, ok := placeholderAt(word, args, number)
		if !ok {
			b.WriteByte(word[0])
			word = word[1:]
			continue
		}
		for i, text := range texts {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(as(text))
		}
		word = rest
	}
	return b.String()
}

func hasPlaceholder(word string) bool {
	for i := range len(word) {
		if _, _, ok := placeholderAt(word[i:], nil, 0); ok {
			return true
		}
	}
	return false
}

// placeholderAt returns what stands for the placeholder that word begins with.
func placeholderAt(word string, args []string, number int) (texts []string, rest string, ok bool) {
	if !strings.HasPrefix(word, "{") {
		return nil, "", false
	}
	name, rest, closed := strings.Cut(word[1:], "}")
	if !closed {
		return nil, "", false
	}
	if name == "#" {
		return []string{strconv.Itoa(number)}, rest, true
	}
	digits := len(name) - len(strings.TrimLeft(name, "-0123456789"))
	kind := name[digits:]
	if _, known := partOf("", kind); !known {
		return nil, "", false
	}
	if digits > 0 {
		n, err := strconv.Atoi(name[:digits])
		if err != nil || n == 0 {
			return nil, "", false
		}
		args = argument(args, n)
	}
	texts = make([]string, len(args))
	for i, arg := range args {
		texts[i], _ = partOf(arg, kind)
	}
	return texts, rest, true
}

// argument is the one of a number, from the end if that is negative; none if there is
// none.
func argument(args []string, n int) []string {
	if n < 0 {
		n += len(args) + 1
	}
	if n < 1 || n > len(args) {
		return nil
	}
	return args[n-1 : n]
}

// partOf is what a placeholder takes of an argument; kind is how it ends. It cuts
// text, as GNU parallel does, and knows nothing of files: {.} of .profile is empty.
func partOf(arg, kind string) (part string, known bool) {
	base := arg[strings.LastIndexByte(arg, '/')+1:]
	ext := ""
	if at := strings.LastIndexByte(base, '.'); at >= 0 {
		ext = base[at:]
	}
	switch kind {
	case "":
		return arg, true
	case ".":
		return strings.TrimSuffix(arg, ext), true
	case "/":
		return base, true
	case "/.":
		return strings.TrimSuffix(base, ext), true
	case "//":
		return folderOf(arg), true
	}
	return "", false
}

// folderOf is what dirname says of a path.
func folderOf(path string) string {
	trimmed := strings.TrimRight(path, "/")
	folder := strings.TrimRight(trimmed[:strings.LastIndexByte(trimmed, '/')+1], "/")
	switch {
	case folder != "":
		return folder
	case strings.HasPrefix(path, "/"):
		return "/"
	}
	return "."
}

// quoteForShell makes one word of s in the language of sh.
func quoteForShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
