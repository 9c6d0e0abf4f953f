package main

import (
	"bytes"

	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/textile/v2/api/common"
	hubpb "github.com/textileio/textile/v2/api/hubd/pb"
	"google.golang.org/grpc/codes"
	"threadd/interop/internal/checks"
)

func (p *program) accounts() {
	var jane *developer
	p.Must("accounts/sign-up", func() error {
		jane = p.signUp()
		return checks.Holds(len(jane.key) == 36 && len(jane.session) == 72, "a key or a session of another length")
	})
	p.Check("accounts/session-info", func() error {
		info, err := p.hub.GetSessionInfo(jane.context)
		if err != nil {
			return err
		}
		return checks.First(
			checks.Equal(info.Username, jane.name),
			checks.Equal(info.Email, jane.email),
			checks.Equal(info.Key, jane.key),
		)
	})
	p.Check("accounts/identity", func() error {
		res, err := p.hub.GetIdentity(jane.context)
		if err != nil {
			return err
		}
		identity := &thread.Libp2pIdentity{}
		if err := identity.UnmarshalBinary(res.Identity); err != nil {
			return err
		}
		key := &thread.Libp2pPubKey{}
		err = key.UnmarshalBinary(jane.key)
		return checks.First(err, checks.Holds(identity.GetPublic().Equals(key), "the identity of another key"))
	})
	p.Check("accounts/without-session", func() error {
		_, info := p.hub.GetSessionInfo(p.context)
		return checks.First(
			checks.Refused(info, codes.Unauthenticated, "Session or API key required"),
			checks.Refused(p.hub.Signout(p.context), codes.Unauthenticated, "Session or API key required"),
		)
	})
	p.Check("accounts/names-are-given-once", func() error {
		_, name := p.hub.Signup(p.context, jane.name, "other@example.org")
		_, email := p.hub.Signup(p.context, "other", jane.email)
		return checks.First(
			checks.Refused(name, codes.FailedPrecondition, "Account exists"),
			checks.Refused(email, codes.FailedPrecondition, "Account exists"),
			checks.Refused(p.hub.IsUsernameAvailable(p.context, jane.name), codes.FailedPrecondition, "is not available"),
			p.hub.IsUsernameAvailable(p.context, jane.name+"-x"),
		)
	})
	p.Check("accounts/bad-names-and-addresses", func() error {
		_, name := p.hub.Signup(p.context, "a--b", "a@example.org")
		_, email := p.hub.Signup(p.context, "ab", "jane")
		return checks.First(
			checks.Refused(name, codes.FailedPrecondition, "username may only contain alphanumeric characters"),
			checks.Refused(email, codes.FailedPrecondition, "Email address in not valid"),
		)
	})
	p.Check("accounts/sign-out-and-in", func() error {
		if err := p.hub.Signout(jane.context); err != nil {
			return err
		}
		_, after := p.hub.GetSessionInfo(jane.context)
		if err := checks.Refused(after, codes.Unauthenticated, "Invalid session"); err != nil {
			return err
		}
		for _, name := range []string{jane.name, jane.email} {
			res, err := p.hub.Signin(p.context, name)
			if err != nil {
				return err
			}
			if !bytes.Equal(res.Key, jane.key) {
				return checks.Equal(res.Key, jane.key)
			}
			jane.context = common.NewSessionContext(p.context, res.Session)
		}
		_, unknown := p.hub.Signin(p.context, jane.name+"x")
		return checks.Refused(unknown, codes.NotFound, "User not found")
	})
	p.Check("accounts/build-info", func() error {
		info, err := p.hub.BuildInfo(jane.context)
		return checks.First(err, checks.Holds(info.GetVersion() != "", "no version"))
	})
	p.Check("accounts/billing-is-not-enabled", func() error {
		_, session := p.hub.GetBillingSession(jane.context)
		_, list := p.hub.ListBillingUsers(jane.context)
		return checks.First(
			checks.Refused(p.hub.SetupBilling(jane.context), codes.Unknown, "billing is not enabled"),
			checks.Refused(session, codes.Unknown, "billing is not enabled"),
			checks.Refused(list, codes.Unknown, "billing is not enabled"),
		)
	})
	p.Check("accounts/destroy", func() error {
		if err := p.hub.DestroyAccount(jane.context); err != nil {
			return err
		}
		_, signin := p.hub.Signin(p.context, jane.name)
		return checks.Refused(signin, codes.NotFound, "User not found")
	})
}

func (p *program) keys() {
	jane, john := p.signUp(), p.signUp()
	var account string
	p.Check("keys/none-at-first", func() error {
		list, err := p.hub.ListKeys(jane.context)
		return checks.First(err, checks.Equal(len(list.GetList()), 0))
	})
	p.Must("keys/create", func() error {
		res, err := p.hub.CreateKey(jane.context, hubpb.KeyType_KEY_TYPE_ACCOUNT, true)
		if err != nil {
			return err
		}
		account = res.KeyInfo.Key
		_, err = p.hub.CreateKey(jane.context, hubpb.KeyType_KEY_TYPE_USER, false)
		return checks.First(
			err,
			checks.Equal(res.KeyInfo.Type, hubpb.KeyType_KEY_TYPE_ACCOUNT),
			checks.Holds(res.KeyInfo.Secure && res.KeyInfo.Valid && res.KeyInfo.Secret != "", "not as asked for"),
		)
	})
	p.Check("keys/list", func() error {
		list, err := p.hub.ListKeys(jane.context)
		return checks.First(err, checks.Equal(len(list.GetList()), 2))
	})
	p.Check("keys/of-somebody-else", func() error {
		return checks.Refused(p.hub.InvalidateKey(john.context, account), codes.PermissionDenied, "User does not own key")
	})
	p.Check("keys/unknown", func() error {
		return checks.Refused(p.hub.InvalidateKey(john.context, "b"), codes.Unknown, "mongo: no documents in result")
	})
	p.Check("keys/invalidate", func() error {
		if err := p.hub.InvalidateKey(jane.context, account); err != nil {
			return err
		}
		list, err := p.hub.ListKeys(jane.context)
		if err != nil {
			return err
		}
		_, after := p.users.ListThreads(common.NewAPIKeyContext(p.context, account))
		return checks.First(
			checks.Holds(!list.List[0].Valid && list.List[1].Valid, "not the one that was named"),
			checks.Refused(after, codes.NotFound, "API key not found or is invalid"),
		)
	})
	p.Check("keys/user-group-callers-have-no-account", func() error {
		_, ctx := p.user(p.keyContext(jane, hubpb.KeyType_KEY_TYPE_USER, true))
		_, err := p.hub.ListKeys(ctx)
		return checks.Refused(err, codes.InvalidArgument, "account type not supported")
	})
}

func (p *program) organisations() {
	jane, john := p.signUp(), p.signUp()
	title := jane.name + " & Co."
	slug := jane.name + "-and-Co"
	in := func(d *developer, slug string) *developer {
		return &developer{context: common.NewOrgSlugContext(d.context, slug)}
	}
	p.Check("orgs/none-at-first", func() error {
		list, err := p.hub.ListOrgs(jane.context)
		return checks.First(err, checks.Equal(len(list.GetList()), 0))
	})
	p.Must("orgs/create", func() error {
		free, err := p.hub.IsOrgNameAvailable(jane.context, title)
		if err != nil {
			return err
		}
		res, err := p.hub.CreateOrg(jane.context, title)
		if err != nil {
			return err
		}
		_, taken := p.hub.IsOrgNameAvailable(jane.context, title)
		return checks.First(
			checks.Equal(free.Slug, slug),
			checks.Equal(res.OrgInfo.Slug, slug),
			checks.Equal(res.OrgInfo.Name, title),
			checks.Equal(res.OrgInfo.Members[0].Role, "owner"),
			checks.Refused(taken, codes.FailedPrecondition, "is already taken"),
		)
	})
	p.Check("orgs/get", func() error {
		res, err := p.hub.GetOrg(in(jane, slug).context)
		_, bad := p.hub.GetOrg(in(jane, "bad").context)
		_, stranger := p.hub.GetOrg(in(john, slug).context)
		_, none := p.hub.GetOrg(jane.context)
		return checks.First(
			err,
			checks.Equal(res.GetOrgInfo().GetName(), title),
			checks.Refused(bad, codes.PermissionDenied, "User is not an org member"),
			checks.Refused(stranger, codes.PermissionDenied, "User is not an org member"),
			checks.Refused(none, codes.FailedPrecondition, "organization account required"),
		)
	})
	p.Check("orgs/the-last-owner-stays", func() error {
		return checks.Refused(p.hub.LeaveOrg(in(jane, slug).context), codes.Unknown, "an org must have at least one owner")
	})
	p.Check("orgs/invite", func() error {
		_, bad := p.hub.InviteToOrg(in(jane, slug).context, "jane")
		res, err := p.hub.InviteToOrg(in(jane, slug).context, john.email)
		return checks.First(
			err,
			checks.Refused(bad, codes.FailedPrecondition, "Email address in not valid"),
			checks.Equal(len(res.GetToken()), 72),
		)
	})
	p.Check("orgs/a-member", func() error {
		list, err := p.hub.ListOrgs(john.context)
		if err != nil {
			return err
		}
		return checks.First(
			checks.Equal(len(list.List), 1),
			checks.Equal(list.List[0].Members[1].Role, "member"),
			checks.Refused(p.hub.RemoveOrg(in(john, slug).context), codes.PermissionDenied, "User must be an org owner"),
		)
	})
	p.Check("orgs/leave", func() error {
		err := p.hub.LeaveOrg(in(john, slug).context)
		again := p.hub.LeaveOrg(in(john, slug).context)
		return checks.First(err, checks.Refused(again, codes.PermissionDenied, "User is not an org member"))
	})
	p.Check("orgs/an-owner-is-not-destroyed", func() error {
		err := p.hub.DestroyAccount(jane.context)
		return checks.Refused(err, codes.FailedPrecondition, "Account not empty (delete orgs first)")
	})
	p.Check("orgs/remove", func() error {
		err := p.hub.RemoveOrg(in(jane, slug).context)
		_, after := p.hub.GetOrg(in(jane, slug).context)
		return checks.First(err, checks.Refused(after, codes.PermissionDenied, "User is not an org member"))
	})
}
