package trust

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"tutti/internal/cluster"
)

// FuzzParsePEM reads any texts as the files of a node: what is taken belongs
// together, and is read again from what is written of it.
func FuzzParsePEM(f *testing.F) {
	ca, err := NewCA("green", now, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	add := func(id cluster.NodeID) (roots, node, key []byte) {
		i, err := ca.IssueNode(id, now, rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		if roots, node, key, err = i.PEM(); err != nil {
			f.Fatal(err)
		}
		f.Add(roots, node, key)
		return roots, node, key
	}
	roots, node, key := add(7)
	_, _, otherKey := add(1<<16 - 1)
	f.Add(roots, node, otherKey)
	f.Add(roots, roots, key)
	f.Add(append(bytes.Clone(roots), node...), node, key)
	f.Add([]byte{}, node, key[:len(key)/2])
	f.Fuzz(func(t *testing.T, roots, node, key []byte) {
		i, err := ParsePEM(roots, node, key)
		if err != nil {
			return
		}
		if !i.key.PublicKey.Equal(i.leaf.PublicKey) {
			t.Fatal("the key is that of another certificate")
		}
		a, b, c, err := i.PEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePEM(a, b, c)
		if err != nil || again.NodeID != i.NodeID || again.Cluster != i.Cluster || !again.leaf.Equal(i.leaf) || len(again.roots) != len(i.roots) {
			t.Errorf("%v becomes %v, %v", i, again, err)
		}
	})
}

// FuzzParseCA reads any texts as the files of an authority: what is taken can
// issue an identity that is accepted.
func FuzzParseCA(f *testing.F) {
	ca, err := NewCA("green", now, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	cert, key, err := ca.PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert, key)
	f.Add(key, cert)
	f.Add(append(bytes.Clone(cert), cert...), key)
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		ca, err := ParseCA(cert, key)
		if err != nil {
			return
		}
		i, err := ca.IssueNode(3, now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a, b, c, err := i.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParsePEM(a, b, c); err != nil || again.NodeID != 3 || again.Cluster != ca.Cluster {
			t.Errorf("%v, %v", again, err)
		}
	})
}

// FuzzRequest reads any bytes as a request: what is signed names who we say, has
// the key of the request, and is a member like any other.
func FuzzRequest(f *testing.F) {
	ca, err := NewCA("green", now, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	r, err := NewRequest(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Bytes())
	f.Add(r.Bytes()[1:])
	f.Add(append(r.Bytes(), 0))
	f.Add(ca.cert.Raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		roots, node, err := ca.Sign(b, 3, now, rand.Reader)
		if err != nil {
			if !errors.Is(err, ErrRequest) && !errors.Is(err, ErrVersion) {
				t.Errorf("refused for another reason: %v", err)
			}
			return
		}
		leaf, err := parseLeaf(node)
		if err != nil {
			t.Fatal(err)
		}
		key, err := requestKey(b)
		if err != nil || !key.Equal(leaf.PublicKey) {
			t.Fatalf("signed another key: %v", err)
		}
		if id, n, err := nodeName(leaf); err != nil || id != "green" || n != 3 {
			t.Errorf("signed %s, %d, %v", id, n, err)
		}
		if _, err := parseCerts(roots); err != nil {
			t.Error(err)
		}
	})
}

// FuzzUnseal reads any bytes as a file: what is taken would be written so.
func FuzzUnseal(f *testing.F) {
	f.Add(seal([]byte("text")))
	f.Add([]byte("tutti identity, format 01, CRC-32C 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if text, err := unseal(b); err == nil && !bytes.Equal(seal(text), b) {
			t.Errorf("%q is read as %q", b, text)
		}
	})
}
