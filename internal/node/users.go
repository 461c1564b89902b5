package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tutti/internal/acl"
	"tutti/internal/cluster"
	"tutti/internal/command"
	"tutti/internal/group"
	"tutti/internal/meta"
	"tutti/internal/peer"
	"tutti/internal/resp"
	"tutti/internal/router"
	"tutti/internal/store"
)

// kindUsers is the kind of frames that tell the epoch of the users that the sender
// has: epoch:8.
const kindUsers peer.Kind = 66

const (
	usersFile    = "users"
	usersVersion = 1
)

// userKeeper keeps the node's users the newest there are. Whoever notices that
// there are newer ones says so: a replica of the meta shard here, a peer, or a shard
// that refused a command because of it; then they are asked for. The file users, in
// two copies, version 1: the record of package meta, is what the node goes by until
// meta answers.
type userKeeper struct {
	holder *acl.Holder
	table  *command.Table // the node's; users go by its catalog
	save   func(record []byte) error
	links  *peer.Links
	maps   *cluster.Holder
	self   cluster.NodeID
	router *router.Router
	log    *slog.Logger
	fatal  func(error)

	mu      sync.Mutex    // guards what follows
	wanted  uint64        // the newest epoch that was heard of
	told    uint64        // that of the meta shard's replica here
	heard   heardUsers    // of the peers
	fetched chan struct{} // closed, and made anew, when meta has answered

	wake    chan struct{} // capacity 1: a signal
	quit    chan struct{}
	done    chan struct{}
	running bool // run was called
}

// readUsers reads the users that the node knew last. A node that has no file of them
// knows none yet: nobody may log in before meta has answered.
func readUsers(fs vfs.FS, dir string, c *acl.Catalog, read reader) (*acl.Set, error) {
	t, err := read(fs, dir, usersFile, usersVersion)
	if _, lost := errors.AsType[*store.LostError](err); lost || errors.Is(err, os.ErrNotExist) {
		return acl.Nobody(c), nil // meta has them
	}
	var s *acl.Set
	if err == nil {
		s, err = meta.DecodeUsers(c, t.Body)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", fs.PathJoin(dir, usersFile), err)
	}
	return s, nil
}

func writeUsers(fs vfs.FS, dir string, record []byte) error {
	return store.WriteTwice(fs, dir, usersFile, usersVersion, record)
}

// openUsers returns a keeper of the users, beginning with those that the node knew
// last.
func openUsers(cfg Config, self Self, maps *cluster.Holder, fatal func(error)) (*userKeeper, error) {
	table := command.NewTable()
	set, err := readUsers(cfg.FS, cfg.Dir, table.Catalog(), store.MendTwice)
	if err != nil {
		return nil, err
	}
	return &userKeeper{holder: acl.NewHolder(set), table: table, maps: maps, self: self.Node, log: cfg.Logger, fatal: fatal,
		save:    func(record []byte) error { return writeUsers(cfg.FS, cfg.Dir, record) },
		fetched: make(chan struct{}), heard: newHeardUsers(), wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}, nil
}

// open takes what the keeper speaks with, and registers what it hears.
func (k *userKeeper) open(links *peer.Links, r *router.Router) {
	k.links, k.router = links, r
	links.Handle(kindUsers, func(from cluster.NodeID, b []byte) {
		if len(b) == 8 {
			k.hear(from, binary.BigEndian.Uint64(b))
			k.want(binary.BigEndian.Uint64(b))
		}
	})
}

// run begins to keep the users, once all that it uses has started.
func (k *userKeeper) run() {
	k.running = true
	go k.keep()
}

func (k *userKeeper) close() {
	close(k.quit)
	if k.running {
		<-k.done
	}
}

// tell looks at a state of the meta shard.
func (k *userKeeper) tell(v *store.View) {
	epoch, err := meta.UserEpoch(v)
	if err != nil {
		k.log.Error("the users can't be read from their shard", slog.Any("error", err))
		return
	}
	k.mu.Lock()
	k.told = max(k.told, epoch)
	k.mu.Unlock()
	k.want(epoch)
}

// linkUp tells a peer which users this node has.
func (k *userKeeper) linkUp(node cluster.NodeID) { k.announce(node, k.holder.Set().Epoch) }

func (k *userKeeper) announce(node cluster.NodeID, epoch uint64) {
	k.links.Send(node, peer.Control, kindUsers, func(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, epoch) })
}

// want notes that there are users of an epoch. What it returns is closed when meta
// has answered: then, or after another time, the node has them.
func (k *userKeeper) want(epoch uint64) (fetched <-chan struct{}) {
	k.mu.Lock()
	k.wanted = max(k.wanted, epoch)
	fetched = k.fetched
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return fetched
}

func (k *userKeeper) keep() {
	defer close(k.done)
	retry := time.NewTimer(retryEvery)
	defer retry.Stop()
	asked := false // since the start: who was away may have missed something
	for {
		k.mu.Lock()
		wanted := k.wanted
		k.mu.Unlock()
		if have := k.holder.Set(); !asked || have.Unknown() || have.Epoch < wanted {
			if k.fetch(wanted) {
				asked = true
			} else {
				retry.Reset(retryEvery)
			}
		}
		select {
		case <-k.quit:
			return
		case <-k.wake:
		case <-retry.C:
		}
	}
}

// fetch asks meta for the users and takes them over. It reports whether meta
// answered.
func (k *userKeeper) fetch(wanted uint64) bool {
	set, err := k.ask()
	if err != nil {
		k.log.Debug("meta did not tell the users", slog.Any("error", err))
		return false
	}
	replaced := k.holder.Replace(set)
	if replaced {
		k.log.Info("the users have changed", slog.Uint64("epoch", set.Epoch))
		if err := k.save(meta.EncodeUsers(nil, set)); err != nil {
			k.fatal(fmt.Errorf("keep the users: %w", err))
			return false
		}
	}
	k.mu.Lock()
	if k.wanted == wanted {
		k.wanted = set.Epoch // more than that somebody only says
	}
	told := k.told >= set.Epoch
	close(k.fetched)
	k.fetched = make(chan struct{})
	k.mu.Unlock()
	if told || replaced { // others may have nobody who tells them, and who changed users waits for it
		for _, x := range k.maps.Map().Members {
			if x.ID != k.self {
				k.announce(x.ID, set.Epoch)
			}
		}
	}
	return true
}

func (k *userKeeper) ask() (*acl.Set, error) {
	done := make(chan router.Result, 1)
	k.router.Write(cluster.Meta, &group.Group{Proto: 2, Room: group.RepliesMax, Cmds: []group.Command{{Args: words("TUTTI.USER", "LIST")}}}, func(r router.Result) { done <- r })
	select {
	case r := <-done:
		if r.Err != "" {
			return nil, errors.New(r.Err)
		}
		v, err := resp.ReadValue(bufio.NewReader(bytes.NewReader(r.Reply.Replies[0])))
		if err != nil {
			return nil, err
		}
		if v.IsError() {
			return nil, errors.New(string(v.Str))
		}
		return meta.DecodeUsers(k.table.Catalog(), v.Str)
	case <-k.quit:
		return nil, context.Canceled
	}
}
