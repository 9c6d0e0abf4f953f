// threaduser runs everything that a client of a plain threads daemon can ask, over the client package of go-threads, and
// checks the answers: the verbs, the texts of refusals, and the rows of every kind of query.
//
// One JSON line a check; exit status 1 when one failed. With -reference it leaves out the checks in which our daemon
// departs from the reference on purpose, so that a real go-threads daemon passes the rest.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/core/thread"
	"google.golang.org/grpc"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// timeout ends the whole program; it runs in a few seconds.
const timeout = 2 * time.Minute

type program struct {
	*checks.Checks
	context context.Context
	db      *client.Client
	raw     threads_pb.APIClient
}

func main() {
	p := program{Checks: &checks.Checks{}}
	target := flag.String("threads", "127.0.0.1:6006", "HOST:PORT of the threads door")
	flag.BoolVar(&p.Reference, "reference", false, "the daemon is a go-threads one: leave out our departures")
	flag.StringVar(&p.Only, "only", "", "run only checks whose name contains this")
	flag.Parse()

	var cancel context.CancelFunc
	p.context, cancel = context.WithTimeout(context.Background(), timeout)
	defer cancel()
	options := []grpc.DialOption{grpc.WithInsecure(), grpc.WithPerRPCCredentials(thread.Credentials{})}
	connection, err := grpc.Dial(*target, options...)
	if err == nil {
		p.raw = threads_pb.NewAPIClient(connection)
		p.db, err = client.NewClient(*target, options...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "threaduser:", err)
		os.Exit(2)
	}

	token := p.tokens()
	p.databases("without-token", p.context)
	p.databases("with-token", thread.NewTokenContext(p.context, token))
	p.listing(thread.NewTokenContext(p.context, token))
	p.badDatabases()
	p.collections()
	p.badCollections()
	p.instances("without-token", p.context)
	p.instances("with-token", thread.NewTokenContext(p.context, token))
	p.badInstances()
	p.queries()
	p.order()
	p.oddities()
	p.Exit()
}

// newDatabase returns the ID of a fresh database.
func (p *program) newDatabase() thread.ID {
	id := people.NewThread()
	if err := p.db.NewDB(p.context, id); err != nil {
		panic(err)
	}
	return id
}
