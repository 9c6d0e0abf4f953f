package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// instances runs every verb on instances, with whatever token the context has.
func (p *program) instances(who string, ctx context.Context) {
	check := func(name string, check func() error) { p.Check("instance/"+who+"/"+name, check) }
	id := people.NewThread()
	p.Must("instance/"+who+"/db", func() error {
		return p.db.NewDB(ctx, id, db.WithNewManagedCollections(
			db.CollectionConfig{Name: "Person", Schema: people.Schema()},
			db.CollectionConfig{Name: "Strict", Schema: people.StrictSchema()},
		))
	})
	find := func(instanceID string) (found people.Person, err error) {
		err = p.db.FindByID(ctx, id, "Person", instanceID, &found)
		return found, err
	}
	create := func(instances ...interface{}) ([]string, error) {
		return p.db.Create(ctx, id, "Person", instances)
	}
	save := func(instances ...interface{}) error { return p.db.Save(ctx, id, "Person", instances) }

	check("create-gives-ids", func() error {
		ids, err := create(people.Person{Name: "A"}, people.JSON(`{"name":"B"}`), people.JSON(`{"_id":"","name":"C"}`))
		if err != nil {
			return err
		}
		for _, given := range ids {
			if len(given) != 26 || given != strings.ToLower(given) {
				return checks.Equal(given, "a lower-case ULID")
			}
		}
		return checks.Equal(len(ids), 3)
	})
	check("create-keeps-ids", func() error {
		ids, err := create(people.Person{ID: "kept", Name: "Ada", Age: 36})
		found, err2 := find("kept")
		return checks.First(err, err2, checks.Equal(ids, []string{"kept"}),
			checks.Equal(found.Name, "Ada"), checks.Equal(found.Age, 36), checks.Holds(found.Mod > 0, "no _mod"))
	})
	check("create-of-nothing", func() error {
		ids, err := create()
		return checks.First(err, checks.Equal(len(ids), 0))
	})
	check("create-again", func() error {
		_, err := create(people.Person{ID: "kept"})
		found, err2 := find("kept")
		return checks.First(
			p.Refused(err, codes.Unknown, "can't create already existing instance"), err2, checks.Equal(found.Name, "Ada"))
	})
	check("create-with-one-bad-instance-stores-none", func() error {
		_, err := create(people.Person{ID: "good"}, people.Person{ID: "kept"})
		has, err2 := p.db.Has(ctx, id, "Person", []string{"good"})
		return checks.First(checks.Holds(err != nil, "accepted"), err2, checks.Equal(has, false))
	})
	check("create-of-one-id-twice", func() error {
		_, err := create(people.Person{ID: "twice"}, people.Person{ID: "twice"})
		has, err2 := p.db.Has(ctx, id, "Person", []string{"twice"})
		return checks.First(
			p.Refused(err, codes.Unknown, "already existent instance"), err2, checks.Equal(has, false))
	})
	check("save-replaces", func() error {
		err := save(people.JSON(`{"_id":"kept","name":"Grace"}`))
		var found map[string]interface{}
		err2 := p.db.FindByID(ctx, id, "Person", "kept", &found)
		_, hasAge := found["age"]
		return checks.First(err, err2, checks.Equal(found["name"], "Grace"), checks.Equal(hasAge, false))
	})
	check("save-raises-mod", func() error {
		before, err := find("kept")
		err2 := save(people.Person{ID: "kept", Name: "Grace", Age: 1})
		after, err3 := find("kept")
		return checks.First(err, err2, err3, checks.Holds(after.Mod > before.Mod, "_mod did not rise"))
	})
	check("save-of-an-unknown-id-creates", func() error {
		err := save(people.Person{ID: "saved", Name: "New"})
		found, err2 := find("saved")
		return checks.First(err, err2, checks.Equal(found.Name, "New"))
	})
	check("save-several", func() error {
		err := save(people.Person{ID: "kept", Age: 2}, people.Person{ID: "saved", Age: 3})
		one, err2 := find("kept")
		two, err3 := find("saved")
		return checks.First(err, err2, err3, checks.Equal([]int{one.Age, two.Age}, []int{2, 3}))
	})
	check("save-without-id", func() error {
		return p.Refused(save(people.JSON(`{"name":"A"}`)), codes.Unknown, "instance doesn't correspond to schema")
	})
	check("verify-stores-nothing", func() error {
		err := p.db.Verify(ctx, id, "Person", []interface{}{people.Person{ID: "kept", Age: 99}})
		found, err2 := find("kept")
		return checks.First(err, err2, checks.Equal(found.Age, 2))
	})
	check("has-asks-for-all", func() error {
		all, err := p.db.Has(ctx, id, "Person", []string{"kept", "saved"})
		some, err2 := p.db.Has(ctx, id, "Person", []string{"kept", "nobody"})
		none, err3 := p.db.Has(ctx, id, "Person", nil)
		return checks.First(err, err2, err3, checks.Equal([]bool{all, some, none}, []bool{true, false, true}))
	})
	check("find-by-unknown-id", func() error {
		_, err := find("nobody")
		return p.Refused(err, codes.Unknown, "instance not found")
	})
	check("delete", func() error {
		err := p.db.Delete(ctx, id, "Person", []string{"saved"})
		_, after := find("saved")
		return checks.First(err, p.Refused(after, codes.Unknown, "instance not found"))
	})
	check("delete-of-an-absent-id-is-no-error", func() error {
		return p.db.Delete(ctx, id, "Person", []string{"nobody"})
	})
	check("deleted-id-can-be-created-again", func() error {
		_, err := create(people.Person{ID: "saved", Name: "Back"})
		found, err2 := find("saved")
		return checks.First(err, err2, checks.Equal(found.Name, "Back"), checks.Equal(found.Age, 0))
	})
	p.schemas(check, ctx, id)
}

// schemas checks that create, save and verify hold to the collection's schema, and that refusals store nothing.
func (p *program) schemas(check func(string, func() error), ctx context.Context, id thread.ID) {
	bad := map[string]string{
		"missing":    `{"_id":"bad","age":1}`,
		"wrong-type": `{"_id":"bad","name":5}`,
		"too-short":  `{"_id":"bad","name":""}`,
		"fraction":   `{"_id":"bad","name":"A","age":1.5}`,
	}
	for name, text := range bad {
		instances := []interface{}{people.JSON(text)}
		check("schema/"+name, func() error {
			_, created := p.db.Create(ctx, id, "Strict", instances)
			saved := p.db.Save(ctx, id, "Strict", instances)
			verified := p.db.Verify(ctx, id, "Strict", instances)
			has, err := p.db.Has(ctx, id, "Strict", []string{"bad"})
			const text = "instance doesn't correspond to schema"
			return checks.First(err, p.Refused(created, codes.Unknown, text), p.Refused(saved, codes.Unknown, text),
				p.Refused(verified, codes.Unknown, text), checks.Equal(has, false))
		})
	}
	check("schema/whole-number-with-a-fraction-of-zero", func() error {
		_, err := p.db.Create(ctx, id, "Strict", []interface{}{people.JSON(`{"name":"A","age":1.0}`)})
		return err
	})
	check("schema/more-fields-than-it-names", func() error {
		_, err := p.db.Create(ctx, id, "Strict", []interface{}{people.JSON(`{"name":"A","more":[1,{"deep":null}]}`)})
		return err
	})
}

// badInstances are inputs that are no instances, and texts that must come back as they went in.
func (p *program) badInstances() {
	ctx, id := p.context, p.newDatabase()
	p.Must("instance/bad/collection", func() error {
		return p.db.NewCollection(ctx, id, db.CollectionConfig{Name: "Any", Schema: people.OpenSchema()})
	})
	create := func(text string) error {
		_, err := p.db.Create(ctx, id, "Any", []interface{}{people.JSON(text)})
		return err
	}
	refused := func(name, text string) {
		p.Check("instance/bad/"+name, func() error { return p.Refused(create(text), codes.InvalidArgument, "") })
	}
	refused("number", `5`)
	refused("array", `[{"_id":"a"}]`)
	refused("string", `"a"`)
	refused("number-as-id", `{"_id":5}`)
	p.Departure("instance/bad/null", func() error {
		return checks.Refused(create(`null`), codes.InvalidArgument, "")
	})
	p.Departure("instance/bad/id-of-401-bytes", func() error {
		return checks.First(
			checks.Refused(create(`{"_id":"`+strings.Repeat("x", 401)+`"}`), codes.InvalidArgument, "400"),
			create(`{"_id":"`+strings.Repeat("x", 400)+`"}`))
	})
	p.Departure("instance/slashes-in-an-id-are-opaque", func() error {
		for _, instanceID := range []string{"a/b", "../Other/a", "/a", "a/", "a//b"} {
			if err := create(`{"_id":"` + instanceID + `","name":"` + instanceID + `"}`); err != nil {
				return err
			}
			var found people.Person
			if err := p.db.FindByID(ctx, id, "Any", instanceID, &found); err != nil {
				return err
			}
			if found.ID != instanceID || found.Name != instanceID {
				return checks.Equal(found, instanceID)
			}
		}
		return nil
	})
	p.Check("instance/null-id-is-given-one", func() error {
		ids, err := p.db.Create(ctx, id, "Any", []interface{}{people.JSON(`{"name":"A"}`)})
		return checks.First(err, checks.Equal(len(ids), 1))
	})
	p.Check("instance/save-without-id-that-the-schema-lets-pass", func() error {
		err := p.db.Save(ctx, id, "Any", []interface{}{people.JSON(`{"name":"A"}`)})
		return p.Refused(err, codes.InvalidArgument, "invalid instance: missing _id attribute")
	})
	p.Departure("instance/delete-goes-on-after-an-absent-id", func() error {
		err := create(`{"_id":"there"}`)
		err2 := p.db.Delete(ctx, id, "Any", []string{"nobody", "there"})
		has, err3 := p.db.Has(ctx, id, "Any", []string{"there"})
		return checks.First(err, err2, err3, checks.Equal(has, false))
	})
	same := func(name, text string) func() error {
		return func() error {
			if err := create(`{"_id":"` + name + `","v":` + text + `}`); err != nil {
				return err
			}
			var found map[string]json.RawMessage
			err := p.db.FindByID(ctx, id, "Any", name, &found)
			return checks.First(err, checks.Equal(string(found["v"]), text))
		}
	}
	p.Check("instance/kept/text", same("text", `"é \u003ctag\u003e 漢字 😀"`))
	p.Check("instance/kept/exponent", same("exponent", `1e3`))
	p.Check("instance/kept/large-integer", same("large", `12345678901234567890123`))
	p.Check("instance/kept/nested", same("nested", `{"a":[1,{"b":true}],"c":1.50}`))
	p.Check("instance/kept/integer-beyond-doubles", same("beyond", `9007199254740993`))
	p.Departure("instance/kept/integer-beyond-doubles-after-a-save", func() error {
		err := p.db.Save(ctx, id, "Any", []interface{}{people.JSON(`{"_id":"beyond","v":9007199254740995}`)})
		var found map[string]json.RawMessage
		err2 := p.db.FindByID(ctx, id, "Any", "beyond", &found)
		return checks.First(err, err2, checks.Equal(string(found["v"]), "9007199254740995"))
	})
	p.Check("instance/large", func() error {
		text := strings.Repeat("x", 1<<20)
		err := create(`{"_id":"megabyte","name":"` + text + `"}`)
		var found people.Person
		err2 := p.db.FindByID(ctx, id, "Any", "megabyte", &found)
		return checks.First(err, err2, checks.Holds(found.Name == text, "it came back changed"))
	})
}
