package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"tutti/internal/acl"
	"tutti/internal/keyspace"
)

// Users are rows of the meta shard beside the map:
//
//	'u' name     version:1=1 born:8 rules:uvarint { text }; text is its length as an uvarint and its bytes
//	'U'          version:1=1 epoch:8, raised by every change of a user
//
// Without a row for it, the default user may do everything and needs no password;
// without 'U' the epoch is the first one.
const (
	rowUser      = 'u'
	rowUserEpoch = 'U'

	usersVersion = 1
)

// ErrUsers says that bytes are no users.
var ErrUsers = errors.New("malformed record of users")

// encodeUser returns the row of a user.
func encodeUser(u *acl.User) []byte {
	b := be.AppendUint64([]byte{usersVersion}, u.Born)
	b = binary.AppendUvarint(b, uint64(len(u.Rules())))
	for _, r := range u.Rules() {
		b = appendText(b, r)
	}
	return b
}

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// cutText takes a text from the head of b.
func cutText(b []byte) (text, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

func checkUsersVersion(b []byte) error {
	if len(b) == 0 {
		return ErrUsers
	}
	if b[0] != usersVersion {
		return fmt.Errorf("version %d, this tutti knows version %d: %w", b[0], usersVersion, ErrUsers)
	}
	return nil
}

func decodeUser(c *acl.Catalog, name string, b []byte) (*acl.User, error) {
	if err := checkUsersVersion(b); err != nil {
		return nil, err
	}
	if len(b) < 9 {
		return nil, ErrUsers
	}
	born := be.Uint64(b[1:])
	n, w := binary.Uvarint(b[9:])
	if w <= 0 || n > uint64(len(b)) {
		return nil, ErrUsers
	}
	b = b[9+w:]
	var rules []string
	for range n {
		text, rest, ok := cutText(b)
		if !ok || len(text) == 0 {
			return nil, ErrUsers
		}
		rules, b = append(rules, string(text)), rest
	}
	if len(b) > 0 {
		return nil, ErrUsers
	}
	u, err := acl.Restore(c, name, born, rules)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsers, err)
	}
	return u, nil
}

// UserRows returns the rows that hold users, for a cluster that begins with them.
func UserRows(s *acl.Set) []Row {
	rows := []Row{{keyspace.MetaRow(rowUserEpoch), keyspace.EncodeUsersEpoch(s.Epoch)}}
	for _, u := range s.All() {
		rows = append(rows, Row{keyspace.MetaRow(rowUser, []byte(u.Name)...), encodeUser(u)})
	}
	return rows
}

// UserEpoch reads the epoch of the users from a state of the meta shard.
func UserEpoch(r keyspace.Reader) (uint64, error) {
	val, ok, err := r.Get(keyspace.MetaRow(rowUserEpoch), nil)
	if err != nil || !ok {
		return acl.FirstEpoch, err
	}
	epoch, ok := keyspace.DecodeUsersEpoch(val)
	if !ok {
		return 0, fmt.Errorf("epoch %x: %w", val, ErrUsers)
	}
	return epoch, nil
}

// LoadUsers reads the users from a state of the meta shard. The map's Load passes
// over their rows.
func LoadUsers(r keyspace.Reader, c *acl.Catalog) (*acl.Set, error) {
	epoch, err := UserEpoch(r)
	if err != nil {
		return nil, fmt.Errorf("epoch of the users: %w", err)
	}
	it, err := r.Iter(keyspace.MetaRow(rowUser), keyspace.MetaRow(rowUser+1))
	if err != nil {
		return nil, err
	}
	var users []*acl.User
	prefix := len(keyspace.MetaRow(rowUser))
	for ok := it.First(); ok; ok = it.Next() {
		u, err := decodeUser(c, string(it.Key()[prefix:]), it.Value())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("user %.100q: %w", it.Key()[prefix:], err), it.Close())
		}
		users = append(users, u)
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	return acl.NewSet(c, epoch, users), nil
}

// EncodeUsers appends the record of all users, which nodes tell each other and
// keep:
//
//	version:1=1 epoch:8 users:uvarint { name:text row:text }
func EncodeUsers(b []byte, s *acl.Set) []byte {
	b = be.AppendUint64(append(b, usersVersion), s.Epoch)
	all := s.All()
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, u := range all {
		b = appendText(appendText(b, u.Name), encodeUser(u))
	}
	return b
}

// DecodeUsers reads what EncodeUsers wrote.
func DecodeUsers(c *acl.Catalog, b []byte) (*acl.Set, error) {
	if err := checkUsersVersion(b); err != nil {
		return nil, err
	}
	if len(b) < 9 {
		return nil, ErrUsers
	}
	epoch := be.Uint64(b[1:])
	n, w := binary.Uvarint(b[9:])
	if w <= 0 || n > acl.UsersMax {
		return nil, ErrUsers
	}
	b = b[9+w:]
	var users []*acl.User
	for range n {
		name, rest, ok := cutText(b)
		if !ok {
			return nil, ErrUsers
		}
		row, rest, ok := cutText(rest)
		if !ok {
			return nil, ErrUsers
		}
		u, err := decodeUser(c, string(name), row)
		if err != nil {
			return nil, fmt.Errorf("user %.100q: %w", name, err)
		}
		users, b = append(users, u), rest
	}
	if len(b) > 0 {
		return nil, ErrUsers
	}
	return acl.NewSet(c, epoch, users), nil
}

// UserChange is a change of users inside a transaction.
type UserChange struct {
	tx  *keyspace.Tx
	c   *acl.Catalog
	Set *acl.Set // as it was
}

// BeginUsers reads the users that tx sees.
func BeginUsers(tx *keyspace.Tx, c *acl.Catalog) (*UserChange, error) {
	s, err := LoadUsers(reader{tx}, c)
	if err != nil {
		return nil, err
	}
	return &UserChange{tx, c, s}, nil
}

// Put makes or changes a user by rules, and returns the epoch from which they hold:
// a new one, unless the user is already so.
func (x *UserChange) Put(name string, rules []string) (epoch uint64, err error) {
	if err := acl.NameError(name); err != nil {
		return 0, err
	}
	old := x.Set.User(name)
	epoch = x.Set.Epoch + 1
	born := epoch
	if name == acl.Default {
		born = 0 // it was always there
	}
	if old == nil && len(x.Set.All()) >= acl.UsersMax {
		return 0, fmt.Errorf("%w: there are %d users, the most that a cluster has", ErrNotAllowed, acl.UsersMax)
	}
	u, err := acl.Change(x.c, old, name, born, rules)
	if err != nil {
		return 0, err
	}
	if old != nil && slices.Equal(old.Rules(), u.Rules()) {
		return x.Set.Epoch, nil
	}
	if err := x.checkRule(map[string]*acl.User{name: u}); err != nil {
		return 0, err
	}
	x.tx.Put(keyspace.MetaRow(rowUser, []byte(name)...), encodeUser(u))
	x.tx.Put(keyspace.MetaRow(rowUserEpoch), keyspace.EncodeUsersEpoch(epoch))
	return epoch, nil
}

// Delete removes users and returns how many of them there were, and the epoch from
// which they are gone.
func (x *UserChange) Delete(names []string) (deleted int, epoch uint64, err error) {
	if slices.Contains(names, acl.Default) {
		return 0, 0, errors.New("The 'default' user cannot be removed") //nolint:staticcheck // Redis's words
	}
	gone := make(map[string]*acl.User, len(names))
	for _, name := range names {
		gone[name] = nil
	}
	if err := x.checkRule(gone); err != nil {
		return 0, 0, err
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if x.Set.User(name) != nil {
			x.tx.Delete(keyspace.MetaRow(rowUser, []byte(name)...))
			deleted++
		}
	}
	if deleted == 0 {
		return 0, x.Set.Epoch, nil
	}
	x.tx.Put(keyspace.MetaRow(rowUserEpoch), keyspace.EncodeUsersEpoch(x.Set.Epoch+1))
	return deleted, x.Set.Epoch + 1, nil
}

// checkRule refuses a change after which nobody could change users any more: there is no
// file to mend and no way around a login, so the cluster could never be administered
// again. next are the users as they are to be, nil those who go.
func (x *UserChange) checkRule(next map[string]*acl.User) error {
	could := false
	for _, u := range append(x.Set.All(), x.Set.Default()) {
		if !u.MayChangeUsers(x.c) {
			continue
		}
		could = true
		if _, changed := next[u.Name]; !changed {
			return nil
		}
	}
	for _, u := range next {
		if u != nil && u.MayChangeUsers(x.c) {
			return nil
		}
	}
	if !could {
		return nil
	}
	return fmt.Errorf("%w: nobody who can log in could change users any more; make another such user first: ACL SETUSER name on >password ~* &* +@all", ErrNotAllowed)
}
