// hubtls is the first program of a Hub user as it was written for the hosted Hub: its name, its port and TLS with the
// authorities that the system trusts. Nothing in it can be told to go elsewhere.
//
// One JSON line a check; exit status 1 when one failed.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

func main() {
	key := flag.String("user-key", "", "a user group key")
	secret := flag.String("user-secret", "", "its secret")
	flag.Parse()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	threads, err := client.NewClient(
		"api.hub.textile.io:443",
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{})),
		grpc.WithPerRPCCredentials(common.Credentials{Secure: true}),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hubtls:", err)
		os.Exit(2)
	}

	c := &checks.Checks{}
	id := people.NewThread()
	c.Must("tls/token", func() error {
		var err error
		ctx, err = common.CreateAPISigContext(common.NewAPIKeyContext(ctx, *key), time.Now().Add(time.Minute), *secret)
		if err != nil {
			return err
		}
		token, err := threads.GetToken(ctx, people.Identity())
		ctx = thread.NewTokenContext(ctx, token)
		return err
	})
	c.Must("tls/new-db", func() error { return threads.NewDB(ctx, id) })
	c.Must("tls/new-collection", func() error {
		return threads.NewCollection(ctx, id, db.CollectionConfig{Name: "Person", Schema: people.Schema()})
	})
	c.Check("tls/create-and-find", func() error {
		ids, err := threads.Create(ctx, id, "Person", []interface{}{people.Person{Name: "Ada", Age: 36}})
		if err != nil {
			return err
		}
		var found people.Person
		err = threads.FindByID(ctx, id, "Person", ids[0], &found)
		return checks.First(err, checks.Equal(found.Name, "Ada"))
	})
	c.Exit()
}
