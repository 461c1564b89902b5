package main

import (
	"os"
	"path/filepath"

	"tutti/e2e/process"
)

// language is one that there is a worker in. Its name is that of its queue too.
type language struct {
	name    string
	command []string
}

// python is Debian's: another one does not see its packages.
const python = "/usr/bin/python3"

// install brings what the workers need: Debian's python3-redis, and ioredis by npm
// into the work folder.
func install(work string) ([]language, error) {
	if _, err := process.Output("", python, "-c", "import redis"); err != nil {
		if err := process.Apt("python3-redis"); err != nil {
			return nil, err
		}
	}
	for program, pkg := range map[string]string{"node": "nodejs", "npm": "npm"} {
		if err := process.Bring(program, pkg); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"worker.py", "worker.mjs", "package.json", "package-lock.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	if _, err := process.Output(work, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"); err != nil {
		return nil, err
	}
	return []language{
		{"python", []string{python, "-B", "worker.py"}},
		{"node", []string{"node", "worker.mjs"}},
	}, nil
}
