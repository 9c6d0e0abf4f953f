package main

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/go-threads/util"
)

const (
	collection = "item"
	callers    = 16
	batch      = 100 // instances in a call
	operations = 10  // in a transaction
	matches    = 10  // rows that an equality finds
)

// item is the instance that is written and read.
type item struct {
	ID    string `json:"_id,omitempty"`
	Name  string `json:"name"`
	Group int    `json:"group"`
	Rank  int    `json:"rank"`
	Text  string `json:"text"`
	Mod   int64  `json:"_mod,omitempty"`
}

func newItem(number int) *item {
	return &item{
		Name: fmt.Sprintf("name %d", number), Group: number / matches, Rank: (number * 7919) % 1000003,
		Text: "a text of the length that a note has when somebody writes down what to buy",
	}
}

func benchmarks(s settings) []benchmark {
	all := []benchmark{
		{name: "create-1", unit: "calls/s", prepare: creates(1, 1, 300)},
		{name: "create-16", unit: "calls/s", prepare: creates(callers, 1, 1500)},
		{name: "create-100-instances", unit: "calls/s", prepare: creates(1, batch, 40)},
		{name: "save-1", unit: "calls/s", prepare: saves(1, 300)},
		{name: "save-16", unit: "calls/s", prepare: saves(callers, 1500)},
		{name: "transaction-of-10", unit: "calls/s", prepare: transactions},
		{name: "find-by-id-1", unit: "calls/s", prepare: reads(1, 1500)},
		{name: "find-by-id-16", unit: "calls/s", prepare: reads(callers, 6000)},
	}
	for _, docs := range s.docs {
		all = append(all,
			benchmark{name: fmt.Sprintf("find-%d", docs), unit: "calls/s", prepare: finds(docs, false, equality)},
			benchmark{name: fmt.Sprintf("find-%d-indexed", docs), unit: "calls/s", prepare: finds(docs, true, equality)},
			benchmark{name: fmt.Sprintf("find-%d-named", docs), unit: "calls/s", prepare: finds(docs, true, namedEquality)},
			benchmark{name: fmt.Sprintf("lowest-10-of-%d", docs), unit: "calls/s", prepare: finds(docs, true, lowest)},
			benchmark{name: fmt.Sprintf("read-under-scans-of-%d", docs), unit: "ms", lower: true, prepare: readsUnderScans(docs)},
		)
	}
	if s.fill {
		return []benchmark{{name: "fill", prepare: fills(s.docs[0])}}
	}
	return append(all,
		benchmark{name: "listen-1", unit: "ms", lower: true, prepare: listens(1)},
		benchmark{name: "listen-100", unit: "ms", lower: true, prepare: listens(100)},
		benchmark{name: "new-db", unit: "calls/s", prepare: newDatabases},
	)
}

// newDatabase makes a database with one collection.
func newDatabase(ctx context.Context, t target, indexed bool) (thread.ID, error) {
	config := db.CollectionConfig{Name: collection, Schema: util.SchemaFromInstance(&item{}, false)}
	if indexed {
		config.Indexes = []db.Index{{Path: "group"}, {Path: "rank"}}
	}
	id := thread.NewIDV1(thread.Raw, 32)
	return id, t.db.NewDB(ctx, id, db.WithNewManagedCollections(config))
}

// fill creates this many items and returns their IDs.
func fill(ctx context.Context, t target, id thread.ID, number int) ([]string, error) {
	ids := []string{}
	for len(ids) < number {
		instances := client.Instances{}
		for i := len(ids); i < number && len(instances) < batch; i++ {
			instances = append(instances, newItem(i))
		}
		made, err := t.db.Create(ctx, id, collection, instances)
		if err != nil {
			return nil, err
		}
		ids = append(ids, made...)
	}
	return ids, nil
}

// rate has so many callers make so many calls, or as many as there is time for, and returns calls per second.
func rate(ctx context.Context, callers, calls int, limit time.Duration, call func(ctx context.Context, number int) error) (float64, error) {
	var (
		next, done int64
		group      sync.WaitGroup
		failed     = make(chan error, callers)
		begin      = time.Now()
		end        = begin.Add(limit)
	)
	for caller := 0; caller < callers; caller++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				number := int(atomic.AddInt64(&next, 1)) - 1
				if number >= calls || time.Now().After(end) {
					return
				}
				if err := call(ctx, number); err != nil {
					failed <- err
					return
				}
				atomic.AddInt64(&done, 1)
			}
		}()
	}
	group.Wait()
	elapsed := time.Since(begin)
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(done) / elapsed.Seconds(), nil
	}
}

func creates(callers, instances, calls int) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		id, err := newDatabase(ctx, t, false)
		return func(ctx context.Context) (float64, error) {
			return rate(ctx, callers, s.calls(calls), s.limit, func(ctx context.Context, number int) error {
				items := client.Instances{}
				for i := 0; i < instances; i++ {
					items = append(items, newItem(number*instances+i))
				}
				_, err := t.db.Create(ctx, id, collection, items)
				return err
			})
		}, err
	}
}

func saves(callers, calls int) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		id, err := newDatabase(ctx, t, false)
		if err != nil {
			return nil, err
		}
		ids, err := fill(ctx, t, id, 200)
		var changes int64
		return func(ctx context.Context) (float64, error) {
			return rate(ctx, callers, s.calls(calls), s.limit, func(ctx context.Context, number int) error {
				changed := newItem(int(atomic.AddInt64(&changes, 1)))
				changed.ID = ids[number%len(ids)]
				return t.db.Save(ctx, id, collection, client.Instances{changed})
			})
		}, err
	}
}

func transactions(ctx context.Context, t target, s settings) (work, error) {
	id, err := newDatabase(ctx, t, false)
	return func(ctx context.Context) (float64, error) {
		return rate(ctx, 1, s.calls(100), s.limit, func(ctx context.Context, number int) error {
			transaction, err := t.db.WriteTransaction(ctx, id, collection)
			if err != nil {
				return err
			}
			end, err := transaction.Start()
			if err != nil {
				return err
			}
			for i := 0; i < operations; i++ {
				if _, err := transaction.Create(newItem(number*operations + i)); err != nil {
					return err
				}
			}
			return end()
		})
	}, err
}

func reads(callers, calls int) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		id, err := newDatabase(ctx, t, false)
		if err != nil {
			return nil, err
		}
		ids, err := fill(ctx, t, id, 1000)
		return func(ctx context.Context) (float64, error) {
			return rate(ctx, callers, s.calls(calls), s.limit, func(ctx context.Context, number int) error {
				var found item
				return t.db.FindByID(ctx, id, collection, ids[number*7919%len(ids)], &found)
			})
		}, err
	}
}

// equality asks for the items of one group, as most programs do: without naming an index.
func equality(number, docs int) *db.Query {
	return db.Where("group").Eq(float64(number * 7919 % (docs / matches)))
}

// namedEquality names the index, without which the reference uses none.
func namedEquality(number, docs int) *db.Query {
	return equality(number, docs).UseIndex("group")
}

// lowest asks for the items with the lowest ranks. The reference cannot sort what comes from an index, and cuts before it
// sorts: it is quick here because it answers wrongly.
func lowest(int, int) *db.Query {
	return db.OrderBy("rank").LimitTo(matches)
}

// filled are the collections that queries were asked of before, by daemon, size and whether they are indexed.
var filled = map[string]thread.ID{}

// filledDatabase makes a database of that size, once.
func filledDatabase(ctx context.Context, t target, docs int, indexed bool) (thread.ID, error) {
	name := fmt.Sprint(t.name, docs, indexed)
	if id, ok := filled[name]; ok {
		return id, nil
	}
	id, err := newDatabase(ctx, t, indexed)
	if err == nil {
		_, err = fill(ctx, t, id, docs)
	}
	if err == nil {
		filled[name] = id
	}
	return id, err
}

func finds(docs int, indexed bool, query func(int, int) *db.Query) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		id, err := filledDatabase(ctx, t, docs, indexed)
		return func(ctx context.Context) (float64, error) {
			return rate(ctx, 1, s.calls(200), s.limit, func(ctx context.Context, number int) error {
				found, err := t.db.Find(ctx, id, collection, query(number, docs), &item{})
				if err == nil && len(found.([]*item)) != matches {
					return fmt.Errorf("%d rows instead of %d", len(found.([]*item)), matches)
				}
				return err
			})
		}, err
	}
}

// readsUnderScans measures how long the slowest of a hundred reads by ID takes, in milliseconds, while another client has
// the collection scanned over and over. Reads are paced, so that each of them meets the scans anew.
func readsUnderScans(docs int) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		scanned, err := filledDatabase(ctx, t, docs, false)
		if err != nil {
			return nil, err
		}
		read, err := newDatabase(ctx, t, false)
		if err != nil {
			return nil, err
		}
		ids, err := fill(ctx, t, read, 1000)
		scanner := dial(t.name, t.address)
		return func(ctx context.Context) (float64, error) {
			scanning, stop := context.WithCancel(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for number := 0; scanning.Err() == nil; number++ {
					_, _ = scanner.db.Find(scanning, scanned, collection, equality(number, docs), &item{})
				}
			}()
			defer func() { stop(); <-ended }()
			figures := []float64{}
			for number := 0; number < s.calls(300); number++ {
				var found item
				begin := time.Now()
				if err := t.db.FindByID(ctx, read, collection, ids[number*7919%len(ids)], &found); err != nil {
					return 0, err
				}
				figures = append(figures, float64(time.Since(begin).Microseconds())/1000)
				time.Sleep(5 * time.Millisecond)
			}
			sort.Float64s(figures)
			return figures[len(figures)*99/100], nil
		}, err
	}
}

// fills only fills: whoever runs it looks at what the daemon needs for it afterwards.
func fills(docs int) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		_, err := filledDatabase(ctx, t, docs, false)
		return func(context.Context) (float64, error) { return 1, nil }, err
	}
}

// listens measures how long after a create was sent all the listeners have seen it, in milliseconds.
func listens(listeners int) func(context.Context, target, settings) (work, error) {
	return func(ctx context.Context, t target, s settings) (work, error) {
		id, err := newDatabase(ctx, t, false)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (float64, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			seen := make(chan error, listeners)
			for i := 0; i < listeners; i++ {
				events, err := t.db.Listen(ctx, id, nil)
				if err != nil {
					return 0, err
				}
				go func() {
					for event := range events {
						seen <- event.Err
					}
				}()
			}
			// A listener of the reference misses what happens before it is registered, and does not say when it is.
			time.Sleep(200 * time.Millisecond)
			figures := []float64{}
			for number := 0; number < s.calls(30); number++ {
				begin := time.Now()
				if _, err := t.db.Create(ctx, id, collection, client.Instances{newItem(number)}); err != nil {
					return 0, err
				}
				for i := 0; i < listeners; i++ {
					select {
					case err := <-seen:
						if err != nil {
							return 0, err
						}
					case <-time.After(5 * time.Second):
						return 0, fmt.Errorf("%d of %d listeners saw the create", i, listeners)
					}
				}
				figures = append(figures, float64(time.Since(begin).Microseconds())/1000)
				time.Sleep(5 * time.Millisecond)
			}
			return median(figures), nil
		}, nil
	}
}

func newDatabases(ctx context.Context, t target, s settings) (work, error) {
	return func(ctx context.Context) (float64, error) {
		return rate(ctx, 1, s.calls(50), s.limit, func(ctx context.Context, _ int) error {
			return t.db.NewDB(ctx, thread.NewIDV1(thread.Raw, 32))
		})
	}, nil
}
