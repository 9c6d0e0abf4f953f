'use strict'

// What runs in the browser; see browser.js.

const { grpc } = require('@improbable-eng/grpc-web')
const { Buckets, Client, PrivateKey, Query, ThreadID, Where } = require('@textile/hub')
const { Context } = require('@textile/context')
const { Client: ThreadsClient } = require('@textile/threads-client')
const { API } = require('@textile/threads-client-grpc/threads_pb_service')
const pb = require('@textile/threads-client-grpc/threads_pb')
const { Checks, equal, eventually, holds, pause } = require('./lib/checks')
const { walk } = require('./lib/client')
const { walk: walkBuckets } = require('./lib/buckets')

const kit = { ThreadID, Where, Query }
const bytes = (value) => new TextEncoder().encode(JSON.stringify(value))

// overFetch makes calls of the same service as plain grpc-web, with the fetch of the browser.
function overFetch(host, withText) {
  const transport = grpc.FetchReadableStreamTransport({})
  const metadata = new grpc.Metadata(withText ? { 'content-type': 'application/grpc-web-text' } : {})
  const call = (method, request) =>
    new Promise((resolve) => {
      const messages = []
      grpc.invoke(method, {
        host, request, transport, metadata,
        onMessage: (message) => messages.push(message),
        onEnd: (code, text) => resolve({ code, text, messages }),
      })
    })
  return { call, transport, metadata }
}

async function plain(checks, threads) {
  const { call, transport } = overFetch(threads)
  const thread = ThreadID.fromRandom().toBytes()
  const make = (type, fields) => {
    const request = new type()
    for (const [name, value] of Object.entries(fields)) request[`set${name}`](value)
    return request
  }
  await checks.check('fetch/unary', async () => {
    equal((await call(API.NewDB, make(pb.NewDBRequest, { Dbid: thread }))).code, 0)
    const config = make(pb.CollectionConfig, { Name: 'C', Schema: bytes({ type: 'object', properties: { _id: { type: 'string' } } }) })
    equal((await call(API.NewCollection, make(pb.NewCollectionRequest, { Dbid: thread, Config: config }))).code, 0)
    const { code, messages } = await call(API.ListCollections, make(pb.ListCollectionsRequest, { Dbid: thread }))
    equal([code, messages.length, messages[0].getCollectionsList().map((one) => one.getName())], [0, 1, ['C']])
  })
  await checks.check('fetch/refusal', async () => {
    const { code, text } = await call(API.GetCollectionInfo, make(pb.GetCollectionInfoRequest, { Dbid: thread, Name: 'é%' }))
    equal([code, text], [5, 'collection not found'])
  })
  await checks.check('fetch/unimplemented', async () => {
    const method = { ...API.ListDBs, methodName: 'NoSuchMethod' }
    equal((await call(method, new pb.ListDBsRequest())).code, 12)
  })
  await checks.check('fetch/listen', async () => {
    const seen = []
    let begun = false
    const request = grpc.invoke(API.Listen, {
      host: threads, transport,
      request: make(pb.ListenRequest, { Dbid: thread }),
      onHeaders: () => { begun = true },
      onMessage: (message) => seen.push(message.getInstanceid()),
      onEnd: () => seen.push('end'),
    })
    await eventually(() => begun, 'no headers before the first event')
    const create = make(pb.CreateRequest, { Dbid: thread, Collectionname: 'C' })
    create.setInstancesList([bytes({ _id: 'one' })])
    const before = performance.now()
    equal((await call(API.Create, create)).code, 0)
    await eventually(() => seen.length === 1, 'no event')
    holds(performance.now() - before < 2000, 'a late event')
    equal(seen, ['one'])
    request.close()
  })
  await checks.check('fetch/text', async () => {
    const body = btoa(String.fromCharCode(0, 0, 0, 0, 0))
    const response = await fetch(`${threads}/threads.pb.API/ListDBs`, {
      method: 'POST', body, headers: { 'content-type': 'application/grpc-web-text', 'x-grpc-web': '1' },
    })
    equal([response.status, response.headers.get('content-type')], [200, 'application/grpc-web-text'])
    holds(/^AAAA/.test(await response.text()), 'no frame in base64')
  })
}

window.run = async ({ hub, threads, key }) => {
  const checks = new Checks()
  await walk(checks, 'browser-threads', new ThreadsClient(new Context(threads)), kit, false)
  const client = await Client.withKeyInfo(key, hub)
  await client.getToken(PrivateKey.fromRandom())
  await walk(checks, 'browser-hub', client, kit, 'hub')
  await plain(checks, threads)
  return checks.failed
}

// buckets goes through buckets, with what a page has files as.
window.buckets = async ({ hub, key }) => {
  const checks = new Checks()
  const inputs = {
    file: (path, content) => ({ path, content: new File([content], path) }),
    blob: (path, content) => ({ path, content: new Blob([content]) }),
    'stream-of-the-web': (path, content) => ({ path, content: new Response(content).body }),
  }
  await walkBuckets(checks, 'browser', hub, key, { Buckets, PrivateKey }, inputs)
  return checks.failed
}

// listen leaves a listener and a transaction open.
window.listen = async ({ threads }) => {
  const client = new ThreadsClient(new Context(threads))
  const thread = ThreadID.fromRandom()
  await client.newDB(thread)
  await client.newCollection(thread, { name: 'C', schema: { type: 'object', properties: { _id: { type: 'string' } } } })
  client.listen(thread, [], () => {})
  const transaction = client.writeTransaction(thread, 'C')
  await transaction.start()
  await transaction.create([{ _id: 'half' }])
  return { thread: thread.toString() }
}

// ended tells what is wrong after that tab was closed; nothing if all is well.
window.ended = async ({ threads, thread }) => {
  const client = new ThreadsClient(new Context(threads))
  const id = ThreadID.fromString(thread)
  // It waits for the transaction of the closed tab, which must have ended.
  const made = client.create(id, 'C', [{ _id: 'whole' }]).then(() => true)
  if (!(await Promise.race([made, pause(5000)]))) return 'the transaction of a closed tab goes on'
  const found = (await client.find(id, 'C', {})).map((one) => one._id)
  return found.join() === 'whole' ? '' : `found ${found}`
}

// delays gives how long it takes from a write to its event at a listener, in milliseconds, write by write.
window.delays = async ({ hub, key, count }) => {
  const client = await Client.withKeyInfo(key, hub)
  await client.getToken(PrivateKey.fromRandom())
  const thread = ThreadID.fromRandom()
  await client.newDB(thread)
  await client.newCollection(thread, { name: 'C', schema: { type: 'object', properties: { _id: { type: 'string' } } } })
  let seen = () => {}
  client.listen(thread, [], (reply) => reply && seen(reply.instanceID))
  // Nothing tells when a listener has begun but its first event.
  const begun = new Promise((resolve) => { seen = resolve })
  for (let tries = 0; !(await Promise.race([begun, pause(50)])); tries++) await client.create(thread, 'C', [{ _id: `try-${tries}` }])
  await pause(200)
  const delays = []
  for (let number = 0; number < count; number++) {
    const id = `write-${number}`
    const event = new Promise((resolve) => { seen = (instance) => instance === id && resolve() })
    const before = performance.now()
    await Promise.all([client.create(thread, 'C', [{ _id: id }]), event.then(() => delays.push(performance.now() - before))])
  }
  return delays
}
