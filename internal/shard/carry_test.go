package shard

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"tutti/internal/cluster"
	"tutti/internal/group"
	"tutti/internal/peer"
	"tutti/internal/peer/peertest"
)

// twoLinks returns the links of nodes 1 and 2, neither of which has started.
func twoLinks() (one, two *peer.Links) {
	nets := map[cluster.NodeID]peertest.Pipes{1: peertest.NewPipes(), 2: peertest.NewPipes()}
	return peertest.Links(1, nets, nil, nil), peertest.Links(2, nets, nil, nil)
}

// largeGroup is one to be carried, of node 1. What it is told goes to told.
func largeGroup(size int, told chan<- group.Reply) *group.Group {
	return &group.Group{Shard: testShard, Session: group.SessionID(1, 1), Seq: 7, Attempt: 2, Cmds: []group.Command{{Args: [][]byte{[]byte("SET"), []byte("k"), bytes.Repeat([]byte("v"), size)}}},
		Done: func(r group.Reply) { told <- r }}
}

// TestGroupsAreCarried sends a large group to another node, which takes it, or part of it, or
// does not say that it has it.
func TestGroupsAreCarried(t *testing.T) {
	const size = carryFrom + carryChunk/2
	read := func(parts int) peer.StreamHandler { // and no more
		return func(_ cluster.NodeID, _ []byte, s *peer.Conn) {
			for range parts {
				_, _, _ = s.ReadFrame()
			}
		}
	}
	old := *testMap(t, testDescriptor(1, 2)).Map()
	old.Version = cluster.V8 - 1
	for _, x := range []struct {
		name   string
		take   peer.StreamHandler // nil: as a node does
		old    bool               // another member does not know how
		size   int
		frames int // that come otherwise
		comes  bool
		told   []group.Status
	}{
		{name: "large", size: size, comes: true},
		{name: "small", size: 1000, frames: 1},
		{name: "an older version is there", size: size, old: true, frames: 1},
		{name: "it takes a part", size: size, take: read(3), told: []group.Status{group.NotLeader}},
		{name: "it takes all and does not say so", size: size, take: read(1 + size/carryChunk), told: []group.Status{group.Lost}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := twoLinks()
				holder := testMap(t, testDescriptor(1, 2))
				if x.old {
					holder = cluster.NewHolder(&old, func([]byte) error { return nil })
				}
				from := &Host{cfg: Config{Node: 1, Links: one, Map: holder}}
				from.carriers = newCarriers(&from.cfg)
				to, l := deafHost()
				to.cfg.Links, to.cfg.Logger = two, slog.New(slog.DiscardHandler)
				frames := 0
				two.Handle(kindGroup, func(cluster.NodeID, []byte) { frames++ })
				if x.take == nil {
					x.take = newCarriers(&to.cfg).receiver(to.groupFrame)
				}
				two.HandleStream(carryGroup, x.take)
				told := make(chan group.Reply, 9)
				g := largeGroup(x.size, told)
				if from.carriers.wants(g.Size()) && from.Forward(2, g) {
					t.Error("carried though there is no link")
				}
				one.Start()
				two.Start()
				one.Connect(2)
				two.Connect(1)
				synctest.Wait()
				if !from.Forward(2, g) {
					t.Error("not sent")
				}
				synctest.Wait()
				var status []group.Status
				for len(told) > 0 {
					r := <-told
					if status = append(status, r.Status); r.Seq != g.Seq || r.Attempt != g.Attempt {
						t.Errorf("told of %+v", r)
					}
				}
				if frames != x.frames || !slices.Equal(status, x.told) {
					t.Errorf("%d frames, told %v; want %d, %v", frames, status, x.frames, x.told)
				}
				if x.comes != (len(l.inbox) == 1) {
					t.Fatalf("%d came", len(l.inbox))
				}
				if x.comes && !bytes.Equal(l.inbox[0].(*group.Group).Append(nil), g.Append(nil)) {
					t.Error("another group came")
				}
				from.carriers.close()
				if from.carriers.forward(2, g) {
					t.Error("carried by a node that stops")
				}
				one.Close()
				two.Close()
			})
		})
	}
}

// TestRepliesAreCarried answers a group that another node has sent: a large reply comes over
// a stream of its own, a small one among others.
func TestRepliesAreCarried(t *testing.T) {
	for _, x := range []struct {
		name          string
		size          int
		old           bool // the other node does not know how
		frames, reply int  // that come
	}{{"large", carryFrom, false, 0, 1}, {"small", 1000, false, 1, 0}, {"an older version is there", carryFrom, true, 1, 0}} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := twoLinks()
				holder := testMap(t, testDescriptor(1, 2))
				if x.old {
					old := *holder.Map()
					old.Version = cluster.V8 - 1
					holder = cluster.NewHolder(&old, func([]byte) error { return nil })
				}
				asks, leads := &Host{cfg: Config{Node: 1}}, &Host{cfg: Config{Node: 2, Links: two, Map: holder}}
				leads.carriers = newCarriers(&leads.cfg)
				l := newLoop(leads)
				leads.replicas.Store(&map[cluster.ShardID]*Replica{testShard: {host: leads, loop: l, id: testShard}})
				var got []group.Reply
				asks.cfg.Reply = func(from cluster.NodeID, r group.Reply) { got = append(got, r) }
				frames := 0
				one.Handle(kindReply, func(from cluster.NodeID, b []byte) { frames++; asks.replyFrame(from, b) })
				asks.carriers = newCarriers(&asks.cfg)
				one.HandleStream(carryReply, asks.carriers.receiver(asks.replyFrame))
				one.Start()
				two.Start()
				one.Connect(2)
				two.Connect(1)
				synctest.Wait()
				leads.groupFrame(1, largeGroup(1, nil).Append(nil))
				want := group.Reply{Session: group.SessionID(1, 1), Seq: 7, Replies: [][]byte{bytes.Repeat([]byte("r"), x.size)}}
				l.inbox[0].(*group.Group).Done(want)
				two.Flush()
				synctest.Wait()
				if frames != x.frames || len(got) != x.frames+x.reply || !bytes.Equal(got[0].Append(nil), want.Append(nil)) {
					t.Errorf("%d frames, %d replies", frames, len(got))
				}
				leads.carriers.close()
				one.Close()
				two.Close()
			})
		})
	}
}

// TestCarriedFrames puts parts together that are not those of a group.
func TestCarriedFrames(t *testing.T) {
	type frame struct {
		kind peer.Kind
		part string
	}
	for _, x := range []struct {
		name   string
		head   []byte
		frames []frame
		want   string
		err    error
	}{
		{"whole", []byte{0, 0, 0, 5}, []frame{{carryPart, "abc"}, {carryPart, "de"}}, "abcde", nil},
		{"nothing", []byte{0, 0, 0, 0}, nil, "", nil},
		{"it ends", []byte{0, 0, 0, 5}, []frame{{carryPart, "abc"}}, "", io.EOF},
		{"too much", []byte{0, 0, 0, 4}, []frame{{carryPart, "abc"}, {carryPart, "de"}}, "", peer.ErrFrame},
		{"an empty part", []byte{0, 0, 0, 4}, []frame{{carryPart, ""}}, "", peer.ErrFrame},
		{"another kind", []byte{0, 0, 0, 4}, []frame{{carryOK, "abcd"}}, "", peer.ErrFrame},
		{"too large", []byte{0xff, 0, 0, 0}, nil, "", peer.ErrFrame},
		{"no head", nil, nil, "", peer.ErrFrame},
		{"a longer head", make([]byte, 5), nil, "", peer.ErrFrame},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, err := readCarried(x.head, func() (peer.Kind, []byte, error) {
				if len(x.frames) == 0 {
					return 0, nil, io.EOF
				}
				f := x.frames[0]
				x.frames = x.frames[1:]
				return f.kind, []byte(f.part), nil
			})
			if string(got) != x.want || !errors.Is(err, x.err) {
				t.Errorf("%q, %v, want %q, %v", got, err, x.want, x.err)
			}
		})
	}
}
