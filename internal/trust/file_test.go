package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "keys")
	ca := newCA(t, "red")
	if err := errors.Join(ca.Save(dir), issue(t, ca, 7, now).Save(dir)); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{CAFile: 0o644, CAKeyFile: 0o600, NodeFile: 0o644, NodeKeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 4 {
		t.Errorf("%d files left, want 4", len(files))
	}
	seven, err := Load(dir)
	if err != nil || seven.String() != "tutti://red/node/7" {
		t.Fatalf("loaded %v, %v", seven, err)
	}
	loaded, err := LoadCA(dir)
	if err != nil || loaded.Cluster != "red" {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	eight := issue(t, loaded, 8, now)
	serverErr, clientErr, _, _ := handshake(ServerConfig(seven, members(7, 8)), ClientConfig(eight, 7))
	if serverErr != nil || clientErr != nil {
		t.Errorf("server: %v, client: %v", serverErr, clientErr)
	}
}

func TestExposedKeyRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := t.TempDir()
			ca := newCA(t, "red")
			if err := errors.Join(ca.Save(dir), issue(t, ca, 1, now).Save(dir)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{CAKeyFile, NodeKeyFile} {
				if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Load(dir); !errors.Is(err, ErrKeyExposed) {
				t.Errorf("Load: %v", err)
			}
			if _, err := LoadCA(dir); !errors.Is(err, ErrKeyExposed) {
				t.Errorf("LoadCA: %v", err)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load: %v", err)
	}
	if _, err := LoadCA(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LoadCA: %v", err)
	}
}

// TestPartsThatDoNotBelongTogether mixes the parts of two nodes and two
// authorities.
func TestPartsThatDoNotBelongTogether(t *testing.T) {
	pemOf := func(ident *Identity) (parts [3]string) {
		ca, node, key, err := ident.PEM()
		if err != nil {
			t.Fatal(err)
		}
		return [3]string{string(ca), string(node), string(key)}
	}
	ca := newCA(t, "red")
	one, two := pemOf(issue(t, ca, 1, now)), pemOf(issue(t, ca, 2, now))
	foreign := pemOf(issue(t, newCA(t, "red"), 1, now))
	for _, c := range []struct {
		name          string
		ca, node, key string
		ok            bool
	}{
		{"all of one", one[0], one[1], one[2], true},
		{"bundle of two CAs", foreign[0] + one[0], one[1], one[2], true},
		{"key of another node", one[0], one[1], two[2], false},
		{"other CA", foreign[0], one[1], one[2], false},
		{"two certificates", one[0], one[1] + two[1], one[2], false},
		{"certificate of the CA", one[0], one[0], one[2], false},
		{"no CA", "", one[1], one[2], false},
		{"no certificate", one[0], "", one[2], false},
		{"no key", one[0], one[1], "", false},
		{"certificate as key", one[0], one[1], one[1], false},
		{"key as certificate", one[0], one[2], one[2], false},
		{"damaged", one[0], strings.Replace(one[1], "M", "N", 1), one[2], false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePEM([]byte(c.ca), []byte(c.node), []byte(c.key))
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestLoadCARefusesNode gives LoadCA the certificate and key of a node.
func TestLoadCARefusesNode(t *testing.T) {
	ca, node, key, err := issue(t, newCA(t, "red"), 1, now).PEM()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseCA(node, key); err == nil {
		t.Error("a node passes for a CA")
	}
	if _, err := parseCA(ca, key); err == nil {
		t.Error("a CA was taken with the key of a node")
	}
}
