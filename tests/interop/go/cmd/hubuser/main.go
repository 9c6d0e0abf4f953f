// hubuser is the first program of a Hub user, over the client packages that such programs use: a random identity, an API
// key and its signature, a token, a database; then every verb, and what the Hub refuses.
//
// One JSON line a check; exit status 1 when one failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/net/api/pb"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// timeout ends the whole program; it runs in a few seconds.
const timeout = 2 * time.Minute

// key is an API key as the Hub gives it out.
type key struct{ key, secret string }

func (k *key) flags(name, what string) {
	flag.StringVar(&k.key, name+"-key", "", what)
	flag.StringVar(&k.secret, name+"-secret", "", "its secret")
}

type program struct {
	*checks.Checks
	context     context.Context
	target      string
	db          *client.Client
	net         threads_net_pb.APIClient
	user, other key
	account     key
	insecure    key
}

func main() {
	p := program{Checks: &checks.Checks{}}
	flag.StringVar(&p.target, "hub", "127.0.0.1:3006", "HOST:PORT of the Hub door")
	flag.StringVar(&p.Only, "only", "", "run only checks whose name contains this")
	p.user.flags("user", "a user group key")
	p.other.flags("other", "another user group key (optional)")
	p.account.flags("account", "an account key (optional)")
	p.insecure.flags("insecure", "a user group key that needs no signature (optional)")
	flag.Parse()

	var cancel context.CancelFunc
	p.context, cancel = context.WithTimeout(context.Background(), timeout)
	defer cancel()
	options := []grpc.DialOption{grpc.WithInsecure(), grpc.WithPerRPCCredentials(common.Credentials{})}
	connection, err := grpc.Dial(p.target, options...)
	if err == nil {
		p.net = threads_net_pb.NewAPIClient(connection)
		p.db, err = client.NewClient(p.target, options...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hubuser:", err)
		os.Exit(2)
	}

	p.firstProgram()
	p.refusals()
	p.ownership()
	if p.account.key != "" {
		p.accountKey()
	}
	if p.insecure.key != "" {
		p.insecureKey()
	}
	p.health()
	p.Exit()
}

// signed is a context with a key and a signature that is good for a minute.
func (p *program) signed(k key) context.Context {
	return p.signedUntil(k, time.Now().Add(time.Minute))
}

func (p *program) signedUntil(k key, date time.Time) context.Context {
	ctx, err := common.CreateAPISigContext(common.NewAPIKeyContext(p.context, k.key), date, k.secret)
	if err != nil {
		panic(err)
	}
	return ctx
}

// signedIn is a context of a new user of a key's group, with its token.
func (p *program) signedIn(k key) context.Context {
	ctx := p.signed(k)
	token, err := p.db.GetToken(ctx, people.Identity())
	if err != nil {
		panic(err)
	}
	return thread.NewTokenContext(ctx, token)
}
