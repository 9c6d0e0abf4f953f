package main

import (
	"encoding/json"
	"fmt"

	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/go-threads/util"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

type jsonNumber = json.Number

// update gives the collection "Person" other indexes.
func (p *program) update(id thread.ID, indexes ...db.Index) error {
	return p.db.UpdateCollection(p.alice, id, db.CollectionConfig{
		Name: "Person", Schema: people.OpenSchema(), Indexes: indexes,
	})
}

// finds says whether a query gives these IDs, with each of these hints and without.
func (p *program) finds(id thread.ID, query *db.Query, hints []string, want ...string) error {
	for _, hint := range append(hints, "") {
		hinted := *query
		hinted.Index = hint
		got, err := p.ids(p.alice, id, &hinted)
		if err := checks.First(err, checks.Equal(got, append([]string{}, want...))); err != nil {
			return fmt.Errorf("with the hint %q: %w", hint, err)
		}
	}
	return nil
}

// indexes come and go under instances that are there, and never change an answer.
func (p *program) indexes() {
	id := p.with(`{"_id":"a","name":"A","age":3,"member":true}`, `{"_id":"b","name":"B","age":1,"member":false}`,
		`{"_id":"c","name":"A","age":2}`, `{"_id":"d","address":{"city":"Here"}}`, `{"_id":"e","age":-2}`)
	answers := func() error {
		hints := []string{"age", "name", "member", "address.city", "nothing"}
		return checks.First(
			p.finds(id, db.Where("name").Eq("A").OrderByID(), hints, "a", "c"),
			p.finds(id, db.Where("name").Ne("A"), hints, "b"),
			p.finds(id, db.Where("age").Ge(2.0).OrderBy("age"), hints, "c", "a"),
			p.finds(id, db.Where("age").Lt(2.0).And("age").Gt(-3.0).OrderByDesc("age"), hints, "b", "e"),
			p.finds(id, db.OrderByDesc("age").LimitTo(2).SkipNum(1), hints, "c", "b"),
			p.finds(id, db.Where("member").Eq(true), hints, "a"),
			p.finds(id, db.Where("address.city").Eq("Here"), hints, "d"),
			p.finds(id, db.Where("name").Eq("B").Or(db.Where("age").Eq(2.0)).OrderByID(), hints, "b", "c"),
		)
	}
	steps := []struct {
		name    string
		indexes []db.Index
	}{
		{"none", nil},
		{"over-what-is-there", []db.Index{{Path: "age"}, {Path: "name"}, {Path: "member"}, {Path: "address.city"}}},
		{"one-dropped", []db.Index{{Path: "age"}, {Path: "address.city"}}},
		{"made-unique", []db.Index{{Path: "age", Unique: true}}},
		{"all-dropped", nil},
		{"made-again", []db.Index{{Path: "name"}, {Path: "age"}}},
	}
	for _, step := range steps {
		step := step
		p.Departure("index/"+step.name, func() error {
			if err := p.update(id, step.indexes...); err != nil {
				return err
			}
			got, err := p.db.GetCollectionIndexes(p.alice, id, "Person")
			return checks.First(err, checks.Equal(len(got), len(step.indexes)), answers())
		})
	}
	p.Departure("index/follows-writes", func() error {
		return checks.First(p.save(p.alice, id, `{"_id":"a","name":"C","age":5}`, `{"_id":"c","age":10}`),
			p.db.Delete(p.alice, id, "Person", []string{"b"}), p.create(p.alice, id, `{"_id":"f","name":"A","age":11}`),
			p.finds(id, db.Where("name").Eq("A"), []string{"name"}, "f"),
			p.finds(id, db.Where("age").Gt(1.0).OrderBy("age"), []string{"age"}, "a", "c", "f"))
	})
	p.Departure("index/over-a-thousand-instances", func() error {
		id, texts := p.database(db.CollectionConfig{}), []string{}
		for i := 0; i < 1000; i++ {
			texts = append(texts, fmt.Sprintf(`{"_id":"%03d","age":%d}`, i, i%100))
		}
		err := p.create(p.alice, id, texts...)
		err2 := p.update(id, db.Index{Path: "age"})
		found, err3 := p.ids(p.alice, id, db.Where("age").Eq(42.0).UseIndex("age").OrderByID())
		return checks.First(err, err2, err3, checks.Equal(len(found), 10), checks.Equal(found[0], "042"))
	})
	p.Check("index/behind-a-reference", func() error {
		id := p.database(db.CollectionConfig{
			Indexes: []db.Index{{Path: "owner.address.city", Unique: true}},
			Schema: util.SchemaFromSchemaString(`{
				"$ref": "#/definitions/Dog", "definitions": {
					"Dog": {"type": "object", "properties": {
						"_id": {"type": "string"}, "owner": {"$ref": "#/definitions/Owner"}}},
					"Owner": {"type": "object", "properties": {"address": {"$ref": "#/definitions/Address"}}},
					"Address": {"type": "object", "properties": {"city": {"type": "string"}}}}}`),
		})
		err := p.create(p.alice, id, `{"_id":"a","owner":{"address":{"city":"Here"}}}`,
			`{"_id":"b","owner":{"address":{"city":"There"}}}`)
		taken := p.create(p.alice, id, `{"_id":"c","owner":{"address":{"city":"Here"}}}`)
		found, err2 := p.ids(p.alice, id, db.Where("owner.address.city").Eq("There").UseIndex("owner.address.city"))
		return checks.First(err, p.Refused(taken, codes.Unknown, "unique constraint violation"), err2,
			checks.Equal(found, []string{"b"}))
	})
}

// uniqueIndexes refuse what would share a value, and let everything else pass.
func (p *program) uniqueIndexes() {
	const violation = "unique constraint violation"
	unique := func(name string, check func(id thread.ID) error) {
		p.Check("unique/"+name, func() error {
			id := p.database(db.CollectionConfig{Indexes: []db.Index{{Path: "name", Unique: true}}})
			return checks.First(p.create(p.alice, id, `{"_id":"a","name":"A"}`, `{"_id":"b","name":"B"}`), check(id))
		})
	}
	unique("create", func(id thread.ID) error {
		return checks.First(p.Refused(p.create(p.alice, id, `{"_id":"c","name":"A"}`), codes.Unknown, violation),
			p.holds(id, "a", "b"))
	})
	unique("save", func(id thread.ID) error {
		refused := p.save(p.alice, id, `{"_id":"b","name":"A"}`)
		b, err := p.get(p.alice, id, "b")
		return checks.First(p.Refused(refused, codes.Unknown, violation), err, checks.Equal(b["name"], "B"))
	})
	unique("save-of-the-holder", func(id thread.ID) error {
		return p.save(p.alice, id, `{"_id":"a","name":"A","age":1}`)
	})
	unique("a-value-that-is-free-again", func(id thread.ID) error {
		return checks.First(p.save(p.alice, id, `{"_id":"a","name":"C"}`), p.create(p.alice, id, `{"_id":"d","name":"A"}`),
			p.db.Delete(p.alice, id, "Person", []string{"b"}), p.create(p.alice, id, `{"_id":"e","name":"B"}`))
	})
	p.Departure("unique/update-refused-changes-nothing", func() error {
		id := p.with(`{"_id":"a","name":"A"}`, `{"_id":"b","name":"A"}`)
		err := p.update(id, db.Index{Path: "age"})
		refused := p.update(id, db.Index{Path: "name", Unique: true})
		got, err2 := p.db.GetCollectionIndexes(p.alice, id, "Person")
		return checks.First(err, checks.Refused(refused, codes.Unknown, "can't create unique index"), err2,
			checks.Equal(got, []db.Index{{Path: "age"}}), p.create(p.alice, id, `{"_id":"c","name":"A"}`),
			p.db.Delete(p.alice, id, "Person", []string{"a", "b"}), p.update(id, db.Index{Path: "name", Unique: true}),
			checks.Refused(p.create(p.alice, id, `{"_id":"d","name":"A"}`), codes.Unknown, violation))
	})
	p.Departure("unique/a-missing-value-is-none", func() error {
		id := p.database(db.CollectionConfig{Indexes: []db.Index{{Path: "name", Unique: true}}})
		return checks.First(p.create(p.alice, id, `{"_id":"a"}`), p.create(p.alice, id, `{"_id":"b"}`))
	})
}
