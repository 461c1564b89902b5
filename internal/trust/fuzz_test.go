package trust

import (
	"bytes"
	"crypto/rand"
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
	dir := f.TempDir()
	if err := ca.Save(dir); err != nil {
		f.Fatal(err)
	}
	cert, err := readFile(dir + "/" + CAFile)
	if err != nil {
		f.Fatal(err)
	}
	key, err := readFile(dir + "/" + CAKeyFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert, key)
	f.Add(key, cert)
	f.Add(append(bytes.Clone(cert), cert...), key)
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		ca, err := parseCA(cert, key)
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
