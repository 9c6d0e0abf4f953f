// bucketuser runs everything that a client of buckets can ask, over the client package of the Hub, and checks the answers:
// uploads and downloads of one file and of many, listings, moves, roles, private buckets, and the texts of refusals.
//
// One JSON line a check; exit status 1 when one failed. It talks to a threads door, which asks for no key, or with -hub and
// a user group key to the Hub's.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	threads "github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	buckets "github.com/textileio/textile/v2/api/bucketsd/client"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// timeout ends the whole program; it runs in a few seconds.
const timeout = 3 * time.Minute

type program struct {
	*checks.Checks
	// base holds the credentials of the door, alice and bob those of two people, all with one thread.
	base, alice, bob context.Context
	// threadless is alice without the thread.
	threadless       context.Context
	aliceKey, bobKey thread.Identity
	db               *threads.Client
	buckets          *buckets.Client
	thread           thread.ID
}

func main() {
	p := program{Checks: &checks.Checks{}}
	target := flag.String("threads", "127.0.0.1:6006", "HOST:PORT of the threads door")
	hub := flag.String("hub", "", "HOST:PORT of the Hub door, instead of the threads door")
	key := flag.String("user-key", "", "a user group key, for the Hub door")
	secret := flag.String("user-secret", "", "its secret")
	flag.StringVar(&p.Only, "only", "", "run only checks whose name contains this")
	flag.Parse()

	var cancel context.CancelFunc
	p.base, cancel = context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if *hub != "" {
		*target = *hub
		p.base = common.NewAPIKeyContext(p.base, *key)
		signed, err := common.CreateAPISigContext(p.base, time.Now().Add(time.Hour), *secret)
		fatal(err)
		p.base = signed
	}
	options := []grpc.DialOption{grpc.WithInsecure(), grpc.WithPerRPCCredentials(common.Credentials{})}
	var err error
	p.db, err = threads.NewClient(*target, options...)
	fatal(err)
	p.buckets, err = buckets.NewClient(*target, options...)
	fatal(err)

	p.thread = thread.NewIDV1(thread.Raw, 32)
	p.threadless, p.aliceKey = p.person()
	p.alice = common.NewThreadIDContext(p.threadless, p.thread)
	p.bob, p.bobKey = p.person()
	p.bob = common.NewThreadIDContext(p.bob, p.thread)
	p.Must("a database", func() error { return p.db.NewDB(p.alice, p.thread) })

	p.files("public", false)
	p.files("private", true)
	p.many("public", false)
	p.many("private", true)
	p.trees("public", false)
	p.trees("private", true)
	p.roles("public", false)
	p.roles("private", true)
	p.refusals()
	p.Exit()
}

// person makes somebody with a token.
func (p *program) person() (context.Context, thread.Identity) {
	identity := people.Identity()
	token, err := p.db.GetToken(p.base, identity)
	fatal(err)
	return thread.NewTokenContext(p.base, token), identity
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bucketuser:", err)
		os.Exit(2)
	}
}

// refused checks that a call failed with a text that contains another.
func refused(err error, text string) error {
	if err == nil {
		return fmt.Errorf("was not refused")
	}
	if !strings.Contains(err.Error(), text) {
		return fmt.Errorf("refused with %q and not with %q", err, text)
	}
	return nil
}
