package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tutti/internal/resp"
)

// Bounds of the input.
const (
	inputFileSizeMax = 1 << 20
	inputSizeMax     = 32 << 20
	inputFilesMax    = 10_000
	loadersCount     = 4
	loadTimeout      = 20 * time.Second // of one file
	filesBySize      = "files:by-size"
)

var errEnough = errors.New("enough input")

// inputFile is a file to be loaded.
type inputFile struct {
	path string // below the root, with slashes
	size int64
}

// fileReceipt is kept of a file that the cluster has acknowledged: four writes.
type fileReceipt struct {
	path string
	size int
	sum  [sha256.Size]byte
	node int // index of the node that took it
}

const writesPerFile = 4

func totalSize(receipts []fileReceipt) int64 {
	var n int64
	for i := range receipts {
		n += int64(receipts[i].size)
	}
	return n
}

// inputFolder returns dir, or the sources of the Go toolchain if it is empty.
func inputFolder(dir string) (string, error) {
	if dir == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return "", &exitError{code: exitFailed, what: "there is no Go toolchain here whose sources could be the input",
				safe: "nothing was started", do: "tutti demo --input DIR, with any folder of files"}
		}
		dir = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", &exitError{code: exitFailed, what: dir + " is not a folder that can be read", safe: "nothing was started",
			do: "tutti demo --input DIR, with any folder of files"}
	}
	return dir, nil
}

// inputFiles lists the files below root that are loaded, in path order.
func inputFiles(root string) (files []inputFile, size int64, err error) {
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if d != nil && d.IsDir() {
				return fs.SkipDir // what this user may not read is not input
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > inputFileSizeMax {
			return nil
		}
		if size+info.Size() > inputSizeMax || len(files) == inputFilesMax {
			return errEnough
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files = append(files, inputFile{filepath.ToSlash(rel), info.Size()})
		size += info.Size()
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, 0, err
	}
	if len(files) == 0 {
		return nil, 0, fmt.Errorf("%s holds no file of up to %d bytes", root, inputFileSizeMax)
	}
	return files, size, nil
}

func contentKey(p string) string { return "content:" + p }
func fileKey(p string) string    { return "file:" + p }

func extensionKey(p string) string {
	if ext := path.Ext(p); ext != "" {
		return "extension:" + ext
	}
	return "extension:none"
}

// load stores the files through random nodes and returns a receipt for each.
func load(ctx context.Context, nodes []target, root string, files []inputFile, progress func(bytes int64)) ([]fileReceipt, error) {
	receipts := make([]fileReceipt, len(files))
	err := inParallel(ctx, nodes, len(files), func(conns *clients, i int) error {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(files[i].path)))
		if err != nil {
			return fmt.Errorf("read input: %w", err)
		}
		r := fileReceipt{path: files[i].path, size: len(content), sum: sha256.Sum256(content), node: rand.IntN(len(nodes))}
		info, err := os.Stat(filepath.Join(root, filepath.FromSlash(r.path)))
		if err != nil {
			return fmt.Errorf("read input: %w", err)
		}
		if err := r.store(conns, content, info); err != nil {
			return fmt.Errorf("store %s through node %d: %w", r.path, r.node+1, err)
		}
		receipts[i] = r
		progress(files[i].size)
		return nil
	})
	return receipts, err
}

// store sends the four writes of a file and wants each acknowledged as new.
func (r *fileReceipt) store(conns *clients, content []byte, info fs.FileInfo) error {
	size := strconv.Itoa(r.size)
	replies, _, err := conns.call(r.node,
		[]string{"HSET", fileKey(r.path), "size", size, "mode", info.Mode().String(),
			"modified", info.ModTime().UTC().Format(time.RFC3339), "sha256", hex.EncodeToString(r.sum[:])},
		[]string{"SET", contentKey(r.path), string(content)},
		[]string{"SADD", extensionKey(r.path), r.path},
		[]string{"ZADD", filesBySize, size, r.path})
	if err != nil {
		return err
	}
	for i, want := range [writesPerFile]string{"4", "OK", "1", "1"} {
		if got := replies[i].String(); got != want {
			return fmt.Errorf("answer %d is %s, not %s", i+1, got, want)
		}
	}
	return nil
}

// verify reads every file back through the node that through chooses and
// returns how many are equal, and what was found of others (some of them).
func verify(ctx context.Context, nodes []target, receipts []fileReceipt, through func(r *fileReceipt) int, progress func(bytes int64)) (equal int, unlike []string, err error) {
	var count atomic.Int64
	var mu sync.Mutex // guards unlike
	err = inParallel(ctx, nodes, len(receipts), func(conns *clients, i int) error {
		r := &receipts[i]
		node := through(r)
		what, err := r.compare(conns, node)
		if err != nil {
			return fmt.Errorf("read %s back through node %d: %w", r.path, node+1, err)
		}
		if what == "" {
			count.Add(1)
		} else {
			mu.Lock()
			unlike = append(unlike, fmt.Sprintf("%s, read through node %d: %s", r.path, node+1, what))
			mu.Unlock()
		}
		progress(int64(r.size))
		return nil
	})
	return int(count.Load()), unlike, err
}

// compare says what is not as it was acknowledged, "" if all is.
func (r *fileReceipt) compare(conns *clients, node int) (string, error) {
	replies, _, err := conns.call(node,
		[]string{"GET", contentKey(r.path)},
		[]string{"HMGET", fileKey(r.path), "size", "sha256"},
		[]string{"SISMEMBER", extensionKey(r.path), r.path},
		[]string{"ZSCORE", filesBySize, r.path})
	if err != nil {
		return "", err
	}
	content, size := replies[0], strconv.Itoa(r.size)
	switch {
	case content.IsError() || content.Null:
		return "its content is " + content.String(), nil
	case sha256.Sum256(content.Str) != r.sum:
		return fmt.Sprintf("its %d bytes have another SHA-256 than its %d bytes had", len(content.Str), r.size), nil
	}
	meta := resp.Value{Kind: resp.KindArray, Elems: []resp.Value{
		{Kind: resp.KindBulk, Str: []byte(size)}, {Kind: resp.KindBulk, Str: []byte(hex.EncodeToString(r.sum[:]))}}}
	for i, want := range []string{meta.String(), "1", strconv.Quote(size)} {
		if got := replies[i+1].String(); got != want {
			return [...]string{"its hash", "its place in the set of its extension", "its place in the sorted set"}[i] + " is " + got + ", not " + want, nil
		}
	}
	return "", nil
}

// verifyTotals counts what the set and the sorted set hold: what nobody wrote
// shows there.
func verifyTotals(nodes []target, receipts []fileReceipt) (unlike []string, err error) {
	conns := newClients(nodes, loadTimeout)
	defer conns.close()
	byExtension := map[string]int{}
	for i := range receipts {
		byExtension[extensionKey(receipts[i].path)]++
	}
	commands := [][]string{{"ZCARD", filesBySize}}
	want := []int{len(receipts)}
	for key, n := range byExtension {
		commands, want = append(commands, []string{"SCARD", key}), append(want, n)
	}
	replies, _, err := conns.call(rand.IntN(len(nodes)), commands...)
	if err != nil {
		return nil, err
	}
	for i, v := range replies {
		if v.String() != strconv.Itoa(want[i]) {
			unlike = append(unlike, fmt.Sprintf("%s %s answers %s, %d were stored", commands[i][0], commands[i][1], v, want[i]))
		}
	}
	return unlike, nil
}

// inParallel calls work for 0 to n-1, a few at a time, each worker with its own
// connections. The first error ends it.
func inParallel(ctx context.Context, nodes []target, n int, work func(conns *clients, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range loadersCount {
		wg.Go(func() {
			conns := newClients(nodes, loadTimeout)
			defer conns.close()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(conns, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// countTogether lets every node increase one counter at the same time and
// returns what is not as it must be: all answers different, from 1 to their
// number, and the sum read through every node.
func countTogether(ctx context.Context, nodes []target, key string, perNode int) (unlike []string, err error) {
	total := perNode * len(nodes)
	answers := make([]int64, total)
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for n := range nodes {
		wg.Go(func() {
			conns := newClients(nodes, loadTimeout)
			defer conns.close()
			for i := 0; i < perNode && ctx.Err() == nil && errs[n] == nil; i++ {
				var replies []resp.Value
				if replies, _, errs[n] = conns.call(n, []string{"INCR", key}); errs[n] == nil {
					answers[n*perNode+i] = replies[0].Int
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, err
	}
	seen := make([]bool, total+1)
	for _, a := range answers {
		if a < 1 || a > int64(total) || seen[a] {
			unlike = append(unlike, fmt.Sprintf("INCR answered %d out of turn", a))
			continue
		}
		seen[a] = true
	}
	more, err := readEverywhere(nodes, key, strconv.Itoa(total))
	return append(unlike, more...), err
}

// readEverywhere reads a string through every node.
func readEverywhere(nodes []target, key, want string) (unlike []string, err error) {
	conns := newClients(nodes, loadTimeout)
	defer conns.close()
	for n := range nodes {
		replies, _, err := conns.call(n, []string{"GET", key})
		if err != nil {
			return nil, err
		}
		if v := replies[0]; v.IsError() || !bytes.Equal(v.Str, []byte(want)) {
			unlike = append(unlike, fmt.Sprintf("%s is %s through node %d, not %s", key, v, n+1, want))
		}
	}
	return unlike, nil
}
