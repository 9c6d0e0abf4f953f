// accountuser does what a developer and his users do over the Hub's own clients: accounts, API keys, organisations,
// threads by name, and mail.
//
// One JSON line a check; exit status 1 when one failed.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"time"

	threads "github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	nets "github.com/textileio/go-threads/net/api/client"
	"github.com/textileio/textile/v2/api/common"
	hubs "github.com/textileio/textile/v2/api/hubd/client"
	hubpb "github.com/textileio/textile/v2/api/hubd/pb"
	users "github.com/textileio/textile/v2/api/usersd/client"
	"google.golang.org/grpc"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// timeout ends the whole program; it runs in a few seconds.
const timeout = 2 * time.Minute

type program struct {
	*checks.Checks
	context context.Context
	hub     *hubs.Client
	users   *users.Client
	db      *threads.Client
	net     *nets.Client
}

func main() {
	p := program{Checks: &checks.Checks{}}
	target := flag.String("hub", "127.0.0.1:3006", "HOST:PORT of the Hub door, where sign-ups and sign-ins are confirmed at once")
	flag.StringVar(&p.Only, "only", "", "run only checks whose name contains this")
	flag.Parse()

	var cancel context.CancelFunc
	p.context, cancel = context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := p.dial(*target); err != nil {
		fmt.Fprintln(os.Stderr, "accountuser:", err)
		os.Exit(2)
	}
	p.accounts()
	p.keys()
	p.organisations()
	p.threads()
	p.mail()
	p.Exit()
}

func (p *program) dial(target string) (err error) {
	options := []grpc.DialOption{grpc.WithInsecure(), grpc.WithPerRPCCredentials(common.Credentials{})}
	if p.hub, err = hubs.NewClient(target, options...); err != nil {
		return err
	}
	if p.users, err = users.NewClient(target, options...); err != nil {
		return err
	}
	if p.db, err = threads.NewClient(target, options...); err != nil {
		return err
	}
	p.net, err = nets.NewClient(target, options...)
	return err
}

// developer is somebody who has signed up.
type developer struct {
	name, email string
	key         []byte
	session     string
	// context carries the session.
	context context.Context
}

// signUp makes an account under a fresh name.
func (p *program) signUp() *developer {
	noise := make([]byte, 6)
	if _, err := rand.Read(noise); err != nil {
		panic(err)
	}
	d := &developer{name: "dev" + hex.EncodeToString(noise)}
	d.email = d.name + "@example.org"
	res, err := p.hub.Signup(p.context, d.name, d.email)
	if err != nil {
		panic(err)
	}
	d.key, d.session = res.Key, res.Session
	d.context = common.NewSessionContext(p.context, d.session)
	return d
}

// keyContext makes an API key and gives a context with it, signed where it is secure.
func (p *program) keyContext(d *developer, kind hubpb.KeyType, secure bool) context.Context {
	res, err := p.hub.CreateKey(d.context, kind, secure)
	if err != nil {
		panic(err)
	}
	ctx := common.NewAPIKeyContext(p.context, res.KeyInfo.Key)
	if secure {
		if ctx, err = common.CreateAPISigContext(ctx, time.Now().Add(time.Minute), res.KeyInfo.Secret); err != nil {
			panic(err)
		}
	}
	return ctx
}

// user is somebody of a user group.
func (p *program) user(ctx context.Context) (thread.Identity, context.Context) {
	identity := people.Identity()
	token, err := p.db.GetToken(ctx, identity)
	if err != nil {
		panic(err)
	}
	return identity, thread.NewTokenContext(ctx, token)
}
