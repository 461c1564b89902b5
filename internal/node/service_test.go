package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/store"
)

// A start that refuses what clients are to speak keeps nothing of it: the next start,
// which says nothing of it, is as before.
func TestRefusedServiceIsNotKept(t *testing.T) {
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	was := Self{Cluster: "red", Node: 1, Peer: "10.0.0.1:7379", Client: "10.0.0.1:6379", Service: Service{TLS: true}}
	if err := was.write(vfs.Default, dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		service Service
		want    error
	}{
		{Service{}, ErrExposed},
		{Service{TLS: true, Cert: junk}, ErrPair},
		{Service{TLS: true, Cert: junk, Key: junk}, ErrPair},
		{Service{TLS: true, Cert: junk, Key: filepath.Join(dir, "nothing")}, ErrPair},
	} {
		s := was
		if err := s.setService(Config{FS: vfs.Default, Dir: dir, Service: &c.service}); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.service, err, c.want)
		}
		kept, err := readSelf(vfs.Default, dir, store.ReadTwice)
		if err != nil || kept.Service != was.Service || s.Service != was.Service {
			t.Errorf("%+v: %+v is kept, %v", c.service, kept.Service, err)
		}
	}
}
