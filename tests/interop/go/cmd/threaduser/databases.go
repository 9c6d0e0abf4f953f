package main

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/libp2p/go-libp2p-core/crypto"
	"github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// tokens checks how a token is got and which ones are refused; it returns a good one.
func (p *program) tokens() (token thread.Token) {
	identity := people.Identity()
	p.Must("token/get", func() (err error) {
		token, err = p.db.GetToken(p.context, identity)
		if err != nil {
			return err
		}
		key, err := token.PubKey()
		return checks.First(err, checks.Holds(key.Equals(identity.GetPublic()), "the token names somebody else"))
	})
	p.Check("token/twice", func() error {
		again, err := p.db.GetToken(p.context, identity)
		return checks.First(err, checks.Holds(again.Defined(), "no token"))
	})
	p.Check("token/bad-signature", func() error {
		_, err := p.db.GetToken(p.context, people.Liar{Identity: identity})
		return p.Refused(err, codes.Unknown, "bad signature")
	})
	p.Check("token/key-is-required", func() error {
		return p.exchange(codes.InvalidArgument, "Key is required", &threads_pb.GetTokenRequest{})
	})
	p.Check("token/signature-is-required", func() error {
		key := &threads_pb.GetTokenRequest{
			Payload: &threads_pb.GetTokenRequest_Key{Key: identity.GetPublic().String()},
		}
		return p.exchange(codes.InvalidArgument, "Signature is required", key, &threads_pb.GetTokenRequest{})
	})
	stranger := people.Identity().(*thread.Libp2pIdentity)
	foreign, err := thread.NewToken(stranger.PrivKey, identity.GetPublic())
	if err != nil {
		panic(err)
	}
	refused := func(name string, token thread.Token, text string) {
		p.Check("token/"+name, func() error {
			err := p.db.NewDB(thread.NewTokenContext(p.context, token), people.NewThread())
			return p.Refused(err, codes.Unknown, text)
		})
	}
	refused("of-another-host", foreign, "invalid thread token")
	refused("changed", token[:len(token)-8]+"AAAAAAAA", "invalid thread token")
	refused("nonsense", "nonsense", "thread token not found")
	header := func(name, value, text string) {
		p.Check("token/"+name, func() error {
			ctx := metadata.AppendToOutgoingContext(p.context, "authorization", value)
			return p.Refused(p.db.NewDB(ctx, people.NewThread()), codes.Unauthenticated, text)
		})
	}
	header("header-of-one-word", "nonsense", "Bad authorization string")
	header("header-without-bearer", "basic "+string(token), "Request unauthenticated with bearer")
	p.Check("token/scheme-in-any-case", func() error {
		ctx := metadata.AppendToOutgoingContext(p.context, "authorization", "BEARER "+string(token))
		return p.db.NewDB(ctx, people.NewThread())
	})
	return token
}

// exchange sends these requests for a token and says how the last one was refused.
func (p *program) exchange(code codes.Code, text string, requests ...*threads_pb.GetTokenRequest) error {
	stream, err := p.raw.GetToken(p.context)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if err = stream.Send(request); err != nil {
			return err
		}
		if _, err = stream.Recv(); err != nil {
			break
		}
	}
	return p.Refused(err, code, text)
}

// databases runs every verb on databases once, with whatever token the context has.
func (p *program) databases(who string, ctx context.Context) {
	check := func(name string, check func() error) { p.Check("db/"+who+"/"+name, check) }
	id, key := people.NewThread(), thread.NewRandomKey()
	check("new-with-everything", func() error {
		return p.db.NewDB(ctx, id, db.WithNewManagedName("people-1"), db.WithNewManagedKey(key),
			db.WithNewManagedCollections(
				db.CollectionConfig{Name: "Person", Schema: people.Schema(), Indexes: []db.Index{{Path: "name"}}},
				db.CollectionConfig{Name: "Second", Schema: people.OpenSchema()},
			))
	})
	check("info", func() error {
		info, err := p.db.GetDBInfo(ctx, id)
		if err != nil {
			return err
		}
		for _, address := range info.Addrs {
			text := address.String()
			if !strings.Contains(text, "/p2p/") || !strings.HasSuffix(text, "/thread/"+id.String()) {
				return checks.Equal(text, "an address that names the host and the thread")
			}
		}
		return checks.First(
			checks.Equal(info.Name, "people-1"),
			checks.Equal(info.Key.Bytes(), key.Bytes()),
			checks.Holds(len(info.Addrs) > 0, "no addresses"),
		)
	})
	check("its-collections-are-there", func() error {
		list, err := p.db.ListCollections(ctx, id)
		return checks.First(err, checks.Equal(len(list), 2))
	})
	check("list", func() error {
		all, err := p.db.ListDBs(ctx)
		return checks.First(err, checks.Equal(all[id].Name, "people-1"), checks.Equal(all[id].Key.Bytes(), key.Bytes()))
	})
	check("new-again", func() error {
		return p.Refused(p.db.NewDB(ctx, id), codes.Unknown, "db already exists")
	})
	check("delete", func() error {
		err := p.db.DeleteDB(ctx, id)
		_, after := p.db.GetDBInfo(ctx, id)
		return checks.First(err, checks.Refused(after, codes.NotFound, "not found"))
	})
	check("deleted-one-starts-clean", func() error {
		err := p.db.NewDB(ctx, id)
		list, err2 := p.db.ListCollections(ctx, id)
		return checks.First(err, err2, checks.Equal(len(list), 0))
	})
}

// listing checks what only ListDBs and GetDBInfo show.
func (p *program) listing(ctx context.Context) {
	p.Check("db/without-name-is-unnamed", func() error {
		info, err := p.db.GetDBInfo(ctx, p.newDatabase())
		return checks.First(err, checks.Equal(info.Name, "unnamed"))
	})
	p.Check("db/without-key-gets-one", func() error {
		info, err := p.db.GetDBInfo(ctx, p.newDatabase())
		return checks.First(err, checks.Holds(info.Key.Defined() && info.Key.CanRead(), "no whole key"))
	})
	p.Check("db/with-log-key", func() error {
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			return err
		}
		id := people.NewThread()
		err = p.db.NewDB(ctx, id, db.WithNewManagedLogKey(key), db.WithNewManagedCollections(
			db.CollectionConfig{Name: "Person", Schema: people.Schema()}))
		_, err2 := p.db.Create(ctx, id, "Person", []interface{}{people.Person{Name: "Ada"}})
		return checks.First(err, err2)
	})
	p.Check("db/access-controlled-thread-id", func() error {
		return p.db.NewDB(ctx, thread.NewIDV1(thread.AccessControlled, 32))
	})
	p.Check("db/everybody-with-the-id-may-read", func() error {
		id := p.newDatabase()
		token, err := p.db.GetToken(p.context, people.Identity())
		_, err2 := p.db.GetDBInfo(thread.NewTokenContext(p.context, token), id)
		return checks.First(err, err2)
	})
}

// badDatabases are the refusals of the methods on databases.
func (p *program) badDatabases() {
	unknown := people.NewThread()
	p.Check("db/info-of-unknown", func() error {
		_, err := p.db.GetDBInfo(p.context, unknown)
		return checks.Refused(err, codes.NotFound, "thread not found")
	})
	p.Check("db/delete-unknown", func() error {
		return checks.Refused(p.db.DeleteDB(p.context, unknown), codes.NotFound, "thread not found")
	})
	p.Check("db/collections-of-unknown", func() error {
		_, err := p.db.ListCollections(p.context, unknown)
		return checks.Refused(err, codes.NotFound, "thread not found")
	})
	for _, name := range []string{"a_b", "a-", "-a", "a--b", "a b", "é", "a\n"} {
		name := name
		p.Check("db/bad-name/"+name, func() error {
			err := p.db.NewDB(p.context, people.NewThread(), db.WithNewManagedName(name))
			return p.Refused(err, codes.InvalidArgument, "name may only contain alphanumeric characters or "+
				"non-consecutive hyphens, and cannot begin or end with a hyphen")
		})
	}
	p.Check("db/service-key-alone", func() error {
		err := p.db.NewDB(p.context, people.NewThread(), db.WithNewManagedKey(thread.NewRandomServiceKey()))
		return p.Refused(err, codes.InvalidArgument, "thread read key is required")
	})
	badRequest := func(name, text string, request *threads_pb.NewDBRequest) {
		p.Check("db/"+name, func() error {
			_, err := p.raw.NewDB(p.context, request)
			return checks.Refused(err, codes.InvalidArgument, text)
		})
	}
	badRequest("no-id", "", &threads_pb.NewDBRequest{})
	badRequest("id-of-nonsense", "", &threads_pb.NewDBRequest{DbID: []byte("nonsense")})
	badRequest("key-of-31-bytes", "invalid key", &threads_pb.NewDBRequest{DbID: unknown.Bytes(), Key: make([]byte, 31)})
	badRequest("log-key-of-nonsense", "invalid log-key",
		&threads_pb.NewDBRequest{DbID: unknown.Bytes(), LogKey: []byte("nonsense")})
	p.Check("db/refused-collections-leave-nothing", func() error {
		id := people.NewThread()
		err := p.db.NewDB(p.context, id, db.WithNewManagedCollections(
			db.CollectionConfig{Name: "good", Schema: people.Schema()},
			db.CollectionConfig{Name: "not good", Schema: people.Schema()},
		))
		return p.Refused(err, codes.InvalidArgument, "name may only contain")
	})
	p.Departure("db/refused-one-can-be-made-again", func() error {
		id := people.NewThread()
		err := p.db.NewDB(p.context, id, db.WithNewManagedCollections(
			db.CollectionConfig{Name: "not good", Schema: people.Schema()}))
		return checks.First(checks.Holds(err != nil, "accepted"), p.db.NewDB(p.context, id))
	})
}
