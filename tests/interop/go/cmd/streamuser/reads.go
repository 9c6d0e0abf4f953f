package main

import (
	"context"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// reading runs a read transaction on the collection "Person"; its error is that of the end.
func (p *program) reading(ctx context.Context, id thread.ID, body func(txn *client.ReadTransaction) error) error {
	txn, err := p.db.ReadTransaction(ctx, id, "Person")
	if err != nil {
		return err
	}
	end, err := txn.Start()
	if err != nil {
		return err
	}
	if err := body(txn); err != nil {
		return err
	}
	return end()
}

// readTransactions runs every method of a read transaction.
func (p *program) readTransactions() {
	id := p.with(`{"_id":"a","name":"A","age":1}`, `{"_id":"b","name":"B","age":2}`, `{"_id":"c","name":"C","age":3}`)
	read := func(name string, body func(txn *client.ReadTransaction) error) {
		p.Check("read/"+name, func() error { return p.reading(p.alice, id, body) })
	}
	read("nothing", func(*client.ReadTransaction) error { return nil })
	read("has", func(txn *client.ReadTransaction) error {
		one, err := txn.Has("a")
		all, err2 := txn.Has("a", "b", "c")
		some, err3 := txn.Has("a", "nobody")
		return checks.First(err, err2, err3, checks.Equal([]bool{one, all, some}, []bool{true, true, false}))
	})
	read("find-by-id", func(txn *client.ReadTransaction) error {
		var found people.Person
		err := txn.FindByID("b", &found)
		return checks.First(err, checks.Equal(found.Name, "B"), checks.Holds(found.Mod > 0, "no _mod"))
	})
	read("find", func(txn *client.ReadTransaction) error {
		all, err := txn.Find(db.OrderByID(), &people.Person{})
		older, err2 := txn.Find(db.Where("age").Ge(2.0).OrderByID(), &people.Person{})
		none, err3 := txn.Find(db.Where("age").Gt(3.0), &people.Person{})
		return checks.First(err, err2, err3, checks.Equal(idsOf(all), []string{"a", "b", "c"}),
			checks.Equal(idsOf(older), []string{"b", "c"}), checks.Equal(idsOf(none), []string{}))
	})
	read("goes-on-after-a-refusal", func(txn *client.ReadTransaction) error {
		err := txn.FindByID("nobody", &people.Person{})
		has, err2 := txn.Has("a")
		return checks.First(checks.Equal(text(err), "instance not found"), err2, checks.Equal(has, true))
	})
	read("goes-on-after-a-bad-query", func(txn *client.ReadTransaction) error {
		_, err := txn.Find(&db.Query{Ands: []*db.Criterion{{FieldPath: "age"}}}, &people.Person{})
		has, err2 := txn.Has("a")
		return checks.First(checks.Holds(err != nil, "a criterion without a value was taken"), err2,
			checks.Equal(has, true))
	})
	p.Check("read/two-at-once", func() error {
		return p.reading(p.alice, id, func(one *client.ReadTransaction) error {
			return p.reading(p.bob, id, func(two *client.ReadTransaction) error {
				has, err := one.Has("a")
				has2, err2 := two.Has("a")
				return checks.First(err, err2, checks.Equal([]bool{has, has2}, []bool{true, true}))
			})
		})
	})
	p.Departure("read/keeps-its-state-and-holds-no-writer-up", func() error {
		err := p.reading(p.alice, id, func(txn *client.ReadTransaction) error {
			has, err := txn.Has("a")
			written := within(func() error {
				return checks.First(p.save(p.bob, id, `{"_id":"b","age":20}`, `{"_id":"d","age":4}`),
					p.db.Delete(p.bob, id, "Person", []string{"a"}))
			})
			still, err2 := txn.Has("a")
			found, err3 := txn.Find(db.Where("age").Gt(1.0).OrderByID(), &people.Person{})
			var b people.Person
			err4 := txn.FindByID("b", &b)
			return checks.First(err, written, err2, err3, err4, checks.Equal([]bool{has, still}, []bool{true, true}),
				checks.Equal(idsOf(found), []string{"b", "c"}), checks.Equal(b.Age, 2))
		})
		return checks.First(err, p.holds(id, "b", "c", "d"))
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// badTransactions are streams that do not begin or do not go on as they should.
func (p *program) badTransactions() {
	id := p.with(`{"_id":"a"}`)
	unknown := people.NewThread()
	p.Check("read/unknown-collection", func() error {
		txn, err := p.db.ReadTransaction(p.alice, id, "Nobody")
		_, err2 := txn.Start()
		_, refused := txn.Has("a")
		return checks.First(err, err2, p.Refused(refused, codes.NotFound, "collection not found"))
	})
	p.Check("write/unknown-collection", func() error {
		txn, err := p.db.WriteTransaction(p.alice, id, "Nobody")
		_, err2 := txn.Start()
		_, refused := txn.Create(people.Person{})
		return checks.First(err, err2, p.Refused(refused, codes.NotFound, "collection not found"))
	})
	p.Check("write/unknown-collection-is-refused-at-the-end-of-an-empty-one", func() error {
		txn, err := p.db.WriteTransaction(p.alice, id, "Nobody")
		end, err2 := txn.Start()
		return checks.First(err, err2, p.Refused(end(), codes.NotFound, "collection not found"))
	})
	p.Check("read/unknown-database", func() error {
		txn, err := p.db.ReadTransaction(p.alice, unknown, "Person")
		_, err2 := txn.Start()
		_, refused := txn.Has("a")
		return checks.First(err, err2, checks.Refused(refused, codes.NotFound, "not found"))
	})
	p.Check("write/unknown-database", func() error {
		txn, err := p.db.WriteTransaction(p.alice, unknown, "Person")
		_, err2 := txn.Start()
		_, refused := txn.Has("a")
		return checks.First(err, err2, checks.Refused(refused, codes.NotFound, "not found"))
	})
	start := &threads_pb.StartTransactionRequest{DbID: id.Bytes(), CollectionName: "Person"}
	startWriting := &threads_pb.WriteTransactionRequest{
		Option: &threads_pb.WriteTransactionRequest_StartTransactionRequest{StartTransactionRequest: start},
	}
	creating := &threads_pb.WriteTransactionRequest{
		Option: &threads_pb.WriteTransactionRequest_CreateRequest{
			CreateRequest: &threads_pb.CreateRequest{Instances: [][]byte{[]byte(`{"_id":"dead"}`)}},
		},
	}
	empty := &threads_pb.WriteTransactionRequest{}
	bad := map[string][]*threads_pb.WriteTransactionRequest{
		"begins-with-another-request": {creating},
		"begins-with-nothing":         {empty},
		"begins-twice":                {startWriting, startWriting},
		"goes-on-with-nothing":        {startWriting, creating, empty},
	}
	for name, requests := range bad {
		requests := requests
		p.Check("write/"+name, func() error { return p.dead(id, requests) })
	}
	p.Check("read/begins-with-nothing", func() error {
		stream, err := p.raw.ReadTransaction(p.alice)
		err2 := stream.Send(&threads_pb.ReadTransactionRequest{})
		_, refused := stream.Recv()
		return checks.First(err, err2, p.Refused(refused, codes.InvalidArgument, ""))
	})
	p.Check("read/goes-on-with-nothing", func() error {
		stream, err := p.raw.ReadTransaction(p.alice)
		err2 := stream.Send(&threads_pb.ReadTransactionRequest{
			Option: &threads_pb.ReadTransactionRequest_StartTransactionRequest{StartTransactionRequest: start},
		})
		err3 := stream.Send(&threads_pb.ReadTransactionRequest{})
		_, refused := stream.Recv()
		return checks.First(err, err2, err3, p.Refused(refused, codes.InvalidArgument, ""))
	})
}

// dead sends requests that end a write transaction, then one more.
func (p *program) dead(id thread.ID, requests []*threads_pb.WriteTransactionRequest) error {
	stream, err := p.raw.WriteTransaction(p.alice)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if err := stream.Send(request); err != nil {
			return err
		}
	}
	for err == nil {
		_, err = stream.Recv()
	}
	_ = stream.Send(requests[0])
	_, again := stream.Recv()
	return checks.First(
		p.Refused(err, codes.InvalidArgument, ""), p.Refused(again, codes.InvalidArgument, ""),
		p.holds(id, "a"), within(func() error { return p.save(p.bob, id, `{"_id":"a"}`) }))
}
