'use strict'

// A database of @textile/threaddb, kept in a browser (here: in memory) and at the Hub, in two runs of an app.
//
//   node threaddb.js http://127.0.0.1:3007 '{"key": .., "secret": ..}' http://127.0.0.1:6007

require('fake-indexeddb/auto')
// The client expects a browser.
global.WebSocket = require('ws')
const { Database } = require('@textile/threaddb')
const { PrivateKey, ThreadID } = require('@textile/hub')
const { Checks, equal, refused } = require('./lib/checks')

const schema = { title: 'dogs', type: 'object', properties: { _id: { type: 'string' }, name: { type: 'string' } } }

// open starts the app: each run has a name of its own here, where all share one store.
async function open(run, name = run) {
  const db = new Database(name, { name: 'dogs', schema })
  await db.open(1)
  return db
}

async function connect(db, host, identity, key) {
  const remote = await db.remote.set({ serviceHost: host })
  if (key) await remote.setKeyInfo(key)
  await remote.authorize(identity)
  return remote
}

async function life(checks, kind, host, key) {
  const identity = PrivateKey.fromRandom()
  const thread = ThreadID.fromRandom().toString()
  const first = await open(`${kind}-first`)
  await checks.check(`${kind}/the-first-run`, async () => {
    const remote = await connect(first, host, identity, key)
    equal(await remote.initialize(thread), thread)
    await first.collection('dogs').create({ name: 'Lucas' }).save()
    await remote.push('dogs')
  })
  await checks.check(`${kind}/the-same-run-again`, async () => {
    equal(await first.remote.initialize(thread), thread)
  })
  await checks.check(`${kind}/another-run`, async () => {
    const second = await open(`${kind}-second`)
    const remote = await connect(second, host, identity, key)
    equal(await remote.initialize(thread), thread)
    await remote.pull('dogs')
    equal((await second.collection('dogs').find({}).toArray()).map((dog) => dog.name), ['Lucas'])
  })
}

async function main([hub, key, threads]) {
  const checks = new Checks()
  await life(checks, 'hub', hub, JSON.parse(key))
  await life(checks, 'threads', threads)
  process.exit(checks.failed ? 1 : 0)
}

main(process.argv.slice(2))
