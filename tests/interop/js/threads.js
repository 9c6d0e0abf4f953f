'use strict'

// A user of a plain threads daemon, over @textile/threads-client.
//
//   node threads.js http://127.0.0.1:6007 http://ANOTHER-DAEMON:6007

const { Context } = require('@textile/context')
const { Client, Where, Query } = require('@textile/threads-client')
const { PrivateKey, ThreadID } = require('@textile/hub')
const { Checks, equal, pause, refused } = require('./lib/checks')
const { walk } = require('./lib/client')

// join takes a database of one daemon to another one by what the first tells of it.
async function join(host, another) {
  const [here, there] = [new Client(new Context(host)), new Client(new Context(another))]
  const thread = ThreadID.fromRandom()
  const config = { name: 'C', schema: { type: 'object', properties: { _id: { type: 'string' } } } }
  await here.newDB(thread)
  await here.newCollection(thread, config)
  await here.create(thread, 'C', [{ _id: 'before' }])
  const info = await here.getDBInfo(thread)
  const addrs = info.addrs.filter((address) => address.startsWith('/ip4/127.0.0.1/'))
  equal((await there.joinFromInfo({ ...info, addrs }, true, [config])).toString(), thread.toString())
  await here.create(thread, 'C', [{ _id: 'after' }])
  const ends = Date.now() + 15000
  let found = []
  while (found.join() !== 'after,before') {
    if (Date.now() > ends) throw new Error(`found ${found}`)
    await pause(100)
    found = (await there.find(thread, 'C', new Query())).map((one) => one._id).sort()
  }
}

async function main([host, another]) {
  const checks = new Checks()
  const anonymous = new Client(new Context(host))
  await walk(checks, 'without-token', anonymous, { ThreadID, Where, Query }, false)

  const identity = PrivateKey.fromRandom()
  const context = new Context(host)
  const client = new Client(context)
  await checks.check('token', async () => {
    const token = await client.getToken(identity)
    equal(token.split('.').length, 3)
    context.withToken(token)
  })
  await checks.check('token-by-challenge', async () => {
    const token = await anonymous.getTokenChallenge(identity.public.toString(), (challenge) => identity.sign(challenge))
    equal(token.split('.').length, 3)
  })
  await checks.check('token-by-a-wrong-signature', () =>
    refused(
      anonymous.getTokenChallenge(identity.public.toString(), () => PrivateKey.fromRandom().sign(new Uint8Array(32))),
      'signature',
    ))
  await walk(checks, 'with-token', client, { ThreadID, Where, Query }, false)

  await checks.check('join-from-info-of-another-daemon', () => join(host, another))
  await checks.check('a-token-of-elsewhere', async () => {
    const strange = new Client(new Context(host).withToken('a.b.c'))
    await refused(strange.listDBs(), 'token')
  })
  await checks.check('an-unknown-method-closes-without-headers', async () => {
    const wrong = new Client(new Context(`${host}/elsewhere`))
    await refused(wrong.listDBs(), 'Response closed without headers')
  })
  process.exit(checks.failed ? 1 : 0)
}

main(process.argv.slice(2))
