package main

import (
	"context"

	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/textile/v2/api/common"
	hubpb "github.com/textileio/textile/v2/api/hubd/pb"
	users "github.com/textileio/textile/v2/api/usersd/client"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
	"threadd/interop/internal/people"
)

func (p *program) threads() {
	jane := p.signUp()
	_, asUser := p.user(p.keyContext(jane, hubpb.KeyType_KEY_TYPE_USER, true))
	callers := []struct {
		name    string
		context context.Context
	}{
		{"session", jane.context},
		{"account-key", p.keyContext(p.signUp(), hubpb.KeyType_KEY_TYPE_ACCOUNT, true)},
		{"user-key", asUser},
	}
	for _, caller := range callers {
		ctx := caller.context
		p.Check("threads/"+caller.name, func() error {
			_, unknown := p.users.GetThread(ctx, "foo")
			if err := checks.Refused(unknown, codes.NotFound, "Thread not found"); err != nil {
				return err
			}
			id := people.NewThread()
			if err := p.db.NewDB(common.NewThreadNameContext(ctx, "foo"), id); err != nil {
				return err
			}
			if _, err := p.net.CreateThread(ctx, people.NewThread()); err != nil {
				return err
			}
			found, err := p.users.GetThread(ctx, "foo")
			if err != nil {
				return err
			}
			list, err := p.users.ListThreads(ctx)
			if err != nil {
				return err
			}
			return checks.First(
				checks.Equal(found.Id, id.Bytes()),
				checks.Holds(found.IsDb && found.Name == "foo", "another thread"),
				checks.Equal(len(list.List), 2),
				checks.Holds(list.List[0].IsDb && !list.List[1].IsDb, "in another order"),
			)
		})
	}
	p.Check("threads/destroyed-with-the-account", func() error {
		list, err := p.users.ListThreads(asUser)
		if err != nil {
			return err
		}
		id, err := thread.Cast(list.List[0].Id)
		if err != nil {
			return err
		}
		if err := p.hub.DestroyAccount(jane.context); err != nil {
			return err
		}
		_, keyGone := p.users.ListThreads(asUser)
		other := p.keyContext(p.signUp(), hubpb.KeyType_KEY_TYPE_ACCOUNT, false)
		_, find := p.db.Find(other, id, "x", nil, &people.Person{})
		return checks.First(
			checks.Refused(keyGone, codes.NotFound, "API key not found or is invalid"),
			checks.Refused(find, codes.NotFound, "thread not found"),
		)
	})
	p.Check("threads/usage", func() error {
		usage, err := p.users.GetUsage(p.signUp().context)
		return checks.First(err, checks.Equal(len(usage.GetUsage().GetUsage()), 4))
	})
	p.Check("threads/archives", func() error {
		_, err := p.users.ArchivesLs(p.signUp().context)
		return checks.Refused(err, codes.Unknown, "no powergate info associated with account")
	})
}

func (p *program) mail() {
	group := p.keyContext(p.signUp(), hubpb.KeyType_KEY_TYPE_USER, false)
	from, fromContext := p.user(group)
	to, toContext := p.user(group)
	p.Check("mail/no-mailbox", func() error {
		_, send := p.users.SendMessage(fromContext, from, to.GetPublic(), []byte("hi"))
		_, list := p.users.ListInboxMessages(toContext)
		return checks.First(
			checks.Refused(send, codes.FailedPrecondition, "mail not found"),
			checks.Refused(list, codes.FailedPrecondition, "mail not found"),
		)
	})
	p.Must("mail/set-up", func() error {
		for _, ctx := range []context.Context{fromContext, toContext} {
			box, err := p.users.SetupMailbox(ctx)
			if err != nil {
				return err
			}
			again, err := p.users.SetupMailbox(ctx)
			if err != nil {
				return err
			}
			if err := checks.Equal(box, again); err != nil {
				return err
			}
		}
		return nil
	})
	var ids []string
	p.Must("mail/send", func() error {
		for i := 0; i < 10; i++ {
			message, err := p.users.SendMessage(fromContext, from, to.GetPublic(), []byte("howdy"))
			if err != nil {
				return err
			}
			ids = append(ids, message.ID)
		}
		return nil
	})
	p.Check("mail/not-signed-by-the-sender", func() error {
		_, err := p.users.SendMessage(fromContext, people.Identity(), to.GetPublic(), []byte("hi"))
		return checks.Refused(err, codes.Unauthenticated, "Bad message signature")
	})
	p.Check("mail/open-both-copies", func() error {
		received, err := p.users.ListInboxMessages(toContext)
		if err != nil {
			return err
		}
		sent, err := p.users.ListSentboxMessages(fromContext)
		if err != nil {
			return err
		}
		theirs, err := received[0].Open(p.context, to)
		if err != nil {
			return err
		}
		mine, err := sent[0].Open(p.context, from)
		return checks.First(
			err,
			checks.Equal(string(theirs), "howdy"),
			checks.Equal(string(mine), "howdy"),
			checks.Equal(received[0].ID, ids[9]),
			checks.Equal(sent[9].ID, ids[0]),
			checks.Holds(received[0].CreatedAt.After(received[1].CreatedAt), "not the newest first"),
		)
	})
	p.Check("mail/pages", func() error {
		page, err := p.users.ListInboxMessages(toContext, users.WithLimit(3), users.WithSeek(ids[5]))
		if err != nil {
			return err
		}
		rising, err := p.users.ListInboxMessages(toContext, users.WithLimit(2), users.WithAscending(true))
		return checks.First(
			err,
			checks.Equal([]string{page[0].ID, page[1].ID, page[2].ID}, []string{ids[5], ids[4], ids[3]}),
			checks.Equal([]string{rising[0].ID, rising[1].ID}, ids[:2]),
		)
	})
	p.Check("mail/read", func() error {
		if err := p.users.ReadInboxMessage(toContext, ids[0]); err != nil {
			return err
		}
		read, err := p.users.ListInboxMessages(toContext, users.WithStatus(users.Read))
		if err != nil {
			return err
		}
		unread, err := p.users.ListInboxMessages(toContext, users.WithStatus(users.Unread))
		if err != nil {
			return err
		}
		return checks.First(
			checks.Equal(len(read), 1),
			checks.Holds(read[0].ID == ids[0] && read[0].IsRead(), "another one is read"),
			checks.Equal(len(unread), 9),
			checks.Refused(p.users.ReadInboxMessage(toContext, "x"), codes.Unknown, "instance not found"),
		)
	})
	p.Check("mail/delete", func() error {
		steps := []error{
			p.users.DeleteInboxMessage(toContext, ids[0]),
			p.users.DeleteInboxMessage(toContext, ids[0]),
			p.users.DeleteSentboxMessage(fromContext, ids[1]),
		}
		received, err := p.users.ListInboxMessages(toContext)
		steps = append(steps, err)
		sent, err := p.users.ListSentboxMessages(fromContext)
		steps = append(steps, err, checks.Equal(len(received), 9), checks.Equal(len(sent), 9))
		return checks.First(steps...)
	})
	p.Check("mail/between-a-developer-and-a-user", func() error {
		jane := p.signUp()
		res, err := p.hub.GetIdentity(jane.context)
		if err != nil {
			return err
		}
		identity := &thread.Libp2pIdentity{}
		if err := identity.UnmarshalBinary(res.Identity); err != nil {
			return err
		}
		if _, err := p.users.SetupMailbox(jane.context); err != nil {
			return err
		}
		if _, err := p.users.SendMessage(jane.context, identity, from.GetPublic(), []byte("welcome")); err != nil {
			return err
		}
		received, err := p.users.ListInboxMessages(fromContext)
		if err != nil {
			return err
		}
		text, err := received[0].Open(p.context, from)
		return checks.First(err, checks.Equal(string(text), "welcome"))
	})
}
