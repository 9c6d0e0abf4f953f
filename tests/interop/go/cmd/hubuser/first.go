package main

import (
	"context"
	"sort"
	"strings"

	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/db"
	"github.com/textileio/textile/v2/api/common"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

// firstProgram goes from nothing to instances and back, as the documents of the Hub tell a new user to.
func (p *program) firstProgram() {
	ctx := p.signed(p.user)
	p.Must("first/token", func() error {
		token, err := p.db.GetToken(ctx, people.Identity())
		ctx = thread.NewTokenContext(ctx, token)
		return checks.First(err, checks.Holds(strings.Count(string(token), ".") == 2, "the token is no JWT"))
	})
	id := people.NewThread()
	p.Must("first/new-db", func() error {
		return p.db.NewDB(common.NewThreadNameContext(ctx, "first-program"), id, db.WithNewManagedName("people"))
	})
	p.Must("first/new-collection", func() error {
		return p.db.NewCollection(ctx, id, db.CollectionConfig{
			Name:    "Person",
			Schema:  people.Schema(),
			Indexes: []db.Index{{Path: "name"}},
		})
	})
	p.Check("first/db-info", func() error { return p.databaseInfo(ctx, id) })
	p.instances(ctx, id)
	p.collections(ctx, id)
	p.Check("first/list-dbs-is-not-accessible", func() error {
		_, err := p.db.ListDBs(ctx)
		return checks.Refused(err, codes.PermissionDenied, "Method is not accessible")
	})
	p.Check("first/delete-db", func() error {
		err := p.db.DeleteDB(ctx, id)
		_, after := p.db.GetDBInfo(ctx, id)
		return checks.First(err, checks.Refused(after, codes.PermissionDenied, "User does not own thread"))
	})
	p.Check("first/thread-name-is-free-again", func() error {
		return p.db.NewDB(common.NewThreadNameContext(ctx, "first-program"), people.NewThread())
	})
}

func (p *program) databaseInfo(ctx context.Context, id thread.ID) error {
	info, err := p.db.GetDBInfo(ctx, id)
	if err != nil {
		return err
	}
	if err := checks.Equal(info.Name, "people"); err != nil {
		return err
	}
	for _, address := range info.Addrs {
		if !strings.HasSuffix(address.String(), "/thread/"+id.String()) {
			return checks.Equal(address.String(), "an address that ends with the thread")
		}
	}
	return checks.First(
		checks.Holds(len(info.Addrs) > 0, "no addresses"),
		checks.Holds(info.Key.CanRead(), "the key has no read key"),
	)
}

// instances runs every verb on instances once.
func (p *program) instances(ctx context.Context, id thread.ID) {
	var ids []string
	p.Must("instances/create", func() error {
		var err error
		ids, err = p.db.Create(ctx, id, "Person", []interface{}{
			people.Person{Name: "Ada", Age: 36},
			people.Person{Name: "Grace", Age: 85},
			people.Person{ID: "alan", Name: "Alan", Age: 41},
		})
		if err != nil {
			return err
		}
		if len(ids) != 3 {
			return checks.Equal(len(ids), 3)
		}
		return checks.First(
			checks.Equal(ids[2], "alan"),
			checks.Holds(len(ids[0]) == 26 && ids[0] == strings.ToLower(ids[0]), "an ID that is no lower-case ULID: "+ids[0]),
		)
	})
	p.Check("instances/find-by-id", func() error {
		var found people.Person
		err := p.db.FindByID(ctx, id, "Person", ids[0], &found)
		return checks.First(err, checks.Equal(found.Name, "Ada"), checks.Holds(found.Mod > 0, "no _mod"))
	})
	p.Check("instances/find-with-query", func() error {
		return p.finds(ctx, id, db.Where("age").Gt(float64(40)), "Alan", "Grace")
	})
	p.Check("instances/find-with-two-conditions", func() error {
		return p.finds(ctx, id, db.Where("age").Gt(float64(40)).And("name").Eq("Grace"), "Grace")
	})
	p.Check("instances/find-all", func() error {
		return p.finds(ctx, id, &db.Query{}, "Ada", "Alan", "Grace")
	})
	p.Check("instances/save", func() error {
		err := p.db.Save(ctx, id, "Person", []interface{}{people.Person{ID: ids[0], Name: "Ada", Age: 37}})
		var found people.Person
		return checks.First(err, p.db.FindByID(ctx, id, "Person", ids[0], &found), checks.Equal(found.Age, 37))
	})
	p.Check("instances/verify-stores-nothing", func() error {
		err := p.db.Verify(ctx, id, "Person", []interface{}{people.Person{ID: ids[0], Name: "Ada", Age: 99}})
		var found people.Person
		return checks.First(err, p.db.FindByID(ctx, id, "Person", ids[0], &found), checks.Equal(found.Age, 37))
	})
	p.Check("instances/has", func() error {
		all, err := p.db.Has(ctx, id, "Person", ids)
		some, err2 := p.db.Has(ctx, id, "Person", []string{ids[0], "nobody"})
		return checks.First(err, err2, checks.Equal([]bool{all, some}, []bool{true, false}))
	})
	p.Check("instances/delete", func() error {
		err := p.db.Delete(ctx, id, "Person", []string{ids[1]})
		has, err2 := p.db.Has(ctx, id, "Person", []string{ids[1]})
		return checks.First(err, err2, checks.Equal(has, false))
	})
	p.Check("instances/create-of-a-taken-id", func() error {
		_, err := p.db.Create(ctx, id, "Person", []interface{}{people.Person{ID: "alan", Name: "Again"}})
		return checks.Refused(err, codes.Unknown, "can't create already existing instance")
	})
	p.Check("instances/find-by-id-of-nobody", func() error {
		var found people.Person
		return checks.Refused(
			p.db.FindByID(ctx, id, "Person", "nobody", &found), codes.Unknown, "instance not found")
	})
}

func (p *program) finds(ctx context.Context, id thread.ID, query *db.Query, want ...string) error {
	found, err := p.db.Find(ctx, id, "Person", query, &people.Person{})
	if err != nil {
		return err
	}
	names := []string{}
	for _, person := range found.([]*people.Person) {
		names = append(names, person.Name)
	}
	sort.Strings(names)
	return checks.Equal(strings.Join(names, " "), strings.Join(want, " "))
}

// collections runs every verb on collections once.
func (p *program) collections(ctx context.Context, id thread.ID) {
	p.Check("collections/info", func() error {
		info, err := p.db.GetCollectionInfo(ctx, id, "Person")
		if err != nil {
			return err
		}
		return checks.First(
			checks.Equal(info.Name, "Person"),
			checks.Equal(info.Indexes, []db.Index{{Path: "name"}}),
			checks.Holds(info.Schema.Definitions["Person"] != nil, "the schema has lost its definitions"),
		)
	})
	p.Check("collections/indexes", func() error {
		indexes, err := p.db.GetCollectionIndexes(ctx, id, "Person")
		return checks.First(err, checks.Equal(indexes, []db.Index{{Path: "name"}}))
	})
	p.Check("collections/update", func() error {
		err := p.db.UpdateCollection(ctx, id, db.CollectionConfig{
			Name: "Person", Schema: people.Schema(), Indexes: []db.Index{{Path: "age"}},
		})
		info, err2 := p.db.GetCollectionInfo(ctx, id, "Person")
		return checks.First(err, err2, checks.Equal(info.Indexes, []db.Index{{Path: "age"}}),
			p.finds(ctx, id, db.Where("age").Eq(float64(41)), "Alan"))
	})
	p.Check("collections/list", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{Name: "Second", Schema: people.Schema()})
		list, err2 := p.db.ListCollections(ctx, id)
		names := []string{}
		for _, config := range list {
			names = append(names, config.Name)
		}
		sort.Strings(names)
		return checks.First(err, err2, checks.Equal(names, []string{"Person", "Second"}))
	})
	p.Check("collections/twice", func() error {
		err := p.db.NewCollection(ctx, id, db.CollectionConfig{Name: "Person", Schema: people.Schema()})
		return checks.Refused(err, codes.Unknown, "collection already registered")
	})
	p.Check("collections/delete", func() error {
		err := p.db.DeleteCollection(ctx, id, "Second")
		_, after := p.db.GetCollectionInfo(ctx, id, "Second")
		return checks.First(err, checks.Refused(after, codes.NotFound, "collection not found"))
	})
}
