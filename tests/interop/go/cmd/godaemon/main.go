// godaemon is a real go-threads daemon that dials nobody: badger-backed, without bootstrap peers.
//
// It prints its peer ID and then `ready`, and ends on SIGTERM or SIGINT.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	logging "github.com/ipfs/go-log/v2"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/textileio/go-threads/api"
	databasespb "github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/common"
	netapi "github.com/textileio/go-threads/net/api"
	threadspb "github.com/textileio/go-threads/net/api/pb"
	"github.com/textileio/go-threads/util"
	"google.golang.org/grpc"
)

func main() {
	repo := flag.String("repo", "", "folder of the store")
	address := flag.String("api", "127.0.0.1:6006", "HOST:PORT of the gRPC door")
	host := flag.String("host-addr", "/ip4/127.0.0.1/tcp/0", "multiaddr of the peer-to-peer host")
	pull := flag.Bool("pull", false, "pull from peers every 10 s, as the daemon does by default")
	limit := flag.Uint("pull-limit", 10000, "how many of the newest records of a thread peers are given")
	pubsub := flag.Bool("pubsub", false, "bring records to peers by GossipSub as well")
	flag.Parse()
	if *repo == "" {
		log.Fatal("godaemon: -repo is needed")
	}
	if err := serve(*repo, *address, *host, *pull, *pubsub, *limit); err != nil {
		log.Fatalf("godaemon: %v", err)
	}
}

func serve(repo, address, host string, pull, pubsub bool, limit uint) error {
	logging.SetupLogging(logging.Config{Format: logging.PlaintextOutput, Stderr: true, Level: logging.LevelError})
	hostAddress, err := ma.NewMultiaddr(host)
	if err != nil {
		return err
	}
	network, err := common.DefaultNetwork(
		common.WithNetHostAddr(hostAddress),
		common.WithNetBadgerPersistence(repo),
		common.WithNetLogstore(common.LogstoreHybrid),
		common.WithNoNetPulling(!pull),
		common.WithNetPubSub(pubsub),
		common.WithNetPulling(limit, time.Second, time.Second, 10*time.Second),
	)
	if err != nil {
		return err
	}
	store, err := util.NewBadgerDatastore(repo, "eventstore", false)
	if err != nil {
		network.Close()
		return err
	}
	defer store.Close()
	databases, err := api.NewService(store, network, api.Config{})
	if err != nil {
		network.Close()
		return err
	}
	defer databases.Close()
	// First of all, or a record of a peer moves a head on whose document is then not kept.
	defer network.Close()
	threads, err := netapi.NewService(network, netapi.Config{})
	if err != nil {
		return err
	}
	quiet()

	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	databasespb.RegisterAPIServer(server, databases)
	threadspb.RegisterAPIServer(server, threads)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Println("peer", network.Host().ID())
	fmt.Println("ready")

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	select {
	case err := <-served:
		if !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
	case <-stop.Done():
		drain(server)
	}
	return nil
}

// drain lets the calls under way end, and cuts off the streams that stay open.
//
// A database of go-threads that is closed amid a call that writes, while a record arrives from a peer, never ends: its
// three locks are taken in three orders.
func drain(server *grpc.Server) {
	cut := time.AfterFunc(2*time.Second, server.Stop)
	defer cut.Stop()
	server.GracefulStop()
}

// quiet sets back the levels that the services raise when they are made.
func quiet() {
	for _, name := range logging.GetSubsystems() {
		_ = logging.SetLogLevel(name, "error")
	}
}
