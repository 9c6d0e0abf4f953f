// streamuser runs what a client keeps open or has run for it, over the client package of go-threads: both kinds of
// transaction, listeners, write validators, read filters, and indexes that come and go.
//
// One JSON line a check; exit status 1 when one failed. It takes the door of a threads daemon, or that of a Hub with a
// key of a user group. With -reference it leaves out the checks in which our daemon departs from the reference on
// purpose, so that a real go-threads daemon passes the rest.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// timeout ends the whole program; it runs in half a minute.
const timeout = 2 * time.Minute

// someone is an identity with its token.
type someone struct {
	context.Context
	key string
}

type program struct {
	*checks.Checks
	db         *client.Client
	raw        threads_pb.APIClient
	alice, bob someone
	// nobody is without a token; nil where the door asks for one.
	nobody context.Context
}

func main() {
	p := program{Checks: &checks.Checks{}}
	target := flag.String("threads", "", "HOST:PORT of a threads door")
	hub := flag.String("hub", "", "HOST:PORT of a Hub door")
	key := flag.String("user-key", "", "a user group key of the Hub")
	secret := flag.String("user-secret", "", "its secret")
	flag.BoolVar(&p.Reference, "reference", false, "the daemon is a go-threads one: leave out our departures")
	flag.StringVar(&p.Only, "only", "", "run only checks whose name contains this")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var token credentials.PerRPCCredentials = thread.Credentials{}
	if *hub != "" {
		target, token = hub, common.Credentials{}
		signed, err := common.CreateAPISigContext(
			common.NewAPIKeyContext(ctx, *key), time.Now().Add(timeout), *secret)
		if err != nil {
			fail(err)
		}
		ctx = signed
	} else {
		p.nobody = ctx
	}
	if err := p.connect(*target, token); err != nil {
		fail(err)
	}
	p.Must("token/of-two", func() (err error) {
		if p.alice, err = p.signIn(ctx); err == nil {
			p.bob, err = p.signIn(ctx)
		}
		return err
	})
	p.readTransactions()
	p.badTransactions()
	p.writeTransactions()
	p.commits()
	p.abandoned()
	p.validators()
	p.failingScripts()
	p.readFilters()
	p.savesBehindFilters()
	p.indexes()
	p.uniqueIndexes()
	p.events()
	p.listenFilters()
	p.hiddenEvents()
	p.endsOfListeners()
	p.crowd()
	p.Exit()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "streamuser:", err)
	os.Exit(2)
}

func (p *program) connect(target string, token credentials.PerRPCCredentials) error {
	options := []grpc.DialOption{
		grpc.WithInsecure(), grpc.WithPerRPCCredentials(token), grpc.WithStreamInterceptor(p.intercept),
	}
	connection, err := grpc.Dial(target, options...)
	if err != nil {
		return err
	}
	p.raw = threads_pb.NewAPIClient(connection)
	p.db, err = client.NewClient(target, options...)
	return err
}

func (p *program) signIn(ctx context.Context) (someone, error) {
	identity := people.Identity()
	token, err := p.db.GetToken(ctx, identity)
	return someone{thread.NewTokenContext(ctx, token), identity.GetPublic().String()}, err
}

// database returns the ID of a fresh database of Alice's that has a collection "Person" with these parts.
func (p *program) database(config db.CollectionConfig) thread.ID {
	id := people.NewThread()
	if config.Name == "" {
		config.Name = "Person"
	}
	if config.Schema == nil {
		config.Schema = people.OpenSchema()
	}
	if err := p.db.NewDB(p.alice, id, db.WithNewManagedCollections(config)); err != nil {
		panic(err)
	}
	return id
}

// with returns the ID of a fresh database whose collection "Person" has these instances.
func (p *program) with(texts ...string) thread.ID {
	id := p.database(db.CollectionConfig{})
	if err := p.create(p.alice, id, texts...); err != nil {
		panic(err)
	}
	return id
}

func instances(texts ...string) []interface{} {
	items := make([]interface{}, len(texts))
	for i, text := range texts {
		items[i] = people.JSON(text)
	}
	return items
}

func (p *program) create(ctx context.Context, id thread.ID, texts ...string) error {
	_, err := p.db.Create(ctx, id, "Person", instances(texts...))
	return err
}

func (p *program) save(ctx context.Context, id thread.ID, texts ...string) error {
	return p.db.Save(ctx, id, "Person", instances(texts...))
}

// object is an instance of any form.
type object = map[string]interface{}

// get returns an instance as somebody sees it, without `_mod`.
func (p *program) get(ctx context.Context, id thread.ID, instanceID string) (object, error) {
	var found object
	err := p.db.FindByID(ctx, id, "Person", instanceID, &found)
	delete(found, "_mod")
	return found, err
}

// holds says whether a collection has just these instances, by their IDs in order.
func (p *program) holds(id thread.ID, want ...string) error {
	got, err := p.ids(p.alice, id, db.OrderByID())
	if want == nil {
		want = []string{}
	}
	return checks.First(err, checks.Equal(got, want))
}

// ids returns the IDs of what a query finds.
func (p *program) ids(ctx context.Context, id thread.ID, query *db.Query) ([]string, error) {
	found, err := p.db.Find(ctx, id, "Person", query, &people.Person{})
	if err != nil {
		return nil, err
	}
	return idsOf(found), nil
}

func idsOf(found interface{}) []string {
	ids := []string{}
	for _, person := range found.([]*people.Person) {
		ids = append(ids, person.ID)
	}
	return ids
}

// within says whether something ends in a second.
func within(what func() error) error {
	done := make(chan error, 1)
	go func() { done <- what() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return fmt.Errorf("not done within a second")
	}
}

// contains says whether a text has another in it.
func contains(got, want string) error {
	return checks.Holds(strings.Contains(got, want), fmt.Sprintf("got %q; want %q in it", got, want))
}
