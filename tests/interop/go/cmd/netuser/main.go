// netuser runs everything that a client of the network API can ask of one host, over the client package of go-threads,
// and checks the answers: threads, logs, records, subscriptions, and the texts of refusals.
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

	"github.com/libp2p/go-libp2p-core/peer"
	dbclient "github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/net/api/client"
	"github.com/textileio/go-threads/net/api/pb"
	"google.golang.org/grpc"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// timeout ends the whole program; it runs in a few seconds.
const timeout = 2 * time.Minute

type program struct {
	*checks.Checks
	context context.Context
	net     *client.Client
	db      *dbclient.Client
	raw     threads_net_pb.APIClient
	host    peer.ID
	token   thread.Token
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
	if err := p.connect(*target); err != nil {
		fmt.Fprintln(os.Stderr, "netuser:", err)
		os.Exit(2)
	}

	p.identity()
	p.threads("without-token", "")
	p.threads("with-token", p.token)
	p.badThreads()
	p.joining()
	p.records()
	p.badRecords()
	p.elsewhere()
	p.many()
	p.subscriptions()
	p.deleting()
	p.ofDatabases()
	p.peers()
	p.Exit()
}

func (p *program) connect(target string) error {
	options := []grpc.DialOption{grpc.WithInsecure(), grpc.WithPerRPCCredentials(thread.Credentials{})}
	connection, err := grpc.Dial(target, options...)
	if err != nil {
		return err
	}
	p.raw = threads_net_pb.NewAPIClient(connection)
	if p.net, err = client.NewClient(target, options...); err != nil {
		return err
	}
	p.db, err = dbclient.NewClient(target, options...)
	return err
}

// identity checks who the host is and how a token is got.
func (p *program) identity() {
	p.Must("host-id", func() (err error) {
		if p.host, err = p.net.GetHostID(p.context); err != nil {
			return err
		}
		return p.host.Validate()
	})
	identity := people.Identity()
	p.Must("token/get", func() (err error) {
		if p.token, err = p.net.GetToken(p.context, identity); err != nil {
			return err
		}
		key, err := p.token.PubKey()
		return checks.First(err, checks.Holds(key.Equals(identity.GetPublic()), "the token names somebody else"))
	})
	p.Check("token/bad-signature", func() error {
		_, err := p.net.GetToken(p.context, people.Liar{Identity: identity})
		return p.unknown(err, "bad signature")
	})
}

// newToken returns the token of somebody new.
func (p *program) newToken() thread.Token {
	token, err := p.net.GetToken(p.context, people.Identity())
	if err != nil {
		panic(err)
	}
	return token
}
