package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// listening is a stream of Listen whose request has been sent.
type listening struct {
	grpc.ClientStream
	reference bool
}

// intercept makes Listen return once the listener counts: our headers say so; of the reference one can only hope.
func (p *program) intercept(
	ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string,
	streamer grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, description, connection, method, options...)
	if err == nil && strings.HasSuffix(method, "/Listen") {
		stream = &listening{stream, p.Reference}
	}
	return stream, err
}

func (l *listening) CloseSend() error {
	err := l.ClientStream.CloseSend()
	if l.reference {
		time.Sleep(200 * time.Millisecond)
	} else if err == nil {
		_, _ = l.Header()
	}
	return err
}

// heard is an event in short: what was done, where, and the name and age of the instance.
type heard struct {
	kind               client.ActionType
	collection, id     string
	name               string
	age                float64
	hasTags, hasObject bool
}

func created(id, name string, age float64) heard { return event(client.ActionCreate, id, name, age) }
func saved(id, name string, age float64) heard   { return event(client.ActionSave, id, name, age) }
func deleted(id string) heard {
	return heard{kind: client.ActionDelete, collection: "Person", id: id}
}

func event(kind client.ActionType, id, name string, age float64) heard {
	return heard{kind: kind, collection: "Person", id: id, name: name, age: age, hasObject: true}
}

func hear(action client.Action) heard {
	short := heard{kind: action.Type, collection: action.Collection, id: action.InstanceID}
	var found object
	if len(action.Instance) > 0 && json.Unmarshal(action.Instance, &found) == nil {
		short.hasObject = found["_id"] == action.InstanceID && found["_mod"] != nil
		short.name, _ = found["name"].(string)
		short.age, _ = found["age"].(float64)
		_, short.hasTags = found["tags"]
	}
	return short
}

// ear is a listener; leave ends it.
type ear struct {
	events <-chan client.ListenEvent
	leave  context.CancelFunc
}

func (p *program) listen(ctx context.Context, id thread.ID, options ...client.ListenOption) ear {
	listenContext, leave := context.WithCancel(ctx)
	events, err := p.db.Listen(listenContext, id, options)
	if err != nil {
		panic(err)
	}
	return ear{events, leave}
}

// next returns an event, or the error that ended the listener.
func (e ear) next() (heard, error) {
	select {
	case event, open := <-e.events:
		if !open {
			return heard{}, errors.New("ended")
		}
		return hear(event.Action), event.Err
	case <-time.After(5 * time.Second):
		return heard{}, errors.New("nothing heard for 5 s")
	}
}

// hears says whether just these events come next, and nothing after them.
func (e ear) hears(want ...heard) error {
	defer e.leave()
	for i, expected := range want {
		got, err := e.next()
		if err := checks.First(err, checks.Equal(got, expected)); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	select {
	case event := <-e.events:
		return fmt.Errorf("heard more: %v %v", hear(event.Action), event.Err)
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

// events checks that every change is heard in order, with the value at that change.
func (p *program) events() {
	p.Check("listen/one-after-the-other", func() error {
		id := p.with(`{"_id":"old"}`)
		ear := p.listen(p.alice, id)
		defer ear.leave()
		expect := func(err error, want heard) error {
			got, err2 := ear.next()
			return checks.First(err, err2, checks.Equal(got, want))
		}
		return checks.First(
			expect(p.create(p.alice, id, `{"_id":"a","name":"A","age":1}`), created("a", "A", 1)),
			expect(p.save(p.bob, id, `{"_id":"a","name":"B"}`), saved("a", "B", 0)),
			expect(p.db.Delete(p.alice, id, "Person", []string{"a"}), deleted("a")),
			expect(p.create(p.bob, id, `{"_id":"a","age":2}`), created("a", "", 2)))
	})
	p.Departure("listen/one-transaction", func() error {
		id := p.with()
		ear := p.listen(p.alice, id)
		err := p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"x","name":"A"}`), txn.Save(people.Person{ID: "x", Name: "B", Age: 1}),
				txn.Save(people.Person{ID: "x", Name: "B", Age: 2}), txn.Delete("x"))
		})
		return checks.First(err, ear.hears(created("x", "A", 0), saved("x", "B", 1), saved("x", "B", 2), deleted("x")))
	})
	p.Departure("listen/quick-changes", func() error {
		id := p.with()
		ear := p.listen(p.alice, id)
		err := checks.First(p.create(p.alice, id, `{"_id":"x"}`, `{"_id":"y","age":1}`),
			p.save(p.alice, id, `{"_id":"x","age":1}`), p.save(p.alice, id, `{"_id":"x","age":2}`),
			p.db.Delete(p.alice, id, "Person", []string{"y", "nobody", "x"}))
		return checks.First(err, ear.hears(created("x", "", 0), created("y", "", 1), saved("x", "", 1), saved("x", "", 2),
			deleted("y"), deleted("x")))
	})
	p.Check("listen/nothing-of-what-is-refused-or-discarded", func() error {
		id := p.with(`{"_id":"a"}`)
		ear := p.listen(p.alice, id)
		refused := p.create(p.alice, id, `{"_id":"b"}`, `{"_id":"a"}`)
		err, ended := p.writing(p.alice, id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"c"}`), txn.Discard())
		})
		verified := p.db.Verify(p.alice, id, "Person", instances(`{"_id":"a","age":1}`))
		absent := p.db.Delete(p.alice, id, "Person", []string{"nobody"})
		return checks.First(checks.Holds(refused != nil && ended != nil, "accepted"), err, verified, absent, ear.hears())
	})
	p.Check("listen/with-an-action-that-is-none", func() error {
		stream, err := p.raw.Listen(p.alice, &threads_pb.ListenRequest{
			DbID: p.with().Bytes(), Filters: []*threads_pb.ListenRequest_Filter{{Action: 99}},
		})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return p.Refused(err, codes.InvalidArgument, "invalid filter action 99")
	})
	p.Check("listen/to-an-unknown-database", func() error {
		_, err := p.listen(p.alice, people.NewThread()).next()
		return checks.Refused(err, codes.NotFound, "not found")
	})
}

// listenFilters checks that a listener hears of what it asked for, and of nothing else.
func (p *program) listenFilters() {
	second := client.ListenOption{Type: client.ListenAll, Collection: "Second"}
	cases := map[string]struct {
		options []client.ListenOption
		want    []int
	}{
		"none":       {nil, []int{0, 1, 2, 3, 4}},
		"everything": {[]client.ListenOption{{}}, []int{0, 1, 2, 3, 4}},
		"collection": {[]client.ListenOption{second}, []int{1}},
		"instance":   {[]client.ListenOption{{InstanceID: "a"}}, []int{0, 1, 3}},
		"create":     {[]client.ListenOption{{Type: client.ListenCreate}}, []int{0, 1, 2}},
		"save":       {[]client.ListenOption{{Type: client.ListenSave}}, []int{3}},
		"delete":     {[]client.ListenOption{{Type: client.ListenDelete}}, []int{4}},
		"all-three": {[]client.ListenOption{
			{Type: client.ListenCreate, Collection: "Person", InstanceID: "b"}}, []int{2}},
		"any-of-several": {[]client.ListenOption{second, {Type: client.ListenDelete}, {InstanceID: "b"}}, []int{1, 2, 4}},
		"nothing":        {[]client.ListenOption{{Collection: "Third"}}, nil},
	}
	inSecond := created("a", "S", 0)
	inSecond.collection = "Second"
	all := []heard{created("a", "A", 0), inSecond, created("b", "B", 0), saved("a", "C", 0), deleted("b")}
	for name, filters := range cases {
		filters := filters
		p.Check("listen/filter/"+name, func() error {
			id := p.with()
			err := p.db.NewCollection(p.alice, id, db.CollectionConfig{Name: "Second", Schema: people.OpenSchema()})
			ear := p.listen(p.alice, id, filters.options...)
			pause := func() {
				if p.Reference {
					time.Sleep(20 * time.Millisecond)
				}
			}
			err2 := p.create(p.alice, id, `{"_id":"a","name":"A"}`)
			pause()
			_, err3 := p.db.Create(p.alice, id, "Second", instances(`{"_id":"a","name":"S"}`))
			pause()
			err4 := p.create(p.alice, id, `{"_id":"b","name":"B"}`)
			pause()
			err5 := p.save(p.alice, id, `{"_id":"a","name":"C"}`)
			pause()
			err6 := p.db.Delete(p.alice, id, "Person", []string{"b"})
			want := []heard{}
			for _, number := range filters.want {
				want = append(want, all[number])
			}
			return checks.First(err, err2, err3, err4, err5, err6, ear.hears(want...))
		})
	}
}

// hiddenEvents checks that a listener hears what its read filter shows, and of nothing that it hides.
func (p *program) hiddenEvents() {
	p.Departure("listen/read-filter", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: owned})
		alice, bob := p.listen(p.alice, id), p.listen(p.bob, id)
		key := p.alice.key
		err := checks.First(
			p.create(p.alice, id, `{"_id":"hidden","name":"`+key+`"}`, `{"_id":"a","name":"`+key+`","tags":["x"]}`),
			p.save(p.alice, id, `{"_id":"hidden","name":"`+key+`","age":1}`),
			p.db.Delete(p.alice, id, "Person", []string{"hidden", "a"}))
		shown := created("a", key, 0)
		whole := shown
		whole.hasTags = true
		return checks.First(err, bob.hears(shown, deleted("a")), alice.hears(created("hidden", key, 0), whole,
			saved("hidden", key, 1), deleted("hidden"), deleted("a")))
	})
}

// endsOfListeners checks that a listener ends when what it listens to does, and not before.
func (p *program) endsOfListeners() {
	ends := func(name string, end func(id thread.ID) error, text string, options ...client.ListenOption) {
		p.Departure("listen/ends/"+name, func() error {
			id := p.with(`{"_id":"a"}`)
			ears := []ear{}
			for i := 0; i < 20; i++ {
				ears = append(ears, p.listen(p.alice, id, options...))
			}
			err := checks.First(p.save(p.alice, id, `{"_id":"a","age":1}`), end(id))
			return checks.First(err, within(func() error {
				for _, ear := range ears {
					got, err := ear.next()
					_, ended := ear.next()
					err = checks.First(err, checks.Equal(got, saved("a", "", 1)), checks.Refused(ended, codes.NotFound, text))
					if err != nil {
						return err
					}
				}
				return nil
			}))
		})
	}
	deleteDB := func(id thread.ID) error { return p.db.DeleteDB(p.alice, id) }
	deleteCollection := func(id thread.ID) error { return p.db.DeleteCollection(p.alice, id, "Person") }
	person := client.ListenOption{Collection: "Person"}
	ends("delete-db", deleteDB, "db not found")
	ends("delete-db-of-one-collection", deleteDB, "db not found", person)
	ends("delete-collection", deleteCollection, "collection not found", person)
	p.Departure("listen/ends/delete-db-under-writers", func() error {
		id := p.with(`{"_id":"a"}`)
		ear := p.listen(p.alice, id)
		stopped := make(chan error, 8)
		for i := 0; i < cap(stopped); i++ {
			go func() {
				var err error
				for err == nil {
					err = p.save(p.bob, id, `{"_id":"a","age":1}`)
				}
				stopped <- err
			}()
		}
		time.Sleep(50 * time.Millisecond)
		err := p.db.DeleteDB(p.alice, id)
		err2 := within(func() error {
			for {
				if _, err := ear.next(); err != nil {
					return checks.Refused(err, codes.NotFound, "db not found")
				}
			}
		})
		for i := 0; i < cap(stopped); i++ {
			if refused := <-stopped; !strings.Contains(refused.Error(), "not") {
				return fmt.Errorf("a writer was refused with %w", refused)
			}
		}
		return checks.First(err, err2)
	})
	p.Departure("listen/one-of-all-outlives-a-collection", func() error {
		id := p.with()
		ear := p.listen(p.alice, id)
		again := p.db.NewCollection
		config := db.CollectionConfig{Name: "Person", Schema: people.OpenSchema()}
		return checks.First(p.create(p.alice, id, `{"_id":"a"}`), p.db.DeleteCollection(p.alice, id, "Person"),
			again(p.alice, id, config), p.create(p.alice, id, `{"_id":"a","age":1}`),
			ear.hears(created("a", "", 0), created("a", "", 1)))
	})
	p.Check("listen/ends/cancelled", func() error {
		id := p.with()
		ear := p.listen(p.alice, id)
		ear.leave()
		ear.leave()
		err := within(func() error {
			_, err := ear.next()
			return checks.Equal(text(err), "ended")
		})
		return checks.First(err, p.create(p.alice, id, `{"_id":"a"}`))
	})
}

const (
	listeners = 100
	writers   = 16
	writes    = 500
)

// crowd checks that 100 listeners hear all of 500 writes of 16 writers, in one order, which leads to what is stored.
func (p *program) crowd() {
	p.Departure("listen/a-crowd-misses-nothing", func() error {
		id := p.with()
		ears := make([]ear, listeners)
		for i := range ears {
			ears[i] = p.listen(p.alice, id)
			defer ears[i].leave()
		}
		var working sync.WaitGroup
		failed := make(chan error, writers)
		for writer := 0; writer < writers; writer++ {
			working.Add(1)
			go func(writer int) {
				defer working.Done()
				for number := writer; number < writes; number += writers {
					err := p.save(p.alice, id, fmt.Sprintf(`{"_id":"%d","name":"%d","age":%d}`, number%7, writer, number))
					if err != nil {
						failed <- err
						return
					}
				}
			}(writer)
		}
		orders, errs := make([][]heard, listeners), make([]error, listeners)
		for i := range ears {
			working.Add(1)
			go func(i int) {
				defer working.Done()
				for len(orders[i]) < writes && errs[i] == nil {
					var event heard
					event, errs[i] = ears[i].next()
					orders[i] = append(orders[i], event)
				}
			}(i)
		}
		working.Wait()
		close(failed)
		if err := checks.First(append(errs, <-failed)...); err != nil {
			return err
		}
		return p.agree(id, orders)
	})
}

// agree says whether all heard the same, each write once, and the last of each instance is what is stored.
func (p *program) agree(id thread.ID, orders [][]heard) error {
	seen, last := map[float64]bool{}, map[string]heard{}
	for _, event := range orders[0] {
		seen[event.age], last[event.id] = true, event
	}
	if len(seen) != writes {
		return fmt.Errorf("heard of %d different writes of %d", len(seen), writes)
	}
	for i, order := range orders {
		if !reflect.DeepEqual(order, orders[0]) {
			return fmt.Errorf("listener %d heard another order than the first", i)
		}
	}
	for instanceID, event := range last {
		stored, err := p.get(p.alice, id, instanceID)
		if err := checks.First(err, checks.Equal(stored["age"], event.age), checks.Equal(stored["name"], event.name)); err != nil {
			return err
		}
	}
	return nil
}
