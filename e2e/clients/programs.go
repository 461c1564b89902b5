package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tutti/e2e/process"
)

// mode is the way a client finds a node.
type mode string

// The modes.
const (
	modeNode     mode = "one node"
	modeGateway  mode = "gateway"
	modeSentinel mode = "sentinel"
	modeCluster  mode = "cluster"
)

var modes = []mode{modeNode, modeGateway, modeSentinel, modeCluster}

// file is the base of the name of the file with the settings. The same ones are
// right for a gateway and for a node.
func (m mode) file() string {
	switch m {
	case modeNode, modeGateway:
		return "plain"
	case modeSentinel:
		return "sentinel"
	case modeCluster:
		return "cluster"
	}
	panic(fmt.Sprintf("unknown mode %q", string(m)))
}

// addrs are the addresses that a client of the mode is given.
func (m mode) addrs(c *cluster) []string {
	switch m {
	case modeNode:
		return c.addrs[:1]
	case modeGateway:
		return c.addrs[gateway:]
	}
	return c.addrs[:storageNodes]
}

// library is a client library, for which there is a program in a folder beside
// this file.
type library struct {
	name string // as its makers call it
	dir  string
	ext  string // of its files
	// install makes the program, in a work folder, and says which version it has
	// of the library. It is started by command and the base of the name of the file
	// with the settings.
	install func(l library, work string) (command []string, version string, err error)
}

var libraries = []library{
	{name: "go-redis", dir: "goredis", ext: ".go", install: installGo},
	{name: "ioredis", dir: "node/ioredis", ext: ".js", install: installNode},
	{name: "node-redis", dir: "node/redis", ext: ".js", install: installNode},
	{name: "rueidis", dir: "rueidis", ext: ".go", install: installGo},
	{name: "redis-py", dir: "redispy", ext: ".py", install: installPython},
}

// settings is the file that an application would have, from this folder.
func (l library) settings(m mode) string { return filepath.Join(l.dir, m.file()+l.ext) }

func installGo(l library, work string) ([]string, string, error) {
	binary := filepath.Join(work, l.dir)
	if _, err := process.Output("", "go", "build", "-o", binary, "./"+l.dir); err != nil {
		return nil, "", err
	}
	module := map[string]string{"go-redis": "github.com/redis/go-redis/v9", "rueidis": "github.com/redis/rueidis"}[l.name]
	version, err := process.Output("", "go", "list", "-m", "-f", "{{.Version}}", module)
	return []string{binary}, strings.TrimPrefix(version, "v"), err
}

// installNode has npm install both libraries, once, in the work folder.
func installNode(l library, work string) ([]string, string, error) {
	for program, pkg := range map[string]string{"node": "nodejs", "npm": "npm"} {
		if err := process.Bring(program, pkg); err != nil {
			return nil, "", err
		}
	}
	dir, name := filepath.Join(work, "node"), filepath.Base(l.dir)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
			return nil, "", err
		}
		if _, err := process.Output(dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
			return nil, "", err
		}
	}
	version, err := process.Output(dir, "node", "-p", "require('"+name+"/package.json').version")
	return []string{"node", filepath.Join(dir, "main.js"), name}, version, err
}

// python is Debian's: another one does not see its packages.
const python = "/usr/bin/python3"

func installPython(l library, _ string) ([]string, string, error) {
	version := func() (string, error) {
		return process.Output("", python, "-c", "import redis; print(redis.__version__)")
	}
	if _, err := version(); err != nil {
		if err := process.Apt("python3-redis"); err != nil {
			return nil, "", err
		}
	}
	v, err := version()
	return []string{python, "-B", filepath.Join(l.dir, "main.py")}, v, err
}
