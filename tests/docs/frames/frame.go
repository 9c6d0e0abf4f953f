package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p-core/crypto"
	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc"
)

func main() {
	const key, secret = "KEY", "SECRET"
	private, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		panic(err)
	}
	identity := thread.NewLibp2pIdentity(private)
	BLOCK
	if err != nil {
		panic(err)
	}
	fmt.Println("Ada")
}
