package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

func TestCountWords(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, " \n": 0, "one": 1, "one two": 2, "(one)two": 2, "a_1 b-2": 3, "größer als": 2, "end.": 1,
	} {
		if got := countWords([]byte(text)).Words; got != want {
			t.Errorf("%q has %d words, not %d", text, got, want)
		}
	}
	whole, parts := countWords([]byte("to be or not to be")), wordCount{}
	parts.add(countWords([]byte("be to not")))
	parts.add(countWords([]byte("or be, to")))
	if whole != parts {
		t.Errorf("%+v of the whole, %+v of its parts in another order", whole, parts)
	}
	for _, other := range []string{"to be or not to bee", "to be or not to", "to be or not be be"} {
		if countWords([]byte(other)) == whole {
			t.Errorf("%q counts as other words", other)
		}
	}
}

// Every file is in one task, whatever the sizes are.
func TestWordTasks(t *testing.T) {
	for _, sizes := range [][]int{{5}, {0}, {0, 0, 0}, {1 << 20, 1, 1, 1 << 20}, slices.Repeat([]int{1000}, 500)} {
		var files []fileReceipt
		var want []string
		for i, size := range sizes {
			files = append(files, fileReceipt{path: fmt.Sprintf("dir/%d\n.go", i), size: size})
			want = append(want, files[i].path)
		}
		payloads := wordTasks(files)
		var got []string
		for _, p := range payloads {
			var paths []string
			if err := json.Unmarshal([]byte(p), &paths); err != nil || len(paths) == 0 {
				t.Fatal(p, err)
			}
			got = append(got, paths...)
		}
		if !slices.Equal(got, want) || len(payloads) > wordTasksMax+1 {
			t.Errorf("%d tasks of %d files name %d", len(payloads), len(files), len(got))
		}
	}
}
