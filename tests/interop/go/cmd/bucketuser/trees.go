package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/textileio/textile/v2/api/bucketsd/client"
	"github.com/textileio/textile/v2/buckets"
)

func (p *program) push(key, path, text string) error {
	_, _, err := p.buckets.PushPath(p.alice, key, path, strings.NewReader(text))
	return err
}

func first(errors ...error) error {
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *program) trees(kind string, private bool) {
	key, _ := p.create(kind+" tree", private)
	p.Must(kind+": some files", func() error {
		return first(p.push(key, "a/b.txt", "1"), p.push(key, "a/c/d.txt", "2"), p.push(key, "e.txt", "3"))
	})
	p.Check(kind+": a file is moved", func() error {
		return first(
			p.buckets.MovePath(p.alice, key, "a/b.txt", "new/b.txt"),
			p.holds(key, "new/b.txt", []byte("1")),
			p.lists(key, "a", "c"),
		)
	})
	p.Check(kind+": a directory is moved into another", func() error {
		return first(p.buckets.MovePath(p.alice, key, "a", "new"), p.holds(key, "new/a/c/d.txt", []byte("2")))
	})
	p.Check(kind+": a path is removed", func() error {
		if _, err := p.buckets.RemovePath(p.alice, key, "new/b.txt"); err != nil {
			return err
		}
		return p.lists(key, "new", "a")
	})
	p.Check(kind+": a path that is not there is not removed", func() error {
		_, err := p.buckets.RemovePath(p.alice, key, "new/b.txt")
		if private {
			return refused(err, "remove node failed: could not resolve path: ")
		}
		return refused(err, "no link by that name")
	})
	p.Check(kind+": a node is put at a path, and begins a bucket", func() error {
		source, _ := p.create(kind+" source", false)
		if err := first(p.push(source, "site/x", "x"), p.push(source, "site/y/z", "z")); err != nil {
			return err
		}
		found, err := p.buckets.ListPath(p.alice, source, "site")
		if err != nil {
			return err
		}
		id, err := cid.Decode(found.Item.Cid)
		if err != nil {
			return err
		}
		if _, err = p.buckets.SetPath(p.alice, key, "set/here", id); err != nil {
			return err
		}
		other, _ := p.create(kind+" copy", private, client.WithCid(id))
		return first(
			p.holds(key, "set/here/y/z", []byte("z")),
			p.holds(other, "x", []byte("x")),
			p.lists(other, "", ".textileseed", "x", "y"),
		)
	})
	p.Check(kind+": the buckets are listed", func() error {
		found, err := p.buckets.List(p.alice)
		if err != nil {
			return err
		}
		for _, root := range found.Roots {
			if root.Key == key && root.Name == kind+" tree" {
				return nil
			}
		}
		return fmt.Errorf("%d others", len(found.Roots))
	})
}

func (p *program) roles(kind string, private bool) {
	key, _ := p.create(kind+" roles", private)
	bob := p.bobKey.GetPublic().String()
	reads := func() error {
		var out bytes.Buffer
		return p.buckets.PullPath(p.bob, key, "shared/file", &out)
	}
	writes := func() error {
		_, _, err := p.buckets.PushPath(p.bob, key, "shared/file", strings.NewReader("by bob"))
		return err
	}
	grant := func(role buckets.Role) error {
		return p.buckets.PushPathAccessRoles(p.alice, key, "shared/file", map[string]buckets.Role{bob: role})
	}
	const denied = "permission denied"
	p.Must(kind+": a file to share", func() error {
		return first(p.push(key, "shared/file", "by alice"), p.push(key, "own", "mine"))
	})
	p.Check(kind+": a stranger", func() error {
		if err := refused(writes(), ""); err != nil {
			return err
		}
		if private {
			return refused(reads(), "could not resolve path: ")
		}
		return reads()
	})
	p.Check(kind+": a reader", func() error {
		return first(grant(buckets.Reader), reads(), refused(writes(), denied))
	})
	p.Check(kind+": a writer", func() error {
		return first(grant(buckets.Writer), reads(), writes(), p.holds(key, "shared/file", []byte("by bob")))
	})
	p.Check(kind+": roles are told", func() error {
		found, err := p.buckets.PullPathAccessRoles(p.alice, key, "shared/file")
		if err == nil && (len(found) != 1 || found[bob] != buckets.Writer) {
			err = fmt.Errorf("%v", found)
		}
		return err
	})
	p.Check(kind+": a writer of one file writes no other, and destroys nothing", func() error {
		_, _, err := p.buckets.PushPath(p.bob, key, "own", strings.NewReader("by bob"))
		if err = refused(err, ""); err != nil {
			return err
		}
		if err = refused(p.buckets.Remove(p.bob, key), ""); err != nil {
			return err
		}
		return p.holds(key, "own", []byte("mine"))
	})
	p.Check(kind+": a role is taken away", func() error {
		return first(grant(buckets.None), refused(writes(), ""), p.holds(key, "shared/file", []byte("by bob")))
	})
}

func (p *program) refusals() {
	key, _ := p.create("refusals", false)
	p.Must("refusals: a file", func() error { return p.push(key, "dir/file", "1") })
	refuses := func(name, text string, call func() error) {
		p.Check("refusals: "+name, func() error { return refused(call(), text) })
	}
	const seed = "paths containing .textileseed are not allowed"
	refuses("a bucket that is not there", "instance not found", func() error {
		_, err := p.buckets.Root(p.alice, "nobody")
		return err
	})
	refuses("no thread", "db required", func() error {
		_, err := p.buckets.List(p.threadless)
		return err
	})
	refuses("the seed is pushed", seed, func() error { return p.push(key, ".textileseed", "x") })
	refuses("the seed is moved", seed, func() error { return p.buckets.MovePath(p.alice, key, ".textileseed", "x") })
	refuses("the root is moved", "source is root directory", func() error {
		return p.buckets.MovePath(p.alice, key, "", "x")
	})
	refuses("a directory is pulled", "node is a directory", func() error {
		_, err := p.pull(key, "dir")
		return err
	})
	refuses("nothing is pulled", `no link named "none" under `, func() error {
		_, err := p.pull(key, "none")
		return err
	})
	refuses("no key", "unmarshaling role public key: ", func() error {
		return p.buckets.PushPathAccessRoles(p.alice, key, "dir", map[string]buckets.Role{"bob": buckets.Reader})
	})
	refuses("archives are configured", "archiving feature is disabled", func() error {
		_, err := p.buckets.DefaultArchiveConfig(p.alice, key)
		return err
	})
	refuses("an archive is made", "archiving feature is disabled", func() error { return p.buckets.Archive(p.alice, key) })
	refuses("an archive is watched", "the bucket was never archived", func() error {
		return p.buckets.ArchiveWatch(p.alice, key, make(chan string, 1))
	})
	p.Check("refusals: no archives", func() error {
		found, err := p.buckets.Archives(p.alice, key)
		if err == nil && (found.Current != nil || len(found.History) > 0) {
			err = fmt.Errorf("%v", found)
		}
		return err
	})
}
