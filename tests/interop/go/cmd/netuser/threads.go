package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p-core/crypto"
	"github.com/libp2p/go-libp2p-core/peer"
	ma "github.com/multiformats/go-multiaddr"
	core "github.com/textileio/go-threads/core/net"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/net/api/pb"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// unknown says whether a call was refused with this text and without a code of its own.
func (p *program) unknown(err error, text string) error {
	return p.Refused(err, codes.Unknown, text)
}

func newKey() crypto.PrivKey {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func logID(key crypto.PubKey) peer.ID {
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		panic(err)
	}
	return id
}

// newThread makes a thread with random keys for whoever has the token.
func (p *program) newThread(token thread.Token) thread.Info {
	info, err := p.net.CreateThread(p.context, people.NewThread(), core.WithNewThreadToken(token))
	if err != nil {
		panic(err)
	}
	return info
}

// logOf returns a log of a thread as the daemon tells it now.
func (p *program) logOf(id thread.ID, log peer.ID) (thread.LogInfo, error) {
	info, err := p.net.GetThread(p.context, id)
	if err != nil {
		return thread.LogInfo{}, err
	}
	for _, one := range info.Logs {
		if one.ID == log {
			return one, nil
		}
	}
	return thread.LogInfo{}, fmt.Errorf("thread has no log %s", log)
}

// sameThread says whether two answers tell the same of a thread.
func sameThread(got, want thread.Info) error {
	if len(got.Logs) != len(want.Logs) {
		return fmt.Errorf("%d logs; want %d", len(got.Logs), len(want.Logs))
	}
	logs := map[peer.ID]thread.LogInfo{}
	for _, log := range want.Logs {
		logs[log.ID] = log
	}
	for _, log := range got.Logs {
		other := logs[log.ID]
		if other.ID == "" || !other.PubKey.Equals(log.PubKey) || other.Head.ID != log.Head.ID ||
			other.Head.Counter != log.Head.Counter || (other.PrivKey == nil) != (log.PrivKey == nil) {
			return fmt.Errorf("log %v; want %v", log, other)
		}
	}
	return checks.First(
		checks.Holds(got.ID.Equals(want.ID), "another thread"),
		checks.Equal(got.Key.Bytes(), want.Key.Bytes()),
	)
}

// threads runs every verb on threads once, with whatever token there is.
func (p *program) threads(who string, token thread.Token) {
	check := func(name string, check func() error) { p.Check("thread/"+who+"/"+name, check) }
	id, key, logKey := people.NewThread(), thread.NewRandomKey(), newKey()
	var made thread.Info
	check("create", func() (err error) {
		made, err = p.net.CreateThread(p.context, id,
			core.WithThreadKey(key), core.WithLogKey(logKey), core.WithNewThreadToken(token))
		if err != nil {
			return err
		}
		if len(made.Logs) != 1 {
			return fmt.Errorf("%d logs; want 1", len(made.Logs))
		}
		log := made.Logs[0]
		return checks.First(
			checks.Holds(made.ID.Equals(id), "another ID"),
			checks.Equal(made.Key.Bytes(), key.Bytes()),
			checks.Equal(log.ID, logID(logKey.GetPublic())),
			checks.Holds(log.PubKey.Equals(logKey.GetPublic()), "another public key"),
			checks.Holds(log.PrivKey != nil && log.PrivKey.Equals(logKey), "another private key"),
			checks.Equal(fmt.Sprint(log.Addrs), "[/p2p/"+p.host.String()+"]"),
			checks.Holds(!log.Head.ID.Defined() && log.Head.Counter == 0, "a new log has a head"),
		)
	})
	check("addresses", func() error {
		end := "/p2p/" + p.host.String() + "/thread/" + id.String()
		for _, address := range made.Addrs {
			if !strings.HasSuffix(address.String(), end) {
				return checks.Equal(address.String(), "..."+end)
			}
		}
		return checks.Holds(len(made.Addrs) > 0, "no addresses")
	})
	check("get", func() error {
		got, err := p.net.GetThread(p.context, id, core.WithThreadToken(token))
		return checks.First(err, sameThread(got, made))
	})
	check("random-keys", func() error {
		info, err := p.net.CreateThread(p.context, people.NewThread(), core.WithNewThreadToken(token))
		return checks.First(err, checks.Holds(info.Key.CanRead() && len(info.Logs) == 1, "no keys or no log"))
	})
	check("service-key-only", func() error {
		service := thread.NewServiceKey(key.Service())
		info, err := p.net.CreateThread(p.context, people.NewThread(),
			core.WithThreadKey(service), core.WithLogKey(logKey.GetPublic()), core.WithNewThreadToken(token))
		return checks.First(err, checks.Holds(!info.Key.CanRead() && info.Logs[0].PrivKey == nil, "more keys than given"))
	})
	check("pull", func() error {
		return p.net.PullThread(p.context, id, core.WithThreadToken(token))
	})
	check("again", func() error {
		_, err := p.net.CreateThread(p.context, id, core.WithThreadKey(key), core.WithNewThreadToken(token))
		return p.unknown(err, "log already exists")
	})
	check("delete", func() error {
		if err := p.net.DeleteThread(p.context, id, core.WithThreadToken(token)); err != nil {
			return err
		}
		_, err := p.net.GetThread(p.context, id, core.WithThreadToken(token))
		return p.Refused(err, codes.NotFound, "thread not found")
	})
}

func (p *program) badThreads() {
	info := p.newThread(p.token)
	for name, id := range map[string]thread.ID{"empty": "", "nonsense": "nonsense", "no-random-bytes": "\x01\x55"} {
		id := id
		p.Check("thread/bad-id/"+name, func() error {
			_, created := p.raw.CreateThread(p.context, &threads_net_pb.CreateThreadRequest{ThreadID: id.Bytes()})
			_, got := p.net.GetThread(p.context, id)
			return checks.First(
				p.Refused(created, codes.InvalidArgument, ""),
				p.Refused(got, codes.InvalidArgument, ""),
				p.Refused(p.net.PullThread(p.context, id), codes.InvalidArgument, ""),
				p.Refused(p.net.DeleteThread(p.context, id), codes.InvalidArgument, ""),
			)
		})
	}
	absent := people.NewThread()
	p.Check("thread/absent/get", func() error {
		_, err := p.net.GetThread(p.context, absent)
		return p.Refused(err, codes.NotFound, "thread not found")
	})
	p.Check("thread/absent/pull", func() error {
		return p.Refused(p.net.PullThread(p.context, absent), codes.NotFound, "thread not found")
	})
	p.Check("thread/absent/delete", func() error {
		return p.Refused(p.net.DeleteThread(p.context, absent), codes.NotFound, "thread not found")
	})
	keys := func(name string, keys *threads_net_pb.Keys, text string) {
		p.Check("thread/bad-keys/"+name, func() error {
			request := &threads_net_pb.CreateThreadRequest{ThreadID: people.NewThread().Bytes(), Keys: keys}
			_, err := p.raw.CreateThread(p.context, request)
			return p.Refused(err, codes.InvalidArgument, text)
		})
	}
	keys("thread-key", &threads_net_pb.Keys{ThreadKey: []byte("short")}, "invalid thread-key")
	keys("log-key", &threads_net_pb.Keys{LogKey: []byte("short")}, "invalid log-key")
	p.Check("thread/other-keys/service", func() error {
		_, err := p.net.CreateThread(p.context, info.ID, core.WithThreadKey(thread.NewRandomKey()),
			core.WithNewThreadToken(p.newToken()))
		return p.unknown(err, "service-key mismatch")
	})
	p.Check("thread/other-keys/read", func() error {
		key := thread.NewKey(info.Key.Service(), thread.NewRandomKey().Read())
		_, err := p.net.CreateThread(p.context, info.ID, core.WithThreadKey(key),
			core.WithNewThreadToken(p.newToken()))
		return p.unknown(err, "read-key mismatch")
	})
	p.Check("thread/the-log-of-another", func() error {
		_, err := p.net.CreateThread(p.context, info.ID, core.WithThreadKey(info.Key),
			core.WithLogKey(info.Logs[0].PrivKey), core.WithNewThreadToken(p.newToken()))
		return p.unknown(err, "log already exists")
	})
	p.Check("thread/of-somebody-made-by-the-host", func() error {
		_, err := p.net.CreateThread(p.context, info.ID, core.WithThreadKey(info.Key))
		return p.unknown(err, "thread already exists")
	})
	p.Check("thread/bad-token", func() error {
		_, err := p.net.GetThread(p.context, info.ID, core.WithThreadToken("nonsense"))
		return p.unknown(err, "thread token not found")
	})
}

// joining adds a thread of the host by its own address.
func (p *program) joining() {
	made := p.newThread(p.token)
	address := made.Addrs[0]
	add := func(token thread.Token, options ...core.NewThreadOption) (thread.Info, error) {
		return p.net.AddThread(p.context, address, append(options, core.WithNewThreadToken(token))...)
	}
	p.Check("add/own-address", func() error {
		token := p.newToken()
		info, err := add(token, core.WithThreadKey(made.Key))
		if err != nil {
			return err
		}
		record, err := p.net.CreateRecord(p.context, made.ID, node("joined"), core.WithThreadToken(token))
		if err != nil {
			return err
		}
		log, err := p.logOf(made.ID, record.LogID())
		return checks.First(err,
			checks.Equal(len(info.Logs), 2),
			checks.Holds(info.ID.Equals(made.ID), "another thread"),
			checks.Equal(log.Head.Counter, int64(1)),
		)
	})
	p.Check("add/service-key-only-makes-no-log", func() error {
		service := thread.NewServiceKey(made.Key.Service())
		before, err := p.net.GetThread(p.context, made.ID)
		if err != nil {
			return err
		}
		info, err := add(p.newToken(), core.WithThreadKey(service))
		return checks.First(err, sameThread(info, before))
	})
	p.Check("add/has-a-log", func() error {
		_, err := add(p.token, core.WithThreadKey(made.Key))
		return p.unknown(err, "log already exists")
	})
	p.Check("add/no-key", func() error {
		_, err := add(p.newToken())
		return p.unknown(err, "a service-key is required to add a thread")
	})
	p.Check("add/other-key", func() error {
		_, err := add(p.newToken(), core.WithThreadKey(thread.NewRandomKey()))
		return p.unknown(err, "service-key mismatch")
	})
	p.Check("add/not-here", func() error {
		absent := strings.Replace(address.String(), made.ID.String(), people.NewThread().String(), 1)
		_, err := p.net.AddThread(p.context, multiaddr(absent), core.WithThreadKey(made.Key))
		return p.Refused(err, codes.NotFound, "cannot retrieve thread from self: thread not found")
	})
	p.Check("add/no-host", func() error {
		lost := "/ip4/127.0.0.1/tcp/4006/thread/" + people.NewThread().String()
		_, err := p.net.AddThread(p.context, multiaddr(lost), core.WithThreadKey(made.Key))
		return p.Refused(err, codes.InvalidArgument, "invalid p2p multiaddr")
	})
	p.Check("add/no-thread", func() error {
		_, err := p.net.AddThread(p.context, multiaddr("/ip4/127.0.0.1/tcp/4006"), core.WithThreadKey(made.Key))
		return p.Refused(err, codes.InvalidArgument, "")
	})
	p.Check("add/no-address", func() error {
		_, err := p.raw.AddThread(p.context, &threads_net_pb.AddThreadRequest{Addr: []byte("nonsense")})
		return p.Refused(err, codes.InvalidArgument, "")
	})
}

func multiaddr(text string) ma.Multiaddr {
	address, err := ma.NewMultiaddr(text)
	if err != nil {
		panic(err)
	}
	return address
}

// deleting checks that nothing of a deleted thread comes back.
func (p *program) deleting() {
	p.Check("delete/nothing-comes-back", func() error {
		info := p.newThread(p.token)
		record, err := p.net.CreateRecord(p.context, info.ID, node("gone"), core.WithThreadToken(p.token))
		if err != nil {
			return err
		}
		if err = p.net.DeleteThread(p.context, info.ID); err != nil {
			return err
		}
		again, err := p.net.CreateThread(p.context, info.ID, core.WithThreadKey(info.Key),
			core.WithLogKey(info.Logs[0].PrivKey), core.WithNewThreadToken(p.token))
		if err != nil {
			return err
		}
		first, err := p.net.CreateRecord(p.context, info.ID, node("anew"), core.WithThreadToken(p.token))
		if err != nil {
			return err
		}
		return checks.First(
			checks.Equal(len(again.Logs), 1),
			checks.Equal(again.Logs[0].Head.Counter, int64(0)),
			checks.Equal(first.LogID(), record.LogID()),
			checks.Holds(!first.Value().PrevID().Defined(), "the first record has one before it"),
		)
	})
	p.Departure("delete/its-records-are-gone", func() error {
		info := p.newThread(p.token)
		record, err := p.net.CreateRecord(p.context, info.ID, node("gone"), core.WithThreadToken(p.token))
		if err != nil {
			return err
		}
		if err = p.net.DeleteThread(p.context, info.ID); err != nil {
			return err
		}
		if _, err = p.net.CreateThread(p.context, info.ID, core.WithThreadKey(info.Key)); err != nil {
			return err
		}
		_, err = p.net.GetRecord(p.context, info.ID, record.Value().Cid())
		return p.Refused(err, codes.NotFound, "record not found")
	})
}

// ofDatabases checks that threads with a database are left to it.
func (p *program) ofDatabases() {
	id := people.NewThread()
	p.Must("database/new", func() error { return p.db.NewDB(p.context, id) })
	p.Check("database/get-thread", func() error {
		_, err := p.net.GetThread(p.context, id)
		return err
	})
	p.Check("database/delete-thread", func() error {
		return p.Refused(p.net.DeleteThread(p.context, id), codes.FailedPrecondition,
			"cannot delete thread: thread is in use")
	})
	p.Check("database/create-record", func() error {
		_, err := p.net.CreateRecord(p.context, id, node("foreign"))
		return p.Refused(err, codes.FailedPrecondition, "cannot create record: thread is in use")
	})
	p.Check("database/is-still-there", func() error {
		_, err := p.db.GetDBInfo(p.context, id)
		return err
	})
}

// peers asks for what needs another host, which is not there.
func (p *program) peers() {
	info, stranger := p.newThread(""), logID(newKey().GetPublic())
	host := "/ip4/127.0.0.1/tcp/1/p2p/" + stranger.String()
	p.Departure("peers/add-thread", func() error {
		address := multiaddr(host + "/thread/" + people.NewThread().String())
		_, err := p.net.AddThread(p.context, address, core.WithThreadKey(info.Key))
		return p.Refused(err, codes.Unavailable, "the peer cannot be reached")
	})
	p.Departure("peers/add-replicator", func() error {
		_, err := p.net.AddReplicator(p.context, info.ID, multiaddr(host))
		return p.Refused(err, codes.Unavailable, "the peer cannot be reached")
	})
	p.Check("peers/replicate-to-oneself", func() error {
		got, err := p.net.AddReplicator(p.context, info.ID, multiaddr("/p2p/"+p.host.String()))
		return checks.First(err, checks.Equal(got, p.host))
	})
	p.Check("peers/replicator-without-host", func() error {
		_, err := p.net.AddReplicator(p.context, info.ID, multiaddr("/ip4/127.0.0.1/tcp/4006"))
		return p.Refused(err, codes.InvalidArgument, "")
	})
	p.Check("peers/replicate-what-is-not-here", func() error {
		_, err := p.net.AddReplicator(p.context, people.NewThread(), multiaddr("/p2p/"+p.host.String()))
		return p.Refused(err, codes.NotFound, "thread not found")
	})
}
