package main

import (
	"sort"
	"strings"

	"github.com/textileio/go-threads/api/pb"
	core "github.com/textileio/go-threads/core/db"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// row is what queries are judged by: the order of the IDs.
type row struct {
	ID string `json:"_id"`
}

// table fills a collection of a fresh database with these instances.
func (p *program) table(indexes []db.Index, instances ...string) thread.ID {
	id := p.newDatabase()
	config := db.CollectionConfig{Name: "Any", Schema: people.OpenSchema(), Indexes: indexes}
	if err := p.db.NewCollection(p.context, id, config); err != nil {
		panic(err)
	}
	for _, text := range instances {
		if _, err := p.db.Create(p.context, id, "Any", []interface{}{people.JSON(text)}); err != nil {
			panic(err)
		}
	}
	return id
}

// ids asks a query and joins the IDs of its rows in the order in which they came.
func (p *program) ids(id thread.ID, query *db.Query) (string, error) {
	found, err := p.db.Find(p.context, id, "Any", query, &row{})
	if err != nil {
		return "", err
	}
	ids := []string{}
	for _, one := range found.([]*row) {
		ids = append(ids, one.ID)
	}
	return strings.Join(ids, " "), nil
}

// rows says whether a query gives just these rows, in this order.
func (p *program) rows(id thread.ID, query *db.Query, want string) error {
	got, err := p.ids(id, query)
	return checks.First(err, checks.Equal(got, want))
}

// set says whether a query gives just these rows, in any order.
func (p *program) set(id thread.ID, query *db.Query, want string) error {
	got, err := p.ids(id, query)
	ids := strings.Fields(got)
	sort.Strings(ids)
	return checks.First(err, checks.Equal(strings.Join(ids, " "), want))
}

func where(path string, operation db.Operation, value interface{}) *db.Query {
	criterion := db.Where(path)
	switch operation {
	case db.Eq:
		return criterion.Eq(value)
	case db.Ne:
		return criterion.Ne(value)
	case db.Gt:
		return criterion.Gt(value)
	case db.Lt:
		return criterion.Lt(value)
	case db.Ge:
		return criterion.Ge(value)
	case db.Le:
		return criterion.Le(value)
	}
	panic("no such operation")
}

// queries checks which rows match.
func (p *program) queries() {
	id := p.table(nil,
		`{"_id":"1","name":"Ada","age":36,"member":true,"address":{"city":"London"}}`,
		`{"_id":"2","name":"Bob","age":-1.5,"member":false,"address":{"city":"Bern"}}`,
		`{"_id":"3","name":"Cleo","age":36.0,"member":true,"address":{"city":"Rome"}}`,
		`{"_id":"4","name":"ada","age":1e2,"member":false,"address":{"city":"Rome"}}`,
	)
	for name, want := range map[string]struct {
		operation db.Operation
		text      string
		number    string
		flag      string
		nested    string
	}{
		"eq": {db.Eq, "2", "1 3", "1 3", "3 4"},
		"ne": {db.Ne, "1 3 4", "2 4", "2 4", "1 2"},
		"gt": {db.Gt, "3 4", "4", "", ""},
		"lt": {db.Lt, "1", "2", "2 4", "1 2"},
		"ge": {db.Ge, "2 3 4", "1 3 4", "1 3", "3 4"},
		"le": {db.Le, "1 2", "1 2 3", "1 2 3 4", "1 2 3 4"},
	} {
		want := want
		p.Check("query/text/"+name, func() error { return p.set(id, where("name", want.operation, "Bob"), want.text) })
		p.Check("query/number/"+name, func() error {
			return p.set(id, where("age", want.operation, float64(36)), want.number)
		})
		p.Check("query/flag/"+name, func() error { return p.set(id, where("member", want.operation, true), want.flag) })
		p.Check("query/nested/"+name, func() error {
			return p.set(id, where("address.city", want.operation, "Rome"), want.nested)
		})
	}
	p.Departure("query/false-is-less-than-true", func() error {
		return checks.First(
			p.set(id, db.Where("member").Gt(false), "1 3"),
			p.set(id, db.Where("member").Lt(false), ""),
			p.set(id, db.Where("member").Le(false), "2 4"),
			p.set(id, db.Where("member").Ge(false), "1 2 3 4"))
	})
	p.Check("query/ands", func() error {
		return p.set(id, db.Where("age").Eq(float64(36)).And("member").Eq(true).And("name").Ne("Ada"), "3")
	})
	p.Check("query/and-ors", func() error {
		query := db.Where("name").Eq("Ada").Or(db.Where("name").Eq("Bob")).
			Or(db.Where("age").Gt(float64(90)).And("member").Eq(false))
		return p.set(id, query, "1 2 4")
	})
	p.Check("query/nested-ors", func() error {
		inner := db.Where("name").Eq("nobody").Or(db.Where("name").Eq("Cleo"))
		return p.set(id, db.Where("name").Eq("Ada").Or(inner), "1 3")
	})
	p.Departure("query/ors-alone", func() error {
		return p.set(id, (&db.Query{}).Or(db.Where("name").Eq("Bob")), "2")
	})
	p.Check("query/empty-matches-all", func() error {
		return checks.First(p.rows(id, &db.Query{}, "1 2 3 4"), p.rows(id, nil, "1 2 3 4"))
	})
	p.Check("query/no-match", func() error { return p.rows(id, db.Where("name").Eq("nobody"), "") })
	p.Check("query/id", func() error { return p.rows(id, db.Where("_id").Gt("2"), "3 4") })
	p.Check("query/keys-in-any-case", func() error {
		text := `{"ANDS":[{"FIELDPATH":"name","Operation":0,"vaLue":{"STRING":"Bob"}}]}`
		reply, err := p.raw.Find(p.context, &threads_pb.FindRequest{
			DbID: id.Bytes(), CollectionName: "Any", QueryJSON: []byte(text)})
		return checks.First(err, checks.Equal(len(reply.GetInstances()), 1))
	})
	for name, text := range map[string]string{
		"not-json": "nonsense", "nothing": "", "array": "[]", "no-value": `{"ands":[{"fieldPath":"name","operation":0}]}`,
		"two-values": `{"ands":[{"fieldPath":"name","operation":0,"value":{"string":"a","float":1}}]}`,
		"in-ors":     `{"ors":[{"ands":[{"fieldPath":"name","operation":0,"value":{}}]}]}`,
	} {
		text := text
		p.Check("query/bad/"+name, func() error {
			_, err := p.raw.Find(p.context, &threads_pb.FindRequest{
				DbID: id.Bytes(), CollectionName: "Any", QueryJSON: []byte(text)})
			return p.Refused(err, codes.InvalidArgument, "")
		})
	}
}

// order checks in which order rows come, and which part of them.
func (p *program) order() {
	id := p.table(nil,
		`{"_id":"1","age":7,"name":"d"}`, `{"_id":"2","age":3,"name":"b"}`, `{"_id":"3","age":9,"name":"e"}`,
		`{"_id":"4","age":1,"name":"a"}`, `{"_id":"5","age":5,"name":"c"}`,
	)
	p.Check("order/by-number", func() error { return p.rows(id, db.OrderBy("age"), "4 2 5 1 3") })
	p.Check("order/by-number-descending", func() error { return p.rows(id, db.OrderByDesc("age"), "3 1 5 2 4") })
	p.Check("order/by-text", func() error { return p.rows(id, db.OrderBy("name"), "4 2 5 1 3") })
	p.Check("order/by-id", func() error { return p.rows(id, db.OrderByID(), "1 2 3 4 5") })
	p.Check("order/of-some", func() error {
		return p.rows(id, db.Where("age").Gt(float64(2)).OrderByDesc("age"), "3 1 5 2")
	})
	p.Departure("order/by-id-descending", func() error { return p.rows(id, db.OrderByIDDesc(), "5 4 3 2 1") })
	p.Check("order/limit", func() error { return p.rows(id, (&db.Query{}).LimitTo(2), "1 2") })
	p.Check("order/skip-and-limit", func() error { return p.rows(id, (&db.Query{}).SkipNum(1).LimitTo(2), "2 3") })
	p.Check("order/skip-beyond-the-end", func() error { return p.rows(id, (&db.Query{}).SkipNum(9).LimitTo(2), "") })
	p.Departure("order/skip-without-limit", func() error { return p.rows(id, (&db.Query{}).SkipNum(3), "4 5") })
	p.Departure("order/sort-before-limit", func() error {
		return checks.First(
			p.rows(id, db.OrderBy("age").LimitTo(2), "4 2"), p.rows(id, db.OrderByDesc("age").LimitTo(1), "3"))
	})
	p.Departure("order/sort-skip-limit", func() error {
		return p.rows(id, db.OrderBy("age").SkipNum(1).LimitTo(3), "2 5 1")
	})
	seek := func(instanceID string) *db.Query { return db.OrderByID().SeekID(core.InstanceID(instanceID)) }
	p.Check("order/seek-is-inclusive", func() error { return p.rows(id, seek("3"), "3 4 5") })
	p.Check("order/seek-and-limit", func() error { return p.rows(id, seek("2").LimitTo(2), "2 3") })
	p.Check("order/seek-beyond-the-end", func() error { return p.rows(id, seek("9"), "") })
	p.Check("order/seek-descending", func() error {
		return p.rows(id, db.OrderByIDDesc().SeekID("4").LimitTo(2), "4 3")
	})
	p.Check("order/negative-numbers-ask-for-nothing-special", func() error {
		return p.rows(id, (&db.Query{}).SkipNum(-1).LimitTo(-1), "1 2 3 4 5")
	})
	p.Check("order/seek-of-a-deleted-id", func() error {
		err := p.db.Delete(p.context, id, "Any", []string{"3"})
		return checks.First(err, p.rows(id, seek("3").LimitTo(2), "4 5"))
	})
}

// oddities are the queries on which the reference answers wrongly or dies.
func (p *program) oddities() {
	mixed := []string{
		`{"_id":"1","v":1,"n":7}`, `{"_id":"2","v":"a","n":7}`, `{"_id":"3","v":null,"n":7}`,
		`{"_id":"4","v":[1]}`, `{"_id":"5","n":7}`, `{"_id":"6","v":true,"n":8}`, `{"_id":"7","v":{"a":1}}`,
	}
	var id thread.ID
	odd := func(name string, check func() error) {
		p.Departure("odd/"+name, func() error {
			if !id.Defined() {
				id = p.table(nil, mixed...)
			}
			return check()
		})
	}
	odd("missing-field-is-no-match", func() error {
		return checks.First(
			p.rows(id, db.Where("n").Eq(float64(8)), "6"), p.rows(id, db.Where("n").Ne(float64(7)), "6"))
	})
	odd("other-type-is-no-match", func() error {
		return checks.First(
			p.rows(id, db.Where("v").Eq("a"), "2"), p.rows(id, db.Where("v").Eq(float64(1)), "1"),
			p.rows(id, db.Where("v").Ne("b"), "2"), p.rows(id, db.Where("v").Ge(false), "6"))
	})
	odd("path-through-a-value-is-no-match", func() error {
		return p.rows(id, db.Where("v.a").Eq(float64(1)), "7")
	})
	odd("order-of-mixed-types", func() error {
		return checks.First(
			p.rows(id, db.OrderBy("v"), "5 3 6 1 2 4 7"), p.rows(id, db.OrderByDesc("v"), "7 4 2 1 6 3 5"))
	})
	odd("unknown-operation", func() error {
		query := &db.Query{Ands: []*db.Criterion{{FieldPath: "n", Operation: 99, Value: value(7)}}}
		_, err := p.ids(id, query)
		return checks.Refused(err, codes.InvalidArgument, "99")
	})
	odd("null-among-conditions", func() error {
		_, err := p.ids(id, &db.Query{Ands: []*db.Criterion{nil}})
		return checks.Refused(err, codes.InvalidArgument, "")
	})
	odd("an-index-never-changes-the-rows", p.indexes)
	odd("an-unknown-index-is-a-hint", func() error {
		query := db.Where("n").Eq(float64(8))
		query.Index = "nothing"
		return p.rows(id, query, "6")
	})
}

func value(number float64) db.Value {
	return db.Value{Float: &number}
}

// indexes asks the same of a collection with indexes and of one without.
func (p *program) indexes() error {
	instances := []string{
		`{"_id":"1","name":"true","age":10,"member":true}`, `{"_id":"2","name":"10","age":9,"member":false}`,
		`{"_id":"3","name":"","age":-1,"member":true}`, `{"_id":"4","name":"a/b","age":1e1}`, `{"_id":"5","member":false}`,
	}
	plain := p.table(nil, instances...)
	indexed := p.table([]db.Index{{Path: "name"}, {Path: "age"}, {Path: "member"}}, instances...)
	values := map[string][]interface{}{
		"name": {"true", "10", "", "a/b", "zzz"}, "age": {float64(10), float64(9), float64(-1)}, "member": {true, false},
	}
	for path, all := range values {
		for _, value := range all {
			for operation := db.Eq; operation <= db.Le; operation++ {
				want, err := p.ids(plain, where(path, operation, value))
				if err != nil {
					return err
				}
				for _, hint := range []string{"", path} {
					query := where(path, operation, value)
					query.Index = hint
					if err := p.set(indexed, query, want); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}
