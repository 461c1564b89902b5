package trust

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tutti/internal/durable"
)

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "keys")
	ca := newCA(t, "red")
	request := newTestRequest(t)
	if err := errors.Join(request.Save(vfs.Default, dir), issue(t, ca, 7, now).Save(vfs.Default, dir)); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{RequestFile: 0o600, CAFile: 0o644, NodeFile: 0o644, NodeKeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2*4 {
		t.Errorf("%d files left, want two copies of 4", len(files))
	}
	seven, err := Load(vfs.Default, dir)
	if err != nil || seven.String() != "tutti://red/node/7" {
		t.Fatalf("loaded %v, %v", seven, err)
	}
	loaded, err := LoadRequest(vfs.Default, dir, rand.Reader)
	if err != nil || !loaded.key.Equal(request.key) {
		t.Fatalf("loaded another key, %v", err)
	}
	roots, node, err := ca.Sign(loaded.Bytes(), 8, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eight, err := request.Identity(roots, node)
	if err != nil {
		t.Fatal(err)
	}
	serverErr, clientErr, _, _ := handshake(ServerConfig(NewHolder(seven), members(7, 8)), ClientConfig(NewHolder(eight), 7, anyone))
	if serverErr != nil || clientErr != nil {
		t.Errorf("server: %v, client: %v", serverErr, clientErr)
	}
	if err := errors.Join(RemoveRequest(vfs.Default, dir), RemoveRequest(vfs.Default, dir)); err != nil {
		t.Error(err)
	}
	if _, err := LoadRequest(vfs.Default, dir, rand.Reader); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

func newTestRequest(t *testing.T) *Request {
	t.Helper()
	r, err := NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExposedKeyRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		t.Run(mode.String(), func(t *testing.T) {
			dir := t.TempDir()
			ca := newCA(t, "red")
			if err := errors.Join(newTestRequest(t).Save(vfs.Default, dir), issue(t, ca, 1, now).Save(vfs.Default, dir)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{RequestFile, NodeKeyFile} {
				if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Load(vfs.Default, dir); !errors.Is(err, ErrKeyExposed) {
				t.Errorf("Load: %v", err)
			}
			if _, err := LoadRequest(vfs.Default, dir, rand.Reader); !errors.Is(err, ErrKeyExposed) {
				t.Errorf("LoadRequest: %v", err)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(vfs.Default, t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load: %v", err)
	}
	if _, err := LoadRequest(vfs.Default, t.TempDir(), rand.Reader); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LoadRequest: %v", err)
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

// TestParseCARefusesNode gives ParseCA the certificate and key of a node.
func TestParseCARefusesNode(t *testing.T) {
	ca, node, key, err := issue(t, newCA(t, "red"), 1, now).PEM()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCA(node, key); err == nil {
		t.Error("a node passes for a CA")
	}
	if _, err := ParseCA(ca, key); err == nil {
		t.Error("a CA was taken with the key of a node")
	}
}

// TestFilesSurvivePowerCuts cuts the power after each step of saving a node over
// another: a file is the old one or the new one, and what Save has returned from
// is there.
func TestFilesSurvivePowerCuts(t *testing.T) {
	ca := newCA(t, "red")
	old, next := issue(t, ca, 1, now), issue(t, ca, 1, now)
	mem := vfs.NewCrashableMem()
	if err := mem.MkdirAll("/n", 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := mem.OpenDir("/")
	if err == nil {
		err = errors.Join(root.Sync(), root.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Save(mem, "/n"); err != nil {
		t.Fatal(err)
	}
	saved, err := loadAll(mem.CrashClone(vfs.CrashCloneCfg{}), "/n", []textFile{{name: NodeFile}})
	if err != nil || !bytes.Equal(saved[0], encode(certType, old.leaf.Raw)) {
		t.Fatalf("not durable: %v", err)
	}
	steps := 0
	cutting := errorfs.Wrap(mem, errorfs.InjectorFunc(func(errorfs.Op) error {
		steps++
		got, err := loadAll(mem.CrashClone(vfs.CrashCloneCfg{}), "/n", []textFile{{name: CAFile}, {name: NodeFile}, {name: NodeKeyFile, who: secret}})
		if err != nil {
			t.Fatalf("step %d: %v", steps, err)
		}
		if text := got[1]; !bytes.Equal(text, encode(certType, old.leaf.Raw)) && !bytes.Equal(text, encode(certType, next.leaf.Raw)) {
			t.Errorf("step %d: neither certificate", steps)
		}
		return nil
	}))
	if err := next.Save(cutting, "/n"); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(mem.CrashClone(vfs.CrashCloneCfg{}), "/n"); err != nil || !got.leaf.Equal(next.leaf) {
		t.Errorf("not durable: %v", err)
	}
}

// TestFlippedFile flips each bit of each file: none is taken. One damaged copy is
// mended, two are an error.
func TestFlippedFile(t *testing.T) {
	mem := vfs.NewMem()
	ca := newCA(t, "red")
	if err := errors.Join(newTestRequest(t).Save(mem, "/n"), issue(t, ca, 7, now).Save(mem, "/n")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{CAFile, NodeFile, NodeKeyFile, RequestFile} {
		b, err := readFile(mem, "/n/"+name, public)
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(b) {
			flipped := bytes.Clone(b)
			flipped[bit/8] ^= 1 << (bit % 8)
			if _, err := unseal(flipped); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s with bit %d flipped: %v", name, bit, err)
			}
		}
		for n := range b {
			if _, err := unseal(b[:n]); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%d bytes of %s: %v", n, name, err)
			}
		}
		half := b[:len(b)/2]
		for _, damaged := range []string{name, name + secondCopy} {
			if err := durable.Write(mem, "/n/"+damaged, half, public.mode()); err != nil {
				t.Fatal(err)
			}
			_, identErr := Load(mem, "/n")
			_, requestErr := LoadRequest(mem, "/n", rand.Reader)
			if err := errors.Join(identErr, requestErr); err != nil {
				t.Errorf("half of %s: %v", damaged, err)
			}
			if got, err := readFile(mem, "/n/"+damaged, public); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s is not mended: %v", damaged, err)
			}
		}
		if err := errors.Join(durable.Write(mem, "/n/"+name, half, public.mode()), durable.Write(mem, "/n/"+name+secondCopy, half, public.mode())); err != nil {
			t.Fatal(err)
		}
		_, identErr := Load(mem, "/n")
		_, requestErr := LoadRequest(mem, "/n", rand.Reader)
		if !errors.Is(errors.Join(identErr, requestErr), ErrDamaged) {
			t.Errorf("half of %s: %v, %v", name, identErr, requestErr)
		}
		if err := durable.Write(mem, "/n/"+name, b, public.mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLaterFormat reads a file of a later version: it is not damaged.
func TestLaterFormat(t *testing.T) {
	later := append(fmt.Appendf(nil, sealLine, 2, checksum(2, []byte("text"))), "text"...)
	if _, err := unseal(later); !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// noModes is the file system of the machine behind a layer that forgets modes.
type noModes struct{ vfs.FS }

func (n noModes) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := n.FS.Create(name, c)
	return struct{ vfs.File }{f}, err
}

// TestModeThatCannotBeSet refuses to write a key that others could read.
func TestModeThatCannotBeSet(t *testing.T) {
	dir := t.TempDir()
	if err := newTestRequest(t).Save(noModes{vfs.Default}, dir); err == nil {
		t.Error("saved")
	}
	if _, err := os.Stat(filepath.Join(dir, RequestFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key is there: %v", err)
	}
}

// spying looks at the modes of what is on the way to its place.
type spying struct {
	vfs.FS
	t *testing.T
}

func (s spying) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	s.t.Helper()
	if info, err := os.Stat(filepath.Dir(name)); err != nil || info.Mode().Perm()&0o077 != 0 {
		s.t.Errorf("%s is made in a folder of mode %v, %v", name, info.Mode(), err)
	}
	return s.FS.Create(name, c)
}

// TestKeyIsNeverOpenToOthers makes keys in a folder that others may read.
func TestKeyIsNeverOpenToOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := newTestRequest(t).Save(spying{vfs.Default, t}, dir); err != nil {
		t.Error(err)
	}
}
