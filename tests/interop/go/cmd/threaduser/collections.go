package main

import (
	"sort"

	"github.com/alecthomas/jsonschema"
	"github.com/textileio/go-threads/api/pb"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/go-threads/util"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// collections runs every verb on collections.
func (p *program) collections() {
	ctx, id := p.context, p.newDatabase()
	config := db.CollectionConfig{
		Name:           "Person",
		Schema:         people.Schema(),
		Indexes:        []db.Index{{Path: "name", Unique: true}, {Path: "age"}},
		WriteValidator: "return true",
		ReadFilter:     "return instance",
	}
	p.Check("collection/new", func() error { return p.db.NewCollection(ctx, id, config) })
	p.Check("collection/info", func() error {
		info, err := p.db.GetCollectionInfo(ctx, id, "Person")
		if err != nil {
			return err
		}
		return checks.First(
			checks.Equal(info.Name, "Person"),
			checks.Equal(sorted(info.Indexes), []db.Index{{Path: "age"}, {Path: "name", Unique: true}}),
			checks.Equal(info.WriteValidator, "return true"),
			checks.Equal(info.ReadFilter, "return instance"),
			checks.Equal(string(util.JSONFromInstance(info.Schema)), string(util.JSONFromInstance(people.Schema()))),
		)
	})
	p.Check("collection/indexes", func() error {
		indexes, err := p.db.GetCollectionIndexes(ctx, id, "Person")
		return checks.First(err, checks.Equal(sorted(indexes), []db.Index{{Path: "age"}, {Path: "name", Unique: true}}))
	})
	p.Check("collection/list", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{Name: "Second-1", Schema: people.StrictSchema()})
		list, err2 := p.db.ListCollections(ctx, id)
		names := []string{}
		for _, info := range list {
			names = append(names, info.Name)
		}
		sort.Strings(names)
		return checks.First(err, err2, checks.Equal(names, []string{"Person", "Second-1"}))
	})
	p.Check("collection/new-again", func() error {
		return p.Refused(p.db.NewCollection(ctx, id, config), codes.Unknown, "collection already registered")
	})
	p.Check("collection/update", func() error {
		err := p.db.UpdateCollection(ctx, id, db.CollectionConfig{
			Name: "Person", Schema: people.Schema(), Indexes: []db.Index{{Path: "age"}},
		})
		info, err2 := p.db.GetCollectionInfo(ctx, id, "Person")
		return checks.First(err, err2,
			checks.Equal(info.Indexes, []db.Index{{Path: "age"}}), checks.Equal(info.WriteValidator, ""))
	})
	p.Check("collection/a-schema-behind-a-reference", func() error {
		return p.db.NewCollection(ctx, id, db.CollectionConfig{
			Name: "Dog", Indexes: []db.Index{{Path: "owner.name"}}, Schema: util.SchemaFromSchemaString(`{
				"$ref": "#/definitions/Dog", "definitions": {
					"Dog": {"type": "object", "properties": {
						"_id": {"type": "string"}, "owner": {"$ref": "#/definitions/Owner"}}},
					"Owner": {"type": "object", "properties": {"name": {"type": "string"}}}}}`),
		})
	})
	p.Check("collection/reserved-words-are-ordinary-names", func() error {
		for _, name := range []string{"collection", "index", "instance", "1"} {
			err := p.db.NewCollection(ctx, id, db.CollectionConfig{Name: name, Schema: people.Schema()})
			if err != nil {
				return err
			}
			_, err = p.db.Create(ctx, id, name, []interface{}{people.Person{ID: "a", Name: name}})
			if err != nil {
				return err
			}
		}
		return nil
	})
	p.Check("collection/delete", func() error {
		err := p.db.DeleteCollection(ctx, id, "index")
		_, after := p.db.GetCollectionInfo(ctx, id, "index")
		return checks.First(err, checks.Refused(after, codes.NotFound, "collection not found"))
	})
	p.Departure("collection/deleted-one-starts-empty", func() error {
		again := db.CollectionConfig{Name: "Again", Schema: people.Schema()}
		err := p.db.NewCollection(ctx, id, again)
		_, err2 := p.db.Create(ctx, id, "Again", []interface{}{people.Person{Name: "A"}})
		err3 := p.db.DeleteCollection(ctx, id, "Again")
		err4 := p.db.NewCollection(ctx, id, again)
		found, err5 := p.db.Find(ctx, id, "Again", &db.Query{}, &people.Person{})
		return checks.First(err, err2, err3, err4, err5, checks.Equal(len(found.([]*people.Person)), 0))
	})
}

func sorted(indexes []db.Index) []db.Index {
	sort.Slice(indexes, func(i, j int) bool { return indexes[i].Path < indexes[j].Path })
	return indexes
}

// badCollections are the refusals of the methods on collections.
func (p *program) badCollections() {
	ctx, id := p.context, p.newDatabase()
	refused := func(name string, code codes.Code, text string, config db.CollectionConfig) {
		if config.Name == "" {
			config.Name = "Person"
		}
		if config.Schema == nil {
			config.Schema = people.OpenSchema()
		}
		p.Check("collection/bad/"+name, func() error {
			return p.Refused(p.db.NewCollection(ctx, id, config), code, text)
		})
	}
	for _, name := range []string{"a_b", "a-", "é", "a\n", "a/b"} {
		refused("name/"+name, codes.InvalidArgument, "name may only contain", db.CollectionConfig{Name: name})
	}
	schema := func(text string) *jsonschema.Schema { return util.SchemaFromSchemaString(text) }
	refused("schema-without-id", codes.InvalidArgument, "_id",
		db.CollectionConfig{Schema: schema(`{"type":"object","properties":{"name":{"type":"string"}}}`)})
	refused("schema-with-a-number-as-id", codes.InvalidArgument, "_id",
		db.CollectionConfig{Schema: schema(`{"type":"object","properties":{"_id":{"type":"number"}}}`)})
	index := func(path string) db.CollectionConfig { return db.CollectionConfig{Indexes: []db.Index{{Path: path}}} }
	refused("index-on-id", codes.InvalidArgument, "_id", index("_id"))
	refused("index-on-nothing", codes.InvalidArgument, "collection schema does not contain path", index("nothing"))
	refused("index-on-nothing-inside", codes.InvalidArgument,
		"collection schema does not contain path", index("address.street"))
	refused("index-on-an-object", codes.InvalidArgument, "not indexable", index("address"))
	refused("index-on-an-array", codes.InvalidArgument, "not indexable", index("tags"))
	refused("validator-that-does-not-parse", codes.InvalidArgument, "",
		db.CollectionConfig{WriteValidator: "return ("})
	refused("filter-that-does-not-parse", codes.InvalidArgument, "", db.CollectionConfig{ReadFilter: "return ("})
	for name, text := range map[string]string{
		"not-json": "not json", "nothing": "", "a-number-as-type": `{"type":5,"properties":{"_id":{"type":"string"}}}`,
	} {
		text := text
		p.Check("collection/bad/schema-is-"+name, func() error {
			_, err := p.raw.NewCollection(ctx, &threads_pb.NewCollectionRequest{
				DbID: id.Bytes(), Config: &threads_pb.CollectionConfig{Name: "Person", Schema: []byte(text)},
			})
			return p.Refused(err, codes.InvalidArgument, "")
		})
	}
	p.Departure("collection/bad/schema-with-an-unknown-type", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{
			Name: "Person", Schema: schema(`{"type":"objekt","properties":{"_id":{"type":"string"}}}`)})
		return checks.Refused(err, codes.InvalidArgument, "schema")
	})
	p.Departure("collection/bad/no-config", func() error {
		_, err := p.raw.NewCollection(ctx, &threads_pb.NewCollectionRequest{DbID: id.Bytes()})
		return checks.Refused(err, codes.InvalidArgument, "")
	})
	p.unknownCollections(id)
	p.Check("collection/update-to-unique-with-duplicates", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{Name: "Twins", Schema: people.Schema()})
		_, err2 := p.db.Create(ctx, id, "Twins", []interface{}{people.Person{Name: "A"}, people.Person{Name: "A"}})
		err3 := p.db.UpdateCollection(ctx, id, db.CollectionConfig{
			Name: "Twins", Schema: people.Schema(), Indexes: []db.Index{{Path: "name", Unique: true}},
		})
		return checks.First(err, err2, p.Refused(err3, codes.Unknown, "can't create unique index"))
	})
	p.Check("collection/unique-index", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{
			Name: "Unique", Schema: people.Schema(), Indexes: []db.Index{{Path: "name", Unique: true}},
		})
		_, err2 := p.db.Create(ctx, id, "Unique", []interface{}{people.Person{Name: "A"}})
		_, err3 := p.db.Create(ctx, id, "Unique", []interface{}{people.Person{Name: "A"}})
		return checks.First(err, err2, p.Refused(err3, codes.Unknown, "unique constraint violation"))
	})
}

// unknownCollections asks each method for a collection that is not there.
func (p *program) unknownCollections(id thread.ID) {
	ctx, name := p.context, "Nobody"
	calls := map[string]func() error{
		"info":    func() error { _, err := p.db.GetCollectionInfo(ctx, id, name); return err },
		"indexes": func() error { _, err := p.db.GetCollectionIndexes(ctx, id, name); return err },
		"update": func() error {
			return p.db.UpdateCollection(ctx, id, db.CollectionConfig{Name: name, Schema: people.Schema()})
		},
		"delete":     func() error { return p.db.DeleteCollection(ctx, id, name) },
		"create":     func() error { _, err := p.db.Create(ctx, id, name, []interface{}{people.Person{}}); return err },
		"save":       func() error { return p.db.Save(ctx, id, name, []interface{}{people.Person{ID: "a"}}) },
		"verify":     func() error { return p.db.Verify(ctx, id, name, []interface{}{people.Person{ID: "a"}}) },
		"has":        func() error { _, err := p.db.Has(ctx, id, name, []string{"a"}); return err },
		"find":       func() error { _, err := p.db.Find(ctx, id, name, &db.Query{}, &people.Person{}); return err },
		"find-by-id": func() error { return p.db.FindByID(ctx, id, name, "a", &people.Person{}) },
		"remove":     func() error { return p.db.Delete(ctx, id, name, []string{"a"}) },
	}
	for method, call := range calls {
		call := call
		p.Check("collection/unknown/"+method, func() error {
			return p.Refused(call(), codes.NotFound, "collection not found")
		})
	}
}
