'use strict'

// A user of the Hub, over @textile/hub: keys with and without signature, identities, tokens, databases, mail.
//
//   node hub.js http://127.0.0.1:3007 '{"user": {"key": .., "secret": ..}, "insecure": {..}, "account": {..}}'

const { Client, PrivateKey, PublicKey, Query, ThreadID, Users, Where, createAPISig, createUserAuth } = require('@textile/hub')
const { Context } = require('@textile/context')
const { Checks, equal, eventually, holds, pause, refused } = require('./lib/checks')
const { walk } = require('./lib/client')

const kit = { ThreadID, Where, Query }

async function identities(checks, client) {
  const identity = PrivateKey.fromRandom()
  await checks.check('identity/texts', async () => {
    equal(PrivateKey.fromString(identity.toString()).toString(), identity.toString())
    equal(PublicKey.fromString(identity.public.toString()).toString(), identity.public.toString())
    const seed = new Uint8Array(32).fill(7)
    equal(PrivateKey.fromRawEd25519Seed(seed).seed.toString(), seed.toString())
  })
  await checks.check('identity/signatures', async () => {
    const data = new TextEncoder().encode('hello')
    equal(await identity.public.verify(data, await identity.sign(data)), true)
  })
  await checks.check('identity/sealing', async () => {
    const data = new TextEncoder().encode('twelve bytes')
    const sealed = await identity.public.encrypt(data)
    equal(sealed.length, 84)
    equal(new TextDecoder().decode(await identity.decrypt(sealed)), 'twelve bytes')
  })
  await checks.check('identity/token', async () => {
    const token = await client.getToken(identity)
    const subject = JSON.parse(Buffer.from(token.split('.')[1], 'base64').toString()).sub
    equal(subject, identity.public.toString())
  })
  await checks.check('identity/token-by-challenge', async () => {
    const token = await client.getTokenChallenge(identity.public.toString(), (challenge) => identity.sign(challenge))
    equal(token.split('.').length, 3)
  })
}

async function credentials(checks, host, keys) {
  const identity = PrivateKey.fromRandom()
  const secure = await Client.withKeyInfo(keys.user, host)
  const token = await secure.getToken(identity)

  await checks.check('auth/user-auth', async () => {
    const auth = await createUserAuth(keys.user.key, keys.user.secret, new Date(Date.now() + 60000), token)
    await Client.withUserAuth(auth, host).listThreads()
  })
  await checks.check('auth/user-auth-by-callback', async () => {
    let asked = 0
    const client = Client.withUserAuth(async () => {
      asked++
      return createUserAuth(keys.user.key, keys.user.secret, new Date(Date.now() + 60000), token)
    }, host)
    await client.listThreads()
    holds(asked > 0, 'the callback was not asked')
  })
  await checks.check('auth/expired-context-is-told-by-the-client', async () => {
    const auth = await createUserAuth(keys.user.key, keys.user.secret, new Date(Date.now() - 60000), token)
    await refused((async () => Client.withUserAuth(auth, host).listThreads())(), 'Auth expired')
  })
  const context = async (key, sig, bearer) => {
    const made = new Context(host).withAPIKey(key)
    if (sig) made.withAPISig(sig)
    return new Client(bearer ? made.withToken(bearer) : made)
  }
  await checks.check('auth/nothing-at-all', async () =>
    refused(new Client(new Context(host)).getThread('x'), 'Session or API key required', 16))
  await checks.check('auth/an-unknown-key', async () =>
    refused((await context('b'.repeat(27))).getThread('x'), 'API key not found or is invalid', 5))
  await checks.check('auth/no-signature', async () =>
    refused((await context(keys.user.key)).getThread('x'), 'API key signature required', 16))
  await checks.check('auth/a-wrong-signature', async () => {
    const sig = await createAPISig(keys.insecure.secret, new Date(Date.now() + 60000))
    await refused((await context(keys.user.key, sig, token)).getThread('x'), 'Bad API key signature', 16)
  })
  await checks.check('auth/no-token', async () => {
    const sig = await createAPISig(keys.user.secret, new Date(Date.now() + 60000))
    await refused((await context(keys.user.key, sig)).getThread('x'), 'Token required', 16)
  })
  await checks.check('auth/list-dbs-without-signature', async () =>
    refused((await context(keys.insecure.key, undefined, token)).listDBs(), 'ensure you are using a valid API signature'))
  await checks.check('auth/an-absent-thread', async () => refused(secure.getThread('absent'), 'Thread not found', 5))
  await checks.check('auth/another-user-s-thread', async () => {
    const thread = ThreadID.fromRandom()
    await secure.newDB(thread, 'mine')
    const other = await Client.withKeyInfo(keys.user, host)
    await other.getToken(PrivateKey.fromRandom())
    await refused(other.getDBInfo(thread), 'User does not own thread')
    equal(await other.listThreads(), [])
    equal((await secure.listThreads()).map((one) => one.name), ['mine'])
    equal((await secure.getThread('mine')).id, thread.toString())
  })
}

async function mail(checks, host, keys) {
  const people = []
  for (let number = 0; number < 2; number++) {
    const identity = PrivateKey.fromRandom()
    const users = await Users.withKeyInfo(keys.user, { host })
    await users.getToken(identity)
    people.push({ identity, users })
  }
  const [ada, grace] = people
  const text = async (person, message) => new TextDecoder().decode(await person.identity.decrypt(message.body))
  const write = (body) => ada.users.sendMessage(ada.identity, grace.identity.public, new TextEncoder().encode(body))

  await checks.check('mail/before-it-is-set-up', () => refused(write('too early'), 'mail not found'))
  await checks.check('mail/set-up-twice', async () => {
    for (const { users } of people) {
      const id = await users.setupMailbox()
      equal(await users.setupMailbox(), id)
      equal(await users.getMailboxID(), id)
      equal((await users.getThread('hubmail')).id, id)
      equal((await users.listThreads()).map((one) => one.name), ['hubmail'])
    }
  })
  const seen = { inbox: [], sentbox: [] }
  const taker = (list) => (event, error) => event && list.push(error ? String(error) : event.type)
  const watching = [
    grace.users.watchInbox(await grace.users.getMailboxID(), taker(seen.inbox)),
    ada.users.watchSentbox(await ada.users.getMailboxID(), taker(seen.sentbox)),
  ]
  await pause(500)
  const sent = []
  await checks.check('mail/send', async () => {
    for (const body of ['one', 'two', 'three']) sent.push(await write(body))
    holds(sent.every((message) => message.id && message.createdAt > 0), JSON.stringify(sent))
    equal(await text(grace, { body: sent[0].body }).catch(() => 'sealed for the sender'), 'sealed for the sender')
  })
  await checks.check('mail/inbox', async () => {
    const messages = await grace.users.listInboxMessages()
    equal(await Promise.all(messages.map((message) => text(grace, message))), ['three', 'two', 'one'])
    equal(messages[0].from, ada.identity.public.toString())
    equal(messages[0].to, grace.identity.public.toString())
    equal(messages.map((message) => message.readAt), [0, 0, 0])
    equal(await ada.identity.public.verify(messages[0].body, messages[0].signature), true)
  })
  await checks.check('mail/sentbox', async () => {
    const messages = await ada.users.listSentboxMessages({ ascending: true })
    equal(await Promise.all(messages.map((message) => text(ada, message))), ['one', 'two', 'three'])
  })
  await checks.check('mail/pages', async () => {
    const page = await grace.users.listInboxMessages({ limit: 2, ascending: true })
    equal(page.map((message) => message.id), [sent[0].id, sent[1].id])
    const next = await grace.users.listInboxMessages({ limit: 2, ascending: true, seek: sent[1].id })
    equal(next.map((message) => message.id), [sent[1].id, sent[2].id])
  })
  await checks.check('mail/read', async () => {
    const { readAt } = await grace.users.readInboxMessage(sent[0].id)
    holds(readAt > sent[0].createdAt, `read at ${readAt}`)
    // The published client asks for the unread where it is told to ask for the read ones.
    for (const status of [1, 2]) {
      const messages = await grace.users.listInboxMessages({ status })
      equal(messages.map((message) => message.id), [sent[2].id, sent[1].id])
    }
    await refused(grace.users.readInboxMessage('absent'), 'instance not found')
  })
  await checks.check('mail/delete', async () => {
    await grace.users.deleteInboxMessage(sent[1].id)
    await ada.users.deleteSentboxMessage(sent[2].id)
    equal((await grace.users.listInboxMessages()).length, 2)
    equal((await ada.users.listSentboxMessages()).length, 2)
  })
  await checks.check('mail/watch', async () => {
    await eventually(() => seen.inbox.length === 5 && seen.sentbox.length === 4, JSON.stringify(seen))
    equal(seen.inbox, ['CREATE', 'CREATE', 'CREATE', 'SAVE', 'DELETE'])
    equal(seen.sentbox, ['CREATE', 'CREATE', 'CREATE', 'DELETE'])
    for (const watch of watching) watch.close()
  })
  await checks.check('mail/a-forged-message', async () => {
    const stranger = PrivateKey.fromRandom()
    await refused(ada.users.sendMessage(stranger, grace.identity.public, new Uint8Array(3)), 'Bad message signature', 16)
  })
  await checks.check('users/usage', async () => {
    const { customer, usage } = await ada.users.getUsage()
    equal(customer.key, ada.identity.public.toString())
    equal(customer.dailyUsageMap, [])
    equal(usage.usageMap.map(([, used]) => [used.total, used.free]), Array(4).fill([0, Number.MAX_SAFE_INTEGER]))
  })
}

async function main([host, text]) {
  const keys = JSON.parse(text)
  const checks = new Checks()
  for (const [kind, key] of Object.entries({ secure: keys.user, insecure: { key: keys.insecure.key }, account: keys.account })) {
    const client = await Client.withKeyInfo(key, host)
    if (kind !== 'account') await client.getToken(PrivateKey.fromRandom())
    await walk(checks, kind, client, kit, kind === 'insecure' ? 'unsigned' : 'hub')
  }
  await identities(checks, await Client.withKeyInfo(keys.user, host))
  await credentials(checks, host, keys)
  await mail(checks, host, keys)
  process.exit(checks.failed ? 1 : 0)
}

main(process.argv.slice(2))
