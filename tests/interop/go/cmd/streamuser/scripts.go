package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/textileio/go-threads/api/client"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

const denied = "app denied net record body"

func (p *program) validated(validator string) thread.ID {
	return p.database(db.CollectionConfig{WriteValidator: validator})
}

// validators are write validators that decide: what they are asked, and what their answers do.
func (p *program) validators() {
	answers := map[string]string{
		"return false": "", "return null": "", "return undefined": "", "": "", "return 'not yours'": ": not yours",
		"return 1": ": 1", "return event.patch.type + ' ' + event.patch.instance_id": ": create a",
	}
	for body, reason := range answers {
		body, reason := body, reason
		p.Check("validator/refuses/"+body, func() error {
			id := p.validated(body + ";")
			return checks.First(p.Refused(p.create(p.alice, id, `{"_id":"a"}`), codes.Unknown, denied+reason), p.holds(id))
		})
	}
	p.Check("validator/true-accepts", func() error {
		id := p.validated("return true")
		return checks.First(p.create(p.alice, id, `{"_id":"a"}`), p.save(p.bob, id, `{"_id":"a","age":1}`),
			p.db.Delete(p.bob, id, "Person", []string{"a"}), p.holds(id))
	})
	p.Check("validator/goes-by-the-writer", func() error {
		id := p.validated(`return writer === "` + p.alice.key + `" || "only Alice"`)
		return checks.First(p.create(p.alice, id, `{"_id":"a"}`),
			p.Refused(p.create(p.bob, id, `{"_id":"b"}`), codes.Unknown, denied+": only Alice"),
			p.Refused(p.save(p.bob, id, `{"_id":"a","age":1}`), codes.Unknown, denied+": only Alice"),
			p.Refused(p.db.Delete(p.bob, id, "Person", []string{"a"}), codes.Unknown, denied+": only Alice"),
			p.Refused(p.db.Verify(p.bob, id, "Person", instances(`{"_id":"a"}`)), codes.Unknown, denied+": only Alice"),
			p.db.Verify(p.alice, id, "Person", instances(`{"_id":"a"}`)), p.holds(id, "a"))
	})
	p.Check("validator/goes-by-what-is-stored", func() error {
		id := p.validated(`return !instance || instance.name === writer`)
		mine := `{"_id":"a","name":"` + p.alice.key + `"}`
		return checks.First(p.create(p.alice, id, mine),
			p.Refused(p.save(p.bob, id, `{"_id":"a","name":"`+p.bob.key+`"}`), codes.Unknown, denied),
			p.save(p.alice, id, mine), p.Refused(p.db.Delete(p.bob, id, "Person", []string{"a"}), codes.Unknown, denied),
			p.db.Delete(p.alice, id, "Person", []string{"a"}))
	})
	p.Check("validator/what-a-create-shows", func() error {
		id := p.validated(`return [typeof instance, instance === null, instance === undefined, typeof event.timestamp,
			event._id, event.collection_name, event.patch.type, event.patch.instance_id,
			JSON.stringify(event.patch.json_patch.name), typeof event.patch.json_patch._mod, arguments.length].join(" ")`)
		return p.Refused(p.create(p.alice, id, `{"_id":"a","name":"A"}`), codes.Unknown,
			denied+`: undefined false true number a Person create a "A" number 3`)
	})
	p.Check("validator/what-a-save-shows", func() error {
		id := p.validated(`if (!instance) return true; var patch = event.patch.json_patch; delete patch._mod;
			return JSON.stringify([instance.name, typeof instance._mod, event.patch.type, patch])`)
		return checks.First(p.create(p.alice, id, `{"_id":"a","name":"A","age":1,"member":true}`),
			p.Refused(p.save(p.alice, id, `{"_id":"a","name":"A","age":2}`), codes.Unknown,
				denied+`: ["A","number","save",{"age":2,"member":null}]`))
	})
	p.Check("validator/what-a-save-of-a-new-instance-shows", func() error {
		id := p.validated(`return [instance === undefined, event.patch.type, event.patch.json_patch._id].join(" ")`)
		return p.Refused(p.save(p.alice, id, `{"_id":"a"}`), codes.Unknown, denied+": true save a")
	})
	p.Check("validator/what-a-delete-shows", func() error {
		id := p.validated(`if (event.patch.type === "create") return true;
			return [event.patch.type, event.patch.instance_id, typeof event.patch.json_patch, instance.name].join(" ")`)
		return checks.First(p.create(p.alice, id, `{"_id":"a","name":"A"}`),
			p.Refused(p.db.Delete(p.alice, id, "Person", []string{"a"}), codes.Unknown, denied+": delete a undefined A"))
	})
	p.Check("validator/sees-the-state-before-the-transaction", func() error {
		id := p.validated(`return event.patch.type === "create" || instance === undefined || instance.name`)
		return checks.First(p.committing(id, func(txn *client.WriteTransaction) error {
			return checks.First(add(txn, `{"_id":"a","name":"A"}`), txn.Save(instances(`{"_id":"a","name":"B"}`)...))
		}), p.Refused(p.save(p.alice, id, `{"_id":"a"}`), codes.Unknown, denied+": B"))
	})
	p.Check("validator/without-token", func() error {
		if p.nobody == nil {
			return nil
		}
		id := p.validated(`return typeof writer`)
		return p.Refused(p.create(p.nobody, id, `{"_id":"a"}`), codes.Unknown, denied+": string")
	})
	p.Check("validator/update-changes-it", func() error {
		id := p.validated("return false")
		err := p.db.UpdateCollection(p.alice, id, db.CollectionConfig{Name: "Person", Schema: people.OpenSchema()})
		return checks.First(err, p.create(p.bob, id, `{"_id":"a"}`))
	})
	p.Departure("validator/texts-of-any-kind", func() error {
		id := p.validated(`return instance === undefined || instance.name === "it's \\ \"so\" \n\u2028"`)
		name := `"it's \\ \"so\" \n\u2028"`
		return checks.First(p.create(p.alice, id, `{"_id":"a","name":`+name+`}`), p.save(p.alice, id, `{"_id":"a"}`))
	})
}

// failingScripts are scripts that fail or do not end.
func (p *program) failingScripts() {
	p.Check("validator/throws", func() error {
		id := p.validated(`throw new Error("no way")`)
		return checks.First(p.Refused(p.create(p.alice, id, `{"_id":"a"}`), codes.Unknown,
			"running write validator func: Error: no way"), p.holds(id))
	})
	p.Check("validator/reads-what-is-not-there", func() error {
		return p.Refused(p.create(p.alice, p.validated(`return nothing.at.all`), `{"_id":"a"}`), codes.Unknown,
			"running write validator func: ReferenceError")
	})
	p.Departure("validator/keeps-nothing", func() error {
		id := p.validated(`if (globalThis.seen) return "seen"; globalThis.seen = true; return true`)
		return checks.First(p.create(p.alice, id, `{"_id":"a"}`), p.create(p.alice, id, `{"_id":"b"}`))
	})
	p.Departure("validator/endless", func() error {
		id, other := p.validated(`while (true) {}`), p.with(`{"_id":"a"}`)
		refused := make(chan error, 1)
		began := time.Now()
		go func() { refused <- p.create(p.alice, id, `{"_id":"a"}`) }()
		slowest, calls := time.Duration(0), 0
		for {
			select {
			case err := <-refused:
				took := time.Since(began)
				return checks.First(checks.Refused(err, codes.Unknown, "timed out"),
					checks.Holds(took > 900*time.Millisecond && took < 3*time.Second, fmt.Sprintf("refused after %v", took)),
					checks.Holds(slowest < 500*time.Millisecond, fmt.Sprintf("another call took %v", slowest)),
					checks.Holds(calls > 50, fmt.Sprintf("only %d other calls went on", calls)), p.holds(id))
			default:
			}
			before := time.Now()
			if err := p.save(p.bob, other, `{"_id":"a","age":1}`); err != nil {
				return err
			}
			if took := time.Since(before); took > slowest {
				slowest = took
			}
			calls++
		}
	})
	p.Departure("validator/of-endless-memory", func() error {
		id := p.validated(`const a = []; while (true) a.push("x".repeat(100000))`)
		return checks.First(checks.Refused(p.create(p.alice, id, `{"_id":"a"}`), codes.Unknown, "memory"), p.holds(id))
	})
	p.Departure("filter/endless", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: `while (true) {}`})
		err := p.create(p.alice, id, `{"_id":"a"}`)
		began := time.Now()
		_, refused := p.get(p.alice, id, "a")
		return checks.First(err, checks.Refused(refused, codes.Unknown, "running read filter func: timed out"),
			checks.Holds(time.Since(began) < 3*time.Second, "it took long"))
	})
	p.Check("filter/throws", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: `throw new Error("no way")`})
		err := p.create(p.alice, id, `{"_id":"a"}`)
		const text = "running read filter func: Error: no way"
		_, byID := p.get(p.alice, id, "a")
		_, found := p.ids(p.alice, id, &db.Query{})
		_, has := p.db.Has(p.alice, id, "Person", []string{"a"})
		return checks.First(err, p.Refused(byID, codes.Unknown, text), p.Refused(found, codes.Unknown, text),
			p.Refused(has, codes.Unknown, text))
	})
}

// owned is a read filter: instances show their `tags` to the one whom `name` names only, and the rest to all but those
// that the ID begins with "hidden".
const owned = `
	if (instance._id.indexOf("hidden") === 0 && instance.name !== reader) return null;
	if (instance.name !== reader) delete instance.tags;
	return instance;`

// readFilters are read filters that hide instances, or parts of them.
func (p *program) readFilters() {
	id := p.database(db.CollectionConfig{ReadFilter: owned, Indexes: []db.Index{{Path: "age"}}})
	p.Must("filter/fill", func() error {
		name := `"name":"` + p.alice.key + `"`
		return p.create(p.alice, id, `{"_id":"a",`+name+`,"age":1,"tags":["x"]}`,
			`{"_id":"b","age":2}`, `{"_id":"hidden",`+name+`,"age":3,"tags":["y"]}`)
	})
	p.Check("filter/find-by-id", func() error {
		mine, err := p.get(p.alice, id, "a")
		theirs, err2 := p.get(p.bob, id, "a")
		_, hasTags := theirs["tags"]
		_, hidden := p.get(p.bob, id, "hidden")
		shown, err3 := p.get(p.alice, id, "hidden")
		return checks.First(err, err2, err3, checks.Equal(mine["tags"], []interface{}{"x"}),
			checks.Equal(hasTags, false), p.Refused(hidden, codes.Unknown, "instance not found"),
			checks.Equal(shown["age"], 3.0))
	})
	p.Check("filter/has", func() error {
		mine, err := p.db.Has(p.alice, id, "Person", []string{"a", "hidden"})
		theirs, err2 := p.db.Has(p.bob, id, "Person", []string{"a", "b"})
		hidden, err3 := p.db.Has(p.bob, id, "Person", []string{"a", "hidden"})
		return checks.First(err, err2, err3, checks.Equal([]bool{mine, theirs, hidden}, []bool{true, true, false}))
	})
	p.Check("filter/find", func() error {
		mine, err := p.ids(p.alice, id, db.OrderByID())
		theirs, err2 := p.ids(p.bob, id, db.OrderByID())
		older, err3 := p.ids(p.bob, id, db.Where("age").Ge(2.0).UseIndex("age"))
		return checks.First(err, err2, err3, checks.Equal(mine, []string{"a", "b", "hidden"}),
			checks.Equal(theirs, []string{"a", "b"}), checks.Equal(older, []string{"b"}))
	})
	p.Check("filter/limit-and-skip-count-what-is-seen", func() error {
		one, err := p.ids(p.bob, id, db.OrderByID().LimitTo(1).SkipNum(1))
		none, err2 := p.ids(p.bob, id, db.OrderByID().LimitTo(1).SkipNum(2))
		return checks.First(err, err2, checks.Equal(one, []string{"b"}), checks.Equal(none, []string{}))
	})
	p.Check("filter/in-transactions", func() error {
		return p.reading(p.bob, id, func(txn *client.ReadTransaction) error {
			has, err := txn.Has("hidden")
			found, err2 := txn.Find(db.OrderByID(), &people.Person{})
			hidden := txn.FindByID("hidden", &people.Person{})
			return checks.First(err, err2, checks.Equal(has, false), checks.Equal(idsOf(found), []string{"a", "b"}),
				checks.Equal(text(hidden), "instance not found"))
		})
	})
	p.Departure("filter/numbers-that-it-leaves-alone", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: `instance.seen = true; return instance`})
		var found struct{ V jsonNumber }
		err := p.create(p.alice, id, `{"_id":"a","v":9007199254740993}`)
		err2 := p.db.FindByID(p.alice, id, "Person", "a", &found)
		return checks.First(err, err2, checks.Equal(string(found.V), "9007199254740993"))
	})
	p.Check("filter/without-token", func() error {
		if p.nobody == nil {
			return nil
		}
		id := p.database(db.CollectionConfig{ReadFilter: `instance.name = typeof reader; return instance`})
		err := p.create(p.alice, id, `{"_id":"a"}`)
		found, err2 := p.get(p.nobody, id, "a")
		return checks.First(err, err2, checks.Equal(found["name"], "undefined"))
	})
	p.Check("filter/update-takes-it-away", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: `return null`})
		err := p.create(p.alice, id, `{"_id":"a"}`)
		before := p.holds(id)
		err2 := p.db.UpdateCollection(p.alice, id, db.CollectionConfig{Name: "Person", Schema: people.OpenSchema()})
		return checks.First(err, before, err2, p.holds(id, "a"))
	})
}

// savesBehindFilters are saves of what the writer sees a part of, or nothing.
func (p *program) savesBehindFilters() {
	secret := `{"_id":"a","name":"` + p.alice.key + `","age":1,"tags":["x"]}`
	p.Check("filter/a-save-keeps-what-is-hidden", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: owned})
		err := p.create(p.alice, id, secret)
		err2 := p.save(p.bob, id, `{"_id":"a","name":"`+p.alice.key+`","member":true}`)
		found, err3 := p.get(p.alice, id, "a")
		return checks.First(err, err2, err3, checks.Equal(found, object{
			"_id": "a", "name": p.alice.key, "member": true, "tags": []interface{}{"x"}}))
	})
	p.Check("filter/a-save-in-a-transaction-keeps-what-is-hidden", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: owned})
		err := p.create(p.alice, id, secret)
		err2, err3 := p.writing(p.bob, id, func(txn *client.WriteTransaction) error {
			return txn.Save(instances(`{"_id":"a","name":"` + p.alice.key + `"}`)...)
		})
		found, err4 := p.get(p.alice, id, "a")
		return checks.First(err, err2, err3, err4, checks.Equal(found["tags"], []interface{}{"x"}))
	})
	p.Departure("filter/a-save-of-what-is-hidden-is-refused", func() error {
		id := p.database(db.CollectionConfig{ReadFilter: owned})
		hidden := strings.Replace(secret, `"a"`, `"hidden"`, 1)
		err := p.create(p.alice, id, hidden)
		refused := p.save(p.bob, id, `{"_id":"hidden","name":"B"}`)
		err2, ended := p.writing(p.bob, id, func(txn *client.WriteTransaction) error {
			return contains(text(txn.Save(instances(`{"_id":"hidden"}`)...)), denied)
		})
		found, err3 := p.get(p.alice, id, "hidden")
		return checks.First(err, checks.Refused(refused, codes.Unknown, denied), err2, ended, err3,
			checks.Equal(found["name"], p.alice.key))
	})
}
