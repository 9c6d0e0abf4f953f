package main

import (
	"context"
	"time"

	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/go-threads/net/api/pb"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// otherSecret has the form of a secret and belongs to no key.
const otherSecret = "bpmkrdqbkvdkqgbxvdukz5tqa2wkvgvt3qm4ceti"

// refusals are the answers to whoever brings no key, a wrong signature or a wrong token.
func (p *program) refusals() {
	try := func(name string, ctx context.Context, code codes.Code, text string) {
		p.Check("refused/"+name, func() error {
			return checks.Refused(p.db.NewDB(ctx, people.NewThread()), code, text)
		})
		p.Check("refused/"+name+"/stream", func() error {
			_, err := p.db.GetToken(ctx, people.Identity())
			if name == "no-token" {
				return err // a token is what this stream is for
			}
			return checks.Refused(err, code, text)
		})
	}
	try("no-key", p.context, codes.Unauthenticated, "Session or API key required")
	try("unknown-key", p.signed(key{"bnosuchkeynosuchkeynosuchke", p.user.secret}),
		codes.NotFound, "API key not found or is invalid")
	try("no-signature", common.NewAPIKeyContext(p.context, p.user.key),
		codes.Unauthenticated, "API key signature required")
	try("wrong-secret", p.signed(key{p.user.key, otherSecret}), codes.Unauthenticated, "Bad API key signature")
	try("expired-signature", p.signedUntil(p.user, time.Now().Add(-time.Minute)),
		codes.Unauthenticated, "Bad API key signature")
	try("signature-over-another-date", p.resigned(), codes.Unauthenticated, "Bad API key signature")
	try("signature-over-no-date", common.NewAPISigContext(p.signed(p.user), "tomorrow", []byte("sig")),
		codes.Unauthenticated, "Bad API key signature")
	try("no-token", p.signed(p.user), codes.Unauthenticated, "Token required")
	try("token-that-does-not-parse", thread.NewTokenContext(p.signed(p.user), "nonsense"),
		codes.PermissionDenied, "Bad authorization")
	p.Check("refused/authorization-of-one-word", func() error {
		ctx := metadata.AppendToOutgoingContext(p.signed(p.user), "authorization", "nonsense")
		return checks.Refused(p.db.NewDB(ctx, people.NewThread()), codes.Unauthenticated, "Bad authorization string")
	})
	p.Check("refused/authorization-without-bearer", func() error {
		ctx := metadata.AppendToOutgoingContext(p.signed(p.user), "authorization", "basic abc")
		return checks.Refused(
			p.db.NewDB(ctx, people.NewThread()), codes.Unauthenticated, "Request unauthenticated with bearer")
	})
	p.Check("refused/token-of-another-host", func() error {
		stranger := people.Identity().(*thread.Libp2pIdentity)
		token, err := thread.NewToken(stranger.PrivKey, people.Identity().GetPublic())
		if err != nil {
			return err
		}
		ctx := thread.NewTokenContext(p.signed(p.user), token)
		id := people.NewThread()
		refused := p.db.NewDB(ctx, id)
		// Nothing of the refused call is left: the same thread can be made with a good token.
		return checks.First(
			checks.Refused(refused, codes.Unknown, "invalid thread token"),
			p.db.NewDB(p.signedIn(p.user), id),
		)
	})
	p.Check("refused/subscribe-to-all-threads", func() error {
		// The client package ends its program when this stream fails.
		stream, err := p.net.Subscribe(p.signedIn(p.user), &threads_net_pb.SubscribeRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		return checks.Refused(err, codes.PermissionDenied, "Method is not accessible")
	})
	p.Check("refused/signature-of-a-liar", func() error {
		_, err := p.db.GetToken(p.signed(p.user), people.Liar{Identity: people.Identity()})
		return checks.Refused(err, codes.Unknown, "bad signature")
	})
}

// resigned is a context whose signature is good for another date than the one beside it.
func (p *program) resigned() context.Context {
	_, signature, _ := common.APISigFromContext(p.signed(p.user))
	date := time.Now().Add(time.Hour).Format(time.RFC3339)
	return common.NewAPISigContext(p.signed(p.user), date, signature)
}

// ownership is what users of one Hub may do to each other's threads.
func (p *program) ownership() {
	owner, stranger := p.signedIn(p.user), p.signedIn(p.user)
	id := people.NewThread()
	p.Must("owner/new-db", func() error {
		return p.db.NewDB(common.NewThreadNameContext(owner, "mine"), id, db.WithNewManagedCollections(
			db.CollectionConfig{Name: "Person", Schema: people.Schema()}))
	})
	notOwner := func(name string, call func() error) {
		p.Check("stranger/"+name, func() error {
			return checks.Refused(call(), codes.PermissionDenied, "User does not own thread")
		})
	}
	notOwner("db-info", func() error { _, err := p.db.GetDBInfo(stranger, id); return err })
	notOwner("delete-db", func() error { return p.db.DeleteDB(stranger, id) })
	notOwner("new-collection", func() error {
		return p.db.NewCollection(stranger, id, db.CollectionConfig{Name: "Mine", Schema: people.Schema()})
	})
	notOwner("update-collection", func() error {
		return p.db.UpdateCollection(stranger, id, db.CollectionConfig{Name: "Person", Schema: people.Schema()})
	})
	notOwner("delete-collection", func() error { return p.db.DeleteCollection(stranger, id, "Person") })
	notOwner("collection-info", func() error { _, err := p.db.GetCollectionInfo(stranger, id, "Person"); return err })
	notOwner("collection-indexes", func() error {
		_, err := p.db.GetCollectionIndexes(stranger, id, "Person")
		return err
	})
	notOwner("list-collections", func() error { _, err := p.db.ListCollections(stranger, id); return err })
	notOwner("thread-in-the-metadata", func() error {
		own := people.NewThread()
		if err := p.db.NewDB(stranger, own); err != nil {
			return err
		}
		_, err := p.db.GetDBInfo(common.NewThreadIDContext(stranger, id), own)
		return err
	})
	p.Check("stranger/verbs-on-instances-are-open", func() error { return p.acrossUsers(owner, stranger, id) })
	p.names(owner, stranger, id)
	if p.other.key == "" {
		return
	}
	p.Check("owner/with-another-key", func() error {
		token, _ := thread.TokenFromContext(owner)
		ctx := thread.NewTokenContext(p.signed(p.other), token)
		_, err := p.db.GetDBInfo(ctx, id)
		return checks.Refused(err, codes.PermissionDenied, "Bad API key")
	})
}

// acrossUsers runs the verbs that are open to whoever knows a thread; validators and read filters guard them.
func (p *program) acrossUsers(owner, stranger context.Context, id thread.ID) error {
	ids, err := p.db.Create(stranger, id, "Person", []interface{}{people.Person{Name: "Guest"}})
	if err != nil {
		return err
	}
	guest := people.Person{ID: ids[0], Name: "Guest", Age: 20}
	var seen people.Person
	has, err := p.db.Has(stranger, id, "Person", ids)
	return checks.First(
		err,
		checks.Equal(has, true),
		p.db.Verify(stranger, id, "Person", []interface{}{guest}),
		p.db.Save(stranger, id, "Person", []interface{}{guest}),
		p.db.FindByID(owner, id, "Person", ids[0], &seen),
		checks.Equal(seen.Age, 20),
		p.finds(stranger, id, db.Where("name").Eq("Guest"), "Guest"),
		p.db.Delete(stranger, id, "Person", ids),
		p.finds(owner, id, &db.Query{}),
	)
}

// names are unique for each owner, whatever their case; a refused or failed call leaves none behind.
func (p *program) names(owner, stranger context.Context, id thread.ID) {
	p.Check("names/twice", func() error {
		err := p.db.NewDB(common.NewThreadNameContext(owner, "mine"), people.NewThread())
		return checks.Refused(err, codes.Unknown, "E11000 duplicate key error")
	})
	p.Check("names/twice-in-another-case", func() error {
		err := p.db.NewDB(common.NewThreadNameContext(owner, "MINE"), people.NewThread())
		return checks.Refused(err, codes.Unknown, "E11000 duplicate key error")
	})
	p.Check("names/of-another-owner", func() error {
		return p.db.NewDB(common.NewThreadNameContext(stranger, "mine"), people.NewThread())
	})
	p.Check("names/bad", func() error {
		err := p.db.NewDB(common.NewThreadNameContext(owner, "not_a_name"), people.NewThread())
		return checks.Refused(err, codes.Unknown, "name may only contain alphanumeric characters or non-consecutive "+
			"hyphens, and cannot begin or end with a hyphen")
	})
	p.Check("names/same-thread-twice", func() error {
		return checks.Refused(p.db.NewDB(owner, id), codes.Unknown, "E11000 duplicate key error")
	})
	p.Check("names/of-a-failed-call-is-free", func() error {
		named := common.NewThreadNameContext(owner, "second-try")
		refused := p.db.NewDB(named, people.NewThread(), db.WithNewManagedName("not a name"))
		return checks.First(
			checks.Holds(refused != nil, "a DB has a bad name"),
			p.db.NewDB(named, people.NewThread()),
		)
	})
}

// accountKey acts for the developer that owns it: no user token is needed, and one that is there counts for nothing.
func (p *program) accountKey() {
	ctx := p.signed(p.account)
	id := people.NewThread()
	p.Check("account/new-db-without-token", func() error { return p.db.NewDB(ctx, id) })
	p.Check("account/verbs", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{Name: "Person", Schema: people.Schema()})
		_, err2 := p.db.Create(ctx, id, "Person", []interface{}{people.Person{Name: "Ada"}})
		return checks.First(err, err2, p.finds(ctx, id, db.Where("name").Eq("Ada"), "Ada"))
	})
	p.Check("account/overrides-a-client-token", func() error {
		token, err := p.db.GetToken(ctx, people.Identity())
		_, err2 := p.db.GetDBInfo(thread.NewTokenContext(ctx, token), id)
		return checks.First(err, err2)
	})
	p.Check("account/list-dbs-is-not-accessible", func() error {
		_, err := p.db.ListDBs(ctx)
		return checks.Refused(err, codes.PermissionDenied, "Method is not accessible")
	})
	p.Check("account/needs-a-signature", func() error {
		_, err := p.db.GetDBInfo(common.NewAPIKeyContext(p.context, p.account.key), id)
		return checks.Refused(err, codes.Unauthenticated, "API key signature required")
	})
	p.Check("account/threads-of-users-are-not-its-own", func() error {
		user, other := p.signedIn(p.user), people.NewThread()
		err := p.db.NewDB(user, other)
		_, err2 := p.db.GetDBInfo(ctx, other)
		return checks.First(err, checks.Refused(err2, codes.PermissionDenied, "User does not own thread"))
	})
	p.Check("account/delete-db", func() error { return p.db.DeleteDB(ctx, id) })
}

// insecureKey skips the signature, and nothing else.
func (p *program) insecureKey() {
	ctx := common.NewAPIKeyContext(p.context, p.insecure.key)
	p.Check("insecure/token-is-still-required", func() error {
		return checks.Refused(p.db.NewDB(ctx, people.NewThread()), codes.Unauthenticated, "Token required")
	})
	p.Check("insecure/new-db", func() error {
		token, err := p.db.GetToken(ctx, people.Identity())
		return checks.First(err, p.db.NewDB(thread.NewTokenContext(ctx, token), people.NewThread()))
	})
	p.Check("insecure/ignores-a-signature", func() error {
		_, err := p.db.GetToken(p.signed(key{p.insecure.key, otherSecret}), people.Identity())
		return err
	})
}

// health answers anyone.
func (p *program) health() {
	p.Check("health/without-a-key", func() error {
		connection, err := grpc.Dial(p.target, grpc.WithInsecure())
		if err != nil {
			return err
		}
		defer connection.Close()
		reply, err := grpc_health_v1.NewHealthClient(connection).Check(
			p.context, &grpc_health_v1.HealthCheckRequest{})
		return checks.First(err, checks.Equal(reply.GetStatus(), grpc_health_v1.HealthCheckResponse_SERVING))
	})
}
