package acl

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

func random(b []byte) { _, _ = rand.Read(b) }

func testCatalog() *Catalog { return NewCatalog([]Entry{{Name: "get"}}, nil) }

func changed(t *testing.T, old *User, rules ...string) *User {
	t.Helper()
	u, err := Change(testCatalog(), old, "x", 1, rules)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPasswords(t *testing.T) {
	p := NewPasswords(random)
	hidden, err := p.Hide(nil, nil, []string{"on", ">one", ">two", "#" + SHA256([]byte("three")), ">one", "~a"})
	if err != nil || strings.Contains(strings.Join(hidden, " "), "one") || !strings.HasPrefix(hidden[1], "#$argon2id$v=19$m=19456,t=2,p=1$") || hidden[1] != hidden[4] {
		t.Fatalf("%q, %v", hidden, err)
	}
	u := changed(t, nil, hidden...)
	one, _ := parseArgon(u.passwords[0])
	two, _ := parseArgon(u.passwords[1])
	if len(u.passwords) != 3 || one.cost != two.cost {
		t.Errorf("%q: the salts of one user differ", u.passwords)
	}
	verify := func(u *User, password string, want bool) {
		t.Helper()
		for range 2 { // the second time it is remembered
			if ok, err := p.Verify(nil, u, []byte(password)); ok != want || err != nil {
				t.Errorf("%v with %q: %v, %v", u, password, ok, err)
			}
		}
	}
	for password, want := range map[string]bool{"one": true, "two": true, "three": true, "four": false, "": false} {
		verify(u, password, want)
		verify(changed(t, u, "off"), password, false)
		verify(changed(t, u, "nopass"), password, true)
		verify(changed(t, u, "resetpass"), password, false)
		verify(nil, password, false)
	}
	// A password that is taken away is found, whichever hash it has.
	hidden, err = p.Hide(nil, u, []string{"<one", "<three", ">five"})
	if err != nil {
		t.Fatal(err)
	}
	u = changed(t, u, hidden...)
	for password, want := range map[string]bool{"one": false, "two": true, "three": false, "five": true} {
		verify(u, password, want)
	}
	if hidden, _ = p.Hide(nil, u, []string{"<one"}); hidden[0] != "!"+SHA256([]byte("one")) {
		t.Errorf("%q", hidden)
	}
	hidden, _ = p.Hide(nil, u, []string{"resetpass", ">two"})
	if again := changed(t, u, hidden...); again.passwords[0] == u.passwords[0] {
		t.Error("a password that was taken away came back with its old salt")
	}
}

// TestVerifiedIsRemembered looks that the second login is fast: it takes nobody's
// turn.
func TestVerifiedIsRemembered(t *testing.T) {
	p := NewPasswords(random)
	hidden, _ := p.Hide(nil, nil, []string{"on", ">pw"})
	u := changed(t, nil, hidden...)
	if ok, _ := p.Verify(nil, u, []byte("pw")); !ok {
		t.Fatal("the password is refused")
	}
	fill(p)
	if ok, err := p.Verify(nil, u, []byte("pw")); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	for _, u := range []*User{u, changed(t, u, "resetpass", "#"+SHA256([]byte("other"))), nil} {
		if _, err := p.Verify(nil, u, []byte("wrong")); !errors.Is(err, ErrBusy) {
			t.Errorf("%v: %v", u, err)
		}
	}
	if _, err := p.Hide(nil, u, []string{">more"}); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	if _, err := p.Hide(nil, u, []string{"~a"}); err != nil {
		t.Errorf("without a password: %v", err)
	}
}

// fill lets as many wait as may.
func fill(p *Passwords) {
	for range cap(p.waiters) {
		p.waiters <- struct{}{}
	}
}

// TestGoneWhileWaiting ends the wait for one's turn.
func TestGoneWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPasswords(random)
		for range cap(p.hashers) {
			p.hashers <- struct{}{}
		}
		gone, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := p.Verify(gone, nil, []byte("pw"))
			ended <- err
		}()
		synctest.Wait()
		close(gone)
		if err := <-ended; !errors.Is(err, ErrGone) {
			t.Error(err)
		}
		if len(p.waiters) != 0 {
			t.Error("a place in the queue is lost")
		}
	})
}

func TestVerifiedIsBounded(t *testing.T) {
	p := NewPasswords(random)
	for i := range verifiedMax + 10 {
		p.remember([32]byte{byte(i), byte(i >> 8)})
	}
	if len(p.verified) != verifiedMax {
		t.Error(len(p.verified))
	}
}

func TestManyPasswords(t *testing.T) {
	rules := make([]string, newPasswords+1)
	for i := range rules {
		rules[i] = ">x"
	}
	if _, err := NewPasswords(random).Hide(nil, nil, rules); !errors.Is(err, errPasswords) {
		t.Error(err)
	}
}

func TestParseArgon(t *testing.T) {
	good := "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
	if _, ok := parseArgon(good); !ok {
		t.Error(good)
	}
	for _, bad := range [][2]string{
		{"id$", "i$"}, {"v=19", "v=16"}, {"m=19456", "m=019456"}, {"m=19456", "m=99999999"}, {"m=19456", "m=4294967296"}, {"t=2", "t=0"},
		{"t=2", "t=1000"}, {"p=1", "p=0"}, {"p=1", "p=17"}, {"p=1", "p=1,x"}, {"$MDEyMzQ1Njc4OWFiY2RlZg$", "$MDE$"}, {"WY", "WZ"}, {"WY", "WY="}, {"WY", ""},
		{"MDEy", "MD y"}, {"$argon", "argon"},
	} {
		if hash := strings.Replace(good, bad[0], bad[1], 1); hash == good || validHash(hash) {
			t.Errorf("%s is valid", hash)
		}
	}
}

func FuzzParseArgon(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY")
	f.Fuzz(func(t *testing.T, text string) {
		if a, ok := parseArgon(text); ok && a.String() != text {
			t.Errorf("%q becomes %q", text, a)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	p := NewPasswords(random)
	hidden, _ := p.Hide(nil, nil, []string{"on", ">pw"})
	u, _ := Change(testCatalog(), nil, "x", 1, hidden)
	for name, password := range map[string]string{"remembered": "pw", "wrong": "no"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = p.Verify(nil, u, []byte(password))
			}
		})
	}
}
