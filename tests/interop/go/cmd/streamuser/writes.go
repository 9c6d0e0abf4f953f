package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// writing runs a write transaction on the collection "Person"; its first error is that of the body, its second that of
// the end.
func (p *program) writing(
	ctx context.Context, id thread.ID, body func(txn *client.WriteTransaction) error,
) (err, ended error) {
	txn, err := p.db.WriteTransaction(ctx, id, "Person")
	if err != nil {
		return err, nil
	}
	end, err := txn.Start()
	if err != nil {
		return err, nil
	}
	err = body(txn)
	return err, end()
}

// committing runs a write transaction that has to go well.
func (p *program) committing(id thread.ID, body func(txn *client.WriteTransaction) error) error {
	return checks.First(p.writing(p.alice, id, body))
}

func add(txn *client.WriteTransaction, texts ...string) error {
	_, err := txn.Create(instances(texts...)...)
	return err
}

// writeTransactions runs every method of a write transaction.
func (p *program) writeTransactions() {
	write := func(name string, check func(id thread.ID) error, texts ...string) {
		p.Check("write/"+name, func() error { return check(p.with(texts...)) })
	}
	depart := func(name string, check func(id thread.ID) error, texts ...string) {
		p.Departure("write/"+name, func() error { return check(p.with(texts...)) })
	}
	write("nothing", func(id thread.ID) error {
		return p.committing(id, func(*client.WriteTransaction) error { return nil })
	})
	write("every-method", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			ids, err := txn.Create(people.Person{Name: "New"}, people.Person{ID: "b"})
			err2 := txn.Verify(people.Person{ID: "a", Name: "Verified"})
			err3 := txn.Save(people.Person{ID: "a", Name: "Saved", Age: 2})
			err4 := txn.Delete("gone")
			has, err5 := txn.Has("a", "gone")
			var found people.Person
			err6 := txn.FindByID("a", &found)
			all, err7 := txn.Find(db.OrderByID(), &people.Person{})
			return checks.First(err, err2, err3, err4, err5, err6, err7,
				checks.Equal(len(ids), 2), checks.Equal(len(ids[0]), 26), checks.Equal(ids[1], "b"),
				checks.Equal(has, true), checks.Equal(found.Name, "A"),
				checks.Equal(idsOf(all), []string{"a", "gone"}))
		})
		a, err2 := p.get(p.alice, id, "a")
		all, err3 := p.ids(p.alice, id, &db.Query{})
		return checks.First(err, err2, err3, checks.Equal(len(all), 3),
			checks.Equal(a, object{"_id": "a", "name": "Saved", "age": 2.0}))
	}, `{"_id":"a","name":"A"}`, `{"_id":"gone"}`)
	write("reads-see-the-state-before", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			err := checks.First(add(txn, `{"_id":"x"}`), txn.Save(people.Person{ID: "a", Name: "B"}), txn.Delete("d"))
			has, err2 := txn.Has("x")
			had, err3 := txn.Has("d")
			absent := txn.FindByID("x", &people.Person{})
			var a people.Person
			err4 := txn.FindByID("a", &a)
			found, err5 := txn.Find(db.Where("name").Eq("A"), &people.Person{})
			return checks.First(err, err2, err3, err4, err5, checks.Equal([]bool{has, had}, []bool{false, true}),
				checks.Equal(text(absent), "instance not found"), checks.Equal(a.Name, "A"),
				checks.Equal(idsOf(found), []string{"a"}))
		})
		return checks.First(err, p.holds(id, "a", "x"))
	}, `{"_id":"a","name":"A"}`, `{"_id":"d"}`)
	write("create-then-save", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"x","name":"A"}`), txn.Save(instances(`{"_id":"x","age":1}`)...))
		})
		found, err2 := p.get(p.alice, id, "x")
		return checks.First(err, err2, checks.Equal(found["age"], 1.0))
	})
	depart("a-save-replaces-what-was-created", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"x","name":"A"}`), txn.Save(instances(`{"_id":"x","age":1}`)...),
				txn.Save(instances(`{"_id":"x","member":true}`)...))
		})
		found, err2 := p.get(p.alice, id, "x")
		return checks.First(err, err2, checks.Equal(found, object{"_id": "x", "member": true}))
	})
	depart("create-then-delete", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"x"}`, `{"_id":"y"}`), txn.Delete("x"))
		})
		return checks.First(err, p.holds(id, "y"))
	})
	depart("delete-then-create", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(txn.Delete("a"), add(txn, `{"_id":"a","age":1}`))
		})
		found, err2 := p.get(p.alice, id, "a")
		return checks.First(err, err2, checks.Equal(found, object{"_id": "a", "age": 1.0}))
	}, `{"_id":"a","name":"A"}`)
	write("delete-of-an-absent-id", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error { return txn.Delete("nobody") })
		return checks.First(err, p.holds(id, "a"))
	}, `{"_id":"a"}`)
	write("a-thousand-instances", func(id thread.ID) error {
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			for i := 0; i < 100; i++ {
				texts := []string{}
				for j := 0; j < 10; j++ {
					texts = append(texts, fmt.Sprintf(`{"_id":"%d-%d","age":%d}`, i, j, j))
				}
				if err := add(txn, texts...); err != nil {
					return err
				}
			}
			return nil
		})
		found, err2 := p.ids(p.alice, id, &db.Query{})
		return checks.First(err, err2, checks.Equal(len(found), 1000))
	})
	write("others-wait-for-it", func(id thread.ID) error {
		done := make(chan error, 1)
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			if err := txn.Save(instances(`{"_id":"a","name":"first"}`)...); err != nil {
				return err
			}
			go func() { done <- p.save(p.bob, id, `{"_id":"a","name":"second"}`) }()
			time.Sleep(100 * time.Millisecond)
			select {
			case <-done:
				return checks.Equal("written by another", "it waits")
			default:
			}
			return nil
		})
		err2 := within(func() error { return <-done })
		found, err3 := p.get(p.alice, id, "a")
		return checks.First(err, err2, err3, checks.Equal(found["name"], "second"))
	}, `{"_id":"a"}`)
	depart("holds-no-reader-up", func(id thread.ID) error {
		return p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(txn.Delete("a"), within(func() error {
				found, err := p.get(p.bob, id, "a")
				return checks.First(err, checks.Equal(found["_id"], "a"), p.holds(id, "a"))
			}))
		})
	}, `{"_id":"a"}`)
}

// commits are operations that are refused, and ends that are.
func (p *program) commits() {
	check := func(name string, check func(id thread.ID) error, texts ...string) {
		p.Check("write/"+name, func() error { return check(p.with(texts...)) })
	}
	const exists, violates = "can't create already existing instance", "instance doesn't correspond to schema"
	p.Check("write/what-is-refused-is-left-out", func() error {
		id := p.database(db.CollectionConfig{Schema: people.StrictSchema()})
		err := p.create(p.alice, id, `{"_id":"kept","name":"K"}`)
		err2 := p.committing(id, func(txn *client.WriteTransaction) error {
			refused := []error{add(txn, `{"_id":"kept","name":"A"}`), add(txn, `{"_id":"bad","name":""}`),
				txn.Save(instances(`{"_id":"bad","name":5}`)...), txn.Verify(instances(`{"_id":"bad"}`)...),
				txn.FindByID("nobody", &people.Person{})}
			var texts []string
			for i, err := range refused {
				if err == nil {
					return fmt.Errorf("operation %d was accepted", i)
				}
				texts = append(texts, err.Error())
			}
			return checks.First(contains(texts[0], exists), contains(texts[1], violates), contains(texts[2], violates),
				contains(texts[3], violates), contains(texts[4], "instance not found"), add(txn, `{"_id":"good","name":"G"}`))
		})
		kept, err3 := p.get(p.alice, id, "kept")
		return checks.First(err, err2, err3, checks.Equal(kept["name"], "K"), p.holds(id, "good", "kept"))
	})
	p.Departure("write/an-operation-is-all-or-nothing", func() error {
		id := p.with(`{"_id":"kept"}`)
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(contains(text(add(txn, `{"_id":"one"}`, `{"_id":"kept"}`)), exists),
				checks.Holds(txn.Save(instances(`{"_id":"two"}`, `{"name":"A"}`)...) != nil, "a save without _id was taken"),
				add(txn, `{"_id":"three"}`))
		})
		return checks.First(err, p.holds(id, "kept", "three"))
	})
	check("two-creates-of-one-id", func(id thread.ID) error {
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"other"}`), add(txn, `{"_id":"x","name":"A"}`),
				add(txn, `{"_id":"x","name":"B"}`))
		})
		return checks.First(err, checks.Refused(ended, codes.Unknown, "already existent instance"), p.holds(id))
	})
	check("two-creates-of-one-id-in-one-operation", func(id thread.ID) error {
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			return add(txn, `{"_id":"x","name":"A"}`, `{"_id":"x","name":"B"}`)
		})
		return checks.First(err, checks.Refused(ended, codes.Unknown, "already existent instance"), p.holds(id))
	})
	check("discard", func(id thread.ID) error {
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			err := checks.First(add(txn, `{"_id":"x"}`), txn.Discard(), add(txn, `{"_id":"y"}`), txn.Delete("a"))
			has, err2 := txn.Has("a")
			return checks.First(err, err2, checks.Equal(has, true), txn.Discard())
		})
		return checks.First(err, checks.Refused(ended, codes.Unknown, "can't commit discarded/committed txn"),
			p.holds(id, "a"))
	}, `{"_id":"a"}`)
	p.Check("write/a-unique-value-twice", func() error {
		id := p.database(db.CollectionConfig{Indexes: []db.Index{{Path: "name", Unique: true}}})
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"x","name":"A"}`), add(txn, `{"_id":"y","name":"A"}`))
		})
		return checks.First(err, checks.Refused(ended, codes.Unknown, "unique constraint violation"), p.holds(id))
	})
	p.Departure("write/unique-values-change-places", func() error {
		id := p.database(db.CollectionConfig{Indexes: []db.Index{{Path: "name", Unique: true}}})
		err := p.create(p.alice, id, `{"_id":"x","name":"A"}`, `{"_id":"y","name":"B"}`)
		err2 := p.committing(id, func(txn *client.WriteTransaction) error {
			return txn.Save(instances(`{"_id":"x","name":"B"}`, `{"_id":"y","name":"A"}`)...)
		})
		found, err3 := p.ids(p.alice, id, db.Where("name").Eq("A").UseIndex("name"))
		return checks.First(err, err2, err3, checks.Equal(found, []string{"y"}))
	})
	p.Check("write/the-validator-refuses-the-end", func() error {
		id := p.database(db.CollectionConfig{WriteValidator: `return event.patch.instance_id !== "bad" || "no bad ones"`})
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"good"}`), add(txn, `{"_id":"bad"}`))
		})
		return checks.First(err, checks.Refused(ended, codes.Unknown, "app denied net record body: no bad ones"),
			p.holds(id))
	})
}

// abandoned are transactions that their client walks away from.
func (p *program) abandoned() {
	leave := func(name string, code codes.Code, leave func(context.Context) (context.Context, context.CancelFunc)) {
		p.Check("write/"+name, func() error {
			id := p.with(`{"_id":"a"}`)
			ctx, cancel := leave(p.alice)
			defer cancel()
			txn, err := p.db.WriteTransaction(ctx, id, "Person")
			end, err2 := txn.Start()
			err3 := add(txn, `{"_id":"x"}`)
			if name == "cancelled" {
				cancel()
			} else {
				<-ctx.Done()
			}
			_, refused := txn.Has("a")
			if errors.Is(refused, io.EOF) {
				refused = end()
			}
			return checks.First(err, err2, err3, checks.Refused(refused, code, ""),
				within(func() error { return p.save(p.bob, id, `{"_id":"a","age":1}`) }), p.holds(id, "a"))
		})
	}
	leave("cancelled", codes.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithCancel(ctx)
	})
	leave("deadline", codes.DeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 300*time.Millisecond)
	})
	p.Departure("write/delete-db-ends-it", func() error {
		id := p.with(`{"_id":"a"}`)
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"x"}`), within(func() error { return p.db.DeleteDB(p.alice, id) }))
		})
		return checks.First(err, checks.Refused(ended, codes.NotFound, "db not found"))
	})
	p.Departure("read/delete-db-ends-it", func() error {
		id := p.with(`{"_id":"a"}`)
		ended := p.reading(p.alice, id, func(txn *client.ReadTransaction) error {
			_, err := txn.Has("a")
			return checks.First(err, within(func() error { return p.db.DeleteDB(p.alice, id) }))
		})
		return checks.Refused(ended, codes.NotFound, "db not found")
	})
}
