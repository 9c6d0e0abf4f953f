package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/interface-go-ipfs-core/path"
	"github.com/textileio/dcrypto"
	"github.com/textileio/textile/v2/api/bucketsd/client"
	"github.com/textileio/textile/v2/util"
)

// sizes are those around the borders of chunks and of sealed chunks, and one of many chunks.
var sizes = []int{0, 1, 262144 - 85, 262144 - 84, 262143, 262144, 262145, 5 << 20}

func content(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	return data
}

func (p *program) pull(key, path string) ([]byte, error) {
	var out bytes.Buffer
	err := p.buckets.PullPath(p.alice, key, path, &out)
	return out.Bytes(), err
}

// holds checks that a path of a bucket is a file of some content.
func (p *program) holds(key, path string, wanted []byte) error {
	found, err := p.pull(key, path)
	if err == nil && !bytes.Equal(found, wanted) {
		err = fmt.Errorf("%s has %d bytes and not the %d that were pushed", path, len(found), len(wanted))
	}
	return err
}

// names lists a directory.
func (p *program) names(key, path string) ([]string, error) {
	found, err := p.buckets.ListPath(p.alice, key, path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, item := range found.Item.Items {
		names = append(names, item.Name)
	}
	sort.Strings(names)
	return names, nil
}

func (p *program) lists(key, path string, wanted ...string) error {
	names, err := p.names(key, path)
	if err == nil && strings.Join(names, "|") != strings.Join(wanted, "|") {
		err = fmt.Errorf("%q holds %q and not %q", path, names, wanted)
	}
	return err
}

// create makes a bucket; the whole program stands on that.
func (p *program) create(name string, private bool, more ...client.CreateOption) (key string, root path.Resolved) {
	p.Must(name+": create", func() error {
		options := append([]client.CreateOption{client.WithName(name), client.WithPrivate(private)}, more...)
		made, err := p.buckets.Create(p.alice, options...)
		if err != nil {
			return err
		}
		key = made.Root.Key
		if root, err = util.NewResolvedPath(made.Root.Path); err != nil {
			return err
		}
		if len(made.Seed) != 32 || (made.Root.LinkKey != "") != private || made.Root.Thread != p.thread.String() {
			return fmt.Errorf("made %v with a seed of %d bytes", made.Root, len(made.Seed))
		}
		if _, err = cid.Decode(made.SeedCid); err != nil {
			return err
		}
		if made.Root.Owner != p.aliceKey.GetPublic().String() {
			return fmt.Errorf("owned by %q", made.Root.Owner)
		}
		return p.holds(key, ".textileseed", made.Seed)
	})
	return key, root
}

func (p *program) files(kind string, private bool) {
	key, root := p.create(kind+" files", private)
	for _, size := range sizes {
		name := fmt.Sprintf("%s: a file of %d bytes", kind, size)
		p.Check(name, func() error {
			target, data := fmt.Sprintf("dir/%d", size), content(size)
			progress := make(chan int64, 1000)
			_, next, err := p.buckets.PushPath(
				p.alice, key, target, bytes.NewReader(data), client.WithFastForwardOnly(root), client.WithProgress(progress),
			)
			if err != nil {
				return err
			}
			root = next
			kept := int64(size)
			if private {
				kept += 84
			}
			last := int64(-1)
			for len(progress) > 0 {
				last = <-progress
			}
			if last != kept {
				return fmt.Errorf("told of %d bytes and not of %d", last, kept)
			}
			return p.holds(key, target, data)
		})
	}
	p.Check(kind+": the root moved with each push", func() error {
		found, err := p.buckets.Root(p.alice, key)
		if err == nil && found.Root.Path != root.String() {
			err = fmt.Errorf("root %s and not %s", found.Root.Path, root)
		}
		return err
	})
	p.Check(kind+": a push on an old root", func() error {
		old := path.IpfsPath(root.Cid())
		if _, _, err := p.buckets.PushPath(p.alice, key, "new", strings.NewReader("1")); err != nil {
			return err
		}
		_, _, err := p.buckets.PushPath(p.alice, key, "new", strings.NewReader("2"), client.WithFastForwardOnly(old))
		return refused(err, "update is non-fast-forward")
	})
	p.Check(kind+": links", func() error {
		links, err := p.buckets.Links(p.alice, key, "dir/1")
		if err != nil {
			return err
		}
		end := "/thread/" + p.thread.String() + "/buckets/" + key + "/dir/1"
		if !strings.Contains(links.Url, end) || !strings.Contains(links.Ipns, "/ipns/"+key+"/dir/1") {
			return fmt.Errorf("%v", links)
		}
		if strings.Contains(links.Url, "?token=ey") != private {
			return fmt.Errorf("%s", links.Url)
		}
		return nil
	})
	if !private {
		p.Check("nodes by their CIDs", func() error {
			found, err := p.buckets.ListPath(p.alice, key, "dir/262145")
			if err != nil {
				return err
			}
			id, err := cid.Decode(found.Item.Cid)
			if err != nil {
				return err
			}
			var out bytes.Buffer
			if err = p.buckets.PullIpfsPath(p.alice, path.IpfsPath(id), &out); err != nil {
				return err
			}
			if !bytes.Equal(out.Bytes(), content(262145)) {
				return fmt.Errorf("%d other bytes", out.Len())
			}
			listed, err := p.buckets.ListIpfsPath(p.alice, path.New(found.Root.Path+"/dir"))
			if err == nil && len(listed.Item.Items) != len(sizes) {
				err = fmt.Errorf("%d items", len(listed.Item.Items))
			}
			return err
		})
	}
	if private {
		p.Check("what is kept of a private bucket opens with its own keys", func() error { return p.sealed(key) })
	}
	p.Check(kind+": a bucket is removed", func() error {
		if err := p.buckets.Remove(p.alice, key); err != nil {
			return err
		}
		_, err := p.buckets.Root(p.alice, key)
		return refused(err, "instance not found")
	})
}

func (p *program) many(kind string, private bool) {
	key, root := p.create(kind+" queue", private)
	const count = 200
	p.Check(kind+": many files in one stream", func() error {
		queue, err := p.buckets.PushPaths(p.alice, key, client.WithFastForwardOnly(root))
		if err != nil {
			return err
		}
		for i := 0; i < count; i++ {
			data := content(i * 97)
			if err = queue.AddReader(fmt.Sprintf("d%d/f%d", i%7, i), bytes.NewReader(data), int64(len(data))); err != nil {
				return err
			}
		}
		done := 0
		for queue.Next() {
			if err = queue.Err(); err != nil {
				return err
			}
			root = queue.Current.Root
			done++
		}
		if err = queue.Close(); err != nil {
			return err
		}
		if done != count {
			return fmt.Errorf("%d replies", done)
		}
		return nil
	})
	p.Check(kind+": the last reply named the root", func() error {
		found, err := p.buckets.Root(p.alice, key)
		if err == nil && found.Root.Path != root.String() {
			err = fmt.Errorf("root %s and not %s", found.Root.Path, root)
		}
		return err
	})
	p.Check(kind+": all of them are there", func() error {
		for i := 0; i < count; i += 13 {
			if err := p.holds(key, fmt.Sprintf("d%d/f%d", i%7, i), content(i*97)); err != nil {
				return err
			}
		}
		return p.lists(key, "", ".textileseed", "d0", "d1", "d2", "d3", "d4", "d5", "d6")
	})
}

// sealed opens the root directory and a file of a private bucket with the Hub's own package.
func (p *program) sealed(key string) error {
	data := content(500000)
	if _, _, err := p.buckets.PushPath(p.alice, key, "sealed.bin", bytes.NewReader(data)); err != nil {
		return err
	}
	found, err := p.buckets.ListPath(p.alice, key, "sealed.bin")
	if err != nil {
		return err
	}
	root, err := p.open(found.Root.Path, found.Root.LinkKey)
	if err != nil {
		return err
	}
	for _, name := range []string{".textileseed", "dir", "sealed.bin"} {
		if !bytes.Contains(root, []byte(name)) {
			return fmt.Errorf("the root directory lacks %s", name)
		}
	}
	file, err := p.open("/ipfs/"+found.Item.Cid, found.Root.PathMetadata[""].Key)
	if err == nil && !bytes.Equal(file, data) {
		err = fmt.Errorf("the file has other content")
	}
	return err
}

func (p *program) open(node, key string) ([]byte, error) {
	var kept bytes.Buffer
	if err := p.buckets.PullIpfsPath(p.alice, path.New(node), &kept); err != nil {
		return nil, err
	}
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, err
	}
	opened, err := dcrypto.NewDecrypter(&kept, secret)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return io.ReadAll(opened)
}
