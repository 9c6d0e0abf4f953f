package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	cbornode "github.com/ipfs/go-ipld-cbor"
	format "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p-core/crypto"
	"github.com/libp2p/go-libp2p-core/peer"
	mh "github.com/multiformats/go-multihash"
	"github.com/textileio/go-threads/cbor"
	core "github.com/textileio/go-threads/core/net"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/net/api/pb"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// patience is how long a record that was committed may take to reach a subscriber.
const patience = 10 * time.Second

// node wraps a value as the body of a record.
func node(value interface{}) format.Node {
	wrapped, err := cbornode.WrapObject(value, mh.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return wrapped
}

// bodyOf opens the body of a record, which came with its blocks.
func bodyOf(record core.Record, key thread.Key) (format.Node, error) {
	block, err := record.GetBlock(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	event, err := cbor.EventFromNode(block)
	if typed, ok := block.(*cbor.Event); ok {
		event, err = typed, nil
	}
	if err != nil {
		return nil, err
	}
	return event.GetBody(context.Background(), nil, key.Read())
}

// made makes a record away from the daemon.
func made(info thread.Info, key crypto.PrivKey, author thread.PubKey, previous cid.Cid, body interface{}) core.Record {
	event, err := cbor.CreateEvent(context.Background(), nil, node(body), info.Key.Read())
	if err != nil {
		panic(err)
	}
	record, err := cbor.CreateRecord(context.Background(), nil, cbor.CreateRecordConfig{
		Block:      event,
		Prev:       previous,
		Key:        key,
		PubKey:     author,
		ServiceKey: info.Key.Service(),
	})
	if err != nil {
		panic(err)
	}
	return record
}

func (p *program) create(id thread.ID, token thread.Token, body interface{}) (core.ThreadRecord, error) {
	return p.net.CreateRecord(p.context, id, node(body), core.WithThreadToken(token))
}

func (p *program) records() {
	info := p.newThread(p.token)
	author, err := p.token.PubKey()
	if err != nil {
		panic(err)
	}
	head := cid.Undef
	bodies := map[string]interface{}{
		"map":    map[string]interface{}{"foo": "bar", "baz": []byte("howdy"), "n": 7},
		"text":   "hello",
		"number": 7,
		"empty":  map[string]interface{}{},
		"long":   bytes.Repeat([]byte("z"), 300_000),
	}
	for _, name := range []string{"map", "text", "number", "empty", "long"} {
		body, previous := bodies[name], head
		p.Check("record/create/"+name, func() error {
			record, err := p.create(info.ID, p.token, body)
			if err != nil {
				return err
			}
			head = record.Value().Cid()
			opened, err := bodyOf(record.Value(), info.Key)
			if err != nil {
				return err
			}
			key := &thread.Libp2pPubKey{}
			if err = key.UnmarshalBinary(record.Value().PubKey()); err != nil {
				return err
			}
			return checks.First(
				checks.Equal(record.LogID(), info.Logs[0].ID),
				checks.Holds(record.ThreadID().Equals(info.ID), "another thread"),
				checks.Equal(record.Value().PrevID(), previous),
				checks.Equal(opened.Cid(), node(body).Cid()),
				checks.Holds(key.Equals(author), "another author"),
				record.Value().Verify(info.Logs[0].PubKey),
			)
		})
	}
	p.Check("record/head", func() error {
		log, err := p.logOf(info.ID, info.Logs[0].ID)
		return checks.First(err, checks.Equal(log.Head, thread.Head{ID: head, Counter: 5}))
	})
	p.Check("record/get-walks-to-the-first", func() error {
		count := 0
		for at := head; at.Defined(); count++ {
			record, err := p.net.GetRecord(p.context, info.ID, at, core.WithThreadToken(p.token))
			if err != nil {
				return err
			}
			if !record.Cid().Equals(at) {
				return checks.Equal(record.Cid(), at)
			}
			at = record.PrevID()
		}
		return checks.Equal(count, 5)
	})
	p.Check("record/another-identity-has-its-own-log", func() error {
		record, err := p.create(info.ID, p.newToken(), "mine")
		return checks.First(err,
			checks.Holds(record.LogID() != info.Logs[0].ID, "the log of another"),
			checks.Equal(record.Value().PrevID(), cid.Undef),
		)
	})
	for name, pair := range map[string][2]string{
		"unsorted-keys":  {"a262626201616102", "a261610262626201"},
		"half-float":     {"a16166f93e00", "a16166fb3ff8000000000000"},
		"open-map":       {"bf616101ff", "a1616101"},
		"longer-integer": {"a161611801", "a1616101"},
	} {
		pair := pair
		p.Check("record/canonical/"+name, func() error {
			reply, err := p.raw.CreateRecord(thread.NewTokenContext(p.context, p.token),
				&threads_net_pb.CreateRecordRequest{ThreadID: info.ID.Bytes(), Body: unhex(pair[0])})
			if err != nil {
				return err
			}
			log, err := p.logOf(info.ID, info.Logs[0].ID)
			if err != nil {
				return err
			}
			record, err := p.net.GetRecord(p.context, info.ID, log.Head.ID)
			if err != nil {
				return err
			}
			body, err := bodyOf(record, info.Key)
			return checks.First(err,
				checks.Equal(record.RawData(), reply.Record.RecordNode),
				checks.Equal(hex.EncodeToString(body.RawData()), pair[1]),
			)
		})
	}
}

func unhex(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return data
}

func (p *program) badRecords() {
	info := p.newThread(p.token)
	create := func(name string, id, body []byte, code codes.Code, text string) {
		p.Check("record/bad/"+name, func() error {
			request := &threads_net_pb.CreateRecordRequest{ThreadID: id, Body: body}
			_, err := p.raw.CreateRecord(p.context, request)
			return p.Refused(err, code, text)
		})
	}
	create("no-body", info.ID.Bytes(), nil, codes.InvalidArgument, "")
	create("no-cbor", info.ID.Bytes(), []byte("{}"), codes.InvalidArgument, "")
	create("cut-short", info.ID.Bytes(), unhex("a161"), codes.InvalidArgument, "")
	create("no-id", nil, unhex("a0"), codes.InvalidArgument, "")
	p.Departure("record/bad/absent-thread", func() error {
		request := &threads_net_pb.CreateRecordRequest{ThreadID: people.NewThread().Bytes(), Body: unhex("a0")}
		_, err := p.raw.CreateRecord(p.context, request)
		return p.Refused(err, codes.NotFound, "thread not found")
	})
	p.Check("record/bad/no-private-key", func() error {
		info, err := p.net.CreateThread(p.context, people.NewThread(), core.WithLogKey(newKey().GetPublic()))
		if err != nil {
			return err
		}
		_, err = p.create(info.ID, "", "x")
		return p.unknown(err, "a private-key is required to create records")
	})
	p.Check("record/bad/no-read-key", func() error {
		service := thread.NewServiceKey(thread.NewRandomKey().Service())
		info, err := p.net.CreateThread(p.context, people.NewThread(), core.WithThreadKey(service))
		if err != nil {
			return err
		}
		_, err = p.create(info.ID, "", "x")
		return p.unknown(err, "a read-key is required to create records")
	})
	p.Check("record/get/no-cid", func() error {
		request := &threads_net_pb.GetRecordRequest{ThreadID: info.ID.Bytes(), RecordID: []byte("nonsense")}
		_, err := p.raw.GetRecord(p.context, request)
		return p.Refused(err, codes.InvalidArgument, "")
	})
	p.Departure("record/get/absent", func() error {
		_, err := p.net.GetRecord(p.context, info.ID, node("never kept").Cid())
		return p.Refused(err, codes.NotFound, "record not found")
	})
	p.Departure("record/get/of-another-thread", func() error {
		record, err := p.create(info.ID, p.token, "mine")
		if err != nil {
			return err
		}
		_, err = p.net.GetRecord(p.context, p.newThread(p.token).ID, record.Value().Cid())
		return p.Refused(err, codes.NotFound, "record not found")
	})
}

// elsewhere adds records that were made with keys that the daemon does not have.
func (p *program) elsewhere() {
	key, logKey, author := thread.NewRandomKey(), newKey(), people.Identity().GetPublic()
	info := thread.Info{ID: people.NewThread(), Key: key}
	log := logID(logKey.GetPublic())
	p.Must("add-record/thread", func() error {
		_, err := p.net.CreateThread(p.context, info.ID, core.WithLogKey(logKey.GetPublic()),
			core.WithThreadKey(thread.NewServiceKey(key.Service())))
		return err
	})
	add := func(log peer.ID, record core.Record) error { return p.net.AddRecord(p.context, info.ID, log, record) }
	head := cid.Undef
	var kept []core.Record
	for number := 1; number <= 3; number++ {
		number, previous := number, head
		record := made(info, logKey, author, previous, number)
		head, kept = record.Cid(), append(kept, record)
		p.Check(fmt.Sprintf("add-record/%d", number), func() error {
			if err := add(log, record); err != nil {
				return err
			}
			got, err := p.net.GetRecord(p.context, info.ID, record.Cid())
			if err != nil {
				return err
			}
			body, err := bodyOf(got, key)
			if err != nil {
				return err
			}
			known, err := p.logOf(info.ID, log)
			return checks.First(err,
				checks.Equal(got.BlockID(), record.BlockID()),
				checks.Equal(body.Cid(), node(number).Cid()),
				checks.Equal(known.Head, thread.Head{ID: record.Cid(), Counter: int64(number)}),
			)
		})
	}
	p.Check("add-record/known", func() error {
		return checks.First(add(log, kept[2]), add(log, kept[0]))
	})
	p.Check("add-record/bad-signature", func() error {
		return p.Refused(add(log, made(info, newKey(), author, head, 4)), codes.Unauthenticated, "bad signature")
	})
	p.Check("add-record/unknown-log", func() error {
		other := newKey()
		return p.Refused(add(logID(other.GetPublic()), made(info, other, author, cid.Undef, 4)), codes.NotFound,
			"log not found")
	})
	p.Check("add-record/absent-thread", func() error {
		err := p.net.AddRecord(p.context, people.NewThread(), log, made(info, logKey, author, head, 4))
		return p.Refused(err, codes.NotFound, "thread not found")
	})
	p.Check("add-record/of-another-service-key", func() error {
		other := thread.Info{ID: info.ID, Key: thread.NewRandomKey()}
		return p.Refused(add(log, made(other, logKey, author, head, 4)), codes.InvalidArgument, "")
	})
	p.Departure("add-record/nothing", func() error {
		request := &threads_net_pb.AddRecordRequest{ThreadID: info.ID.Bytes(), LogID: []byte(log)}
		_, err := p.raw.AddRecord(p.context, request)
		return p.Refused(err, codes.InvalidArgument, "record is required")
	})
	p.Departure("add-record/fork", func() error {
		fork := made(info, logKey, author, kept[0].Cid(), "fork")
		if err := add(log, fork); err != nil {
			return err
		}
		_, err := p.net.GetRecord(p.context, info.ID, fork.Cid())
		known, err2 := p.logOf(info.ID, log)
		return checks.First(err, err2, checks.Equal(known.Head.ID, head))
	})
	p.Departure("add-record/gap", func() error {
		lost := made(info, logKey, author, head, "lost")
		err := add(log, made(info, logKey, author, lost.Cid(), "after it"))
		return p.Refused(err, codes.FailedPrecondition, "does not follow the last one of its log")
	})
	p.Check("add-record/goes-on", func() error {
		if err := add(log, made(info, logKey, author, head, "last")); err != nil {
			return err
		}
		known, err := p.logOf(info.ID, log)
		return checks.First(err, checks.Equal(known.Head.Counter, int64(4)))
	})
}

// many creates records at the same time; the reference forks its logs then.
func (p *program) many() {
	p.Departure("record/many-at-once-make-one-chain", func() error {
		info := p.newThread(p.token)
		errs := make(chan error, 50)
		for number := 0; number < cap(errs); number++ {
			go func(number int) {
				_, err := p.create(info.ID, p.token, number)
				errs <- err
			}(number)
		}
		for number := 0; number < cap(errs); number++ {
			if err := <-errs; err != nil {
				return err
			}
		}
		log, err := p.logOf(info.ID, info.Logs[0].ID)
		if err != nil {
			return err
		}
		count := 0
		for at := log.Head.ID; at.Defined(); count++ {
			record, err := p.net.GetRecord(p.context, info.ID, at)
			if err != nil {
				return err
			}
			at = record.PrevID()
		}
		return checks.First(
			checks.Equal(log.Head.Counter, int64(cap(errs))),
			checks.Equal(count, cap(errs)),
		)
	})
}

// subscriber collects what a subscription brings.
type subscriber struct {
	sync.Mutex
	found []string
}

// subscribe follows threads from now on.
func (p *program) subscribe(ctx context.Context, threads ...thread.ID) (*subscriber, error) {
	options := []core.SubOption{core.WithSubToken(p.token)}
	for _, id := range threads {
		options = append(options, core.WithSubFilter(id))
	}
	records, err := p.net.Subscribe(ctx, options...)
	if err != nil {
		return nil, err
	}
	// The client does not wait for the headers that say that the subscription counts.
	time.Sleep(300 * time.Millisecond)
	s := &subscriber{}
	go func() {
		for record := range records {
			s.Lock()
			s.found = append(s.found, record.ThreadID().String()+" "+record.Value().Cid().String())
			s.Unlock()
		}
	}()
	return s, nil
}

// heard waits until so many records have come.
func (s *subscriber) heard(want []string) error {
	for ends := time.Now().Add(patience); time.Now().Before(ends); time.Sleep(10 * time.Millisecond) {
		s.Lock()
		count := len(s.found)
		s.Unlock()
		if count >= len(want) {
			break
		}
	}
	s.Lock()
	defer s.Unlock()
	return checks.Equal(s.found, want)
}

func (p *program) subscriptions() {
	one, other := p.newThread(p.token), p.newThread(p.token)
	ctx, cancel := context.WithCancel(p.context)
	defer cancel()
	write := func(infos ...thread.Info) (written []string, err error) {
		for number, info := range infos {
			record, err := p.create(info.ID, p.token, number)
			if err != nil {
				return nil, err
			}
			written = append(written, info.ID.String()+" "+record.Value().Cid().String())
		}
		return written, nil
	}
	p.Check("subscribe/one-thread", func() error {
		s, err := p.subscribe(ctx, one.ID)
		if err != nil {
			return err
		}
		written, err := write(one, other, one, one)
		return checks.First(err, s.heard([]string{written[0], written[2], written[3]}))
	})
	p.Check("subscribe/all-threads-in-order", func() error {
		s, err := p.subscribe(ctx)
		if err != nil {
			return err
		}
		written, err := write(one, other, other, one, other)
		return checks.First(err, s.heard(written))
	})
	p.Check("subscribe/what-is-added", func() error {
		key := newKey()
		author := people.Identity().GetPublic()
		info, err := p.net.CreateThread(p.context, people.NewThread(), core.WithLogKey(key.GetPublic()))
		if err != nil {
			return err
		}
		s, err := p.subscribe(ctx, info.ID)
		if err != nil {
			return err
		}
		record := made(info, key, author, cid.Undef, "added")
		if err = p.net.AddRecord(p.context, info.ID, logID(key.GetPublic()), record); err != nil {
			return err
		}
		return s.heard([]string{info.ID.String() + " " + record.Cid().String()})
	})
	p.Check("subscribe/bad-id", func() error {
		request := &threads_net_pb.SubscribeRequest{ThreadIDs: [][]byte{[]byte("nonsense")}}
		stream, err := p.raw.Subscribe(p.context, request)
		if err == nil {
			_, err = stream.Recv()
		}
		return p.Refused(err, codes.InvalidArgument, "")
	})
}
