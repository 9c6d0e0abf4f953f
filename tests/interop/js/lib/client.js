'use strict'

// The whole surface of `Client`, which @textile/hub and @textile/threads-client share, in Node and in the browser.

const { equal, holds, refused, eventually, pause } = require('./checks')

const schema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Person',
  type: 'object',
  properties: { _id: { type: 'string' }, name: { type: 'string' }, age: { type: 'number' }, tags: { type: 'array' } },
  required: ['_id', 'name'],
}

const names = (people) => people.map((person) => person.name)

// walk goes through everything. `kit` holds what a package exports: ThreadID, Where, Query; `hub` is false on a plain threads
// daemon, else 'hub', or 'unsigned' for a key that needs no signature.
async function walk(checks, label, client, kit, hub) {
  const { ThreadID, Where, Query } = kit
  const check = (name, run) => checks.check(`${label}/${name}`, run)
  const thread = ThreadID.fromRandom()
  let ids = []

  await check('new-db', async () => equal((await client.newDB(thread, 'people')).toString(), thread.toString()))
  await check('list-dbs', async () => {
    // Without a signature the client asks the threads service, as on a plain daemon, and the Hub refuses that.
    if (hub === 'unsigned') return refused(client.listDBs(), 'Method is not accessible')
    const found = (await client.listDBs()).find((db) => db.id === thread.toString())
    holds(found, 'the new database is not listed')
    equal(found.name, 'people')
  })
  await check('new-db-of-a-taken-thread', () => refused(client.newDB(thread), hub ? 'E11000 duplicate key' : 'already exists'))
  await check('get-db-info', async () => {
    const info = await client.getDBInfo(thread)
    holds(info.key.length > 50, `a strange key: ${info.key}`)
    holds(info.addrs.length > 0 && info.addrs.every((a) => a.endsWith(`/thread/${thread}`)), `addresses: ${info.addrs}`)
  })
  await check('join-from-info-of-this-machine', async () => {
    const info = await client.getDBInfo(thread)
    // By itself the client leaves out the addresses of this machine.
    const local = info.addrs.filter((address) => /\/(127|10|192\.168|172)\./.test(address))
    const run = async () => client.joinFromInfo({ ...info, addrs: local })
    await refused(run(), 'No viable addresses')
    // Every address is this machine's own.
    const joining = client.joinFromInfo({ ...info, addrs: info.addrs.slice(0, 1) }, true)
    if (hub) return refused(joining, 'E11000 duplicate key')
    equal((await joining).toString(), thread.toString())
  })

  await check('new-collection', () => client.newCollection(thread, { name: 'Person', schema, indexes: [{ path: 'age' }] }))
  await check('new-collection-twice', () =>
    refused(client.newCollection(thread, { name: 'Person', schema }), 'collection already registered'))
  await check('new-collection-from-object', () =>
    client.newCollectionFromObject(thread, { _id: '', title: 'x', count: 1 }, { name: 'FromObject' }))
  await check('list-collections', async () =>
    equal((await client.listCollections(thread)).map((one) => one.name).sort(), ['FromObject', 'Person']))
  await check('get-collection-info', async () => {
    const info = await client.getCollectionInfo(thread, 'Person')
    equal(info.schema, schema)
    equal(info.indexes, [{ path: 'age', unique: false }])
  })
  await check('get-collection-indexes', async () =>
    equal(await client.getCollectionIndexes(thread, 'Person'), [{ path: 'age', unique: false }]))
  await check('update-collection', async () => {
    await client.updateCollection(thread, { name: 'Person', schema, indexes: [{ path: 'name', unique: true }] })
    equal(await client.getCollectionIndexes(thread, 'Person'), [{ path: 'name', unique: true }])
    await client.updateCollection(thread, { name: 'Person', schema, indexes: [{ path: 'age' }] })
  })
  await check('delete-collection', async () => {
    await client.deleteCollection(thread, 'FromObject')
    await refused(client.getCollectionInfo(thread, 'FromObject'), 'collection not found')
  })

  await check('create', async () => {
    ids = await client.create(thread, 'Person', [
      { name: 'Ada', age: 36, tags: ['é', '漢'] },
      { name: 'Grace', age: 85 },
      { _id: 'alan', name: 'Alan', age: 41 },
    ])
    equal(ids.length, 3)
    equal(ids[2], 'alan')
  })
  await check('create-against-the-schema', () =>
    refused(client.create(thread, 'Person', [{ age: 1 }]), "instance doesn't correspond to schema: (root)"))
  await check('find-by-id', async () => {
    const found = await client.findByID(thread, 'Person', ids[0])
    equal([found.name, found.age, found.tags, found._id], ['Ada', 36, ['é', '漢'], ids[0]])
  })
  await check('find-by-id-of-nobody', () => refused(client.findByID(thread, 'Person', 'nobody'), 'instance not found'))
  await check('has', async () =>
    equal([await client.has(thread, 'Person', ids), await client.has(thread, 'Person', ['nobody'])], [true, false]))
  await check('save', async () => {
    await client.save(thread, 'Person', [{ _id: ids[0], name: 'Ada', age: 37 }])
    equal((await client.findByID(thread, 'Person', ids[0])).age, 37)
  })
  await check('verify', async () => {
    await client.verify(thread, 'Person', [{ _id: ids[0], name: 'Ada', age: 99 }])
    equal((await client.findByID(thread, 'Person', ids[0])).age, 37)
    await refused(client.verify(thread, 'Person', [{ _id: ids[0], age: 99 }]), "doesn't correspond to schema")
  })
  await check('a-large-instance', async () => {
    const name = 'é'.repeat(500000)
    await client.create(thread, 'Person', [{ _id: 'large', name }])
    equal((await client.findByID(thread, 'Person', 'large')).name.length, name.length)
    await client.delete(thread, 'Person', ['large'])
  })

  const queries = {
    'everything': [new Query(), ['Ada', 'Alan', 'Grace']],
    'eq': [new Where('name').eq('Alan'), ['Alan']],
    'ne': [new Where('name').ne('Alan'), ['Ada', 'Grace']],
    // The published client sends `ne` for `gt`.
    'gt': [new Where('age').gt(41), ['Ada', 'Grace']],
    'ge': [new Where('age').ge(41), ['Alan', 'Grace']],
    'lt': [new Where('age').lt(41), ['Ada']],
    'le': [new Where('age').le(41), ['Ada', 'Alan']],
    'and': [new Where('age').gt(36).and('age').lt(50).and('name').ne('Ada'), ['Alan']],
    'or': [new Where('name').eq('Ada').or(new Where('name').eq('Grace')), ['Ada', 'Grace']],
    'with-an-index': [new Where('age').ge(41).useIndex('age'), ['Alan', 'Grace']],
    'of-no-match': [new Where('name').eq('nobody'), []],
  }
  for (const [name, [query, want]] of Object.entries(queries)) {
    await check(`find/${name}`, async () => equal(names(await client.find(thread, 'Person', query)).sort(), want))
  }
  const ordered = {
    'order-by': [new Query().orderBy('age'), ['Ada', 'Alan', 'Grace']],
    'order-by-desc': [new Query().orderByDesc('age'), ['Grace', 'Alan', 'Ada']],
    'order-by-id': [new Query().orderByID(), ['Ada', 'Grace', 'Alan']],
    'order-by-id-desc': [new Query().orderByIDDesc(), ['Alan', 'Grace', 'Ada']],
    'limit-and-skip': [new Query().orderBy('age').skipNum(1).limitTo(1), ['Alan']],
    'seek': [new Query().orderByID().seekID('alan'), ['Alan']],
  }
  for (const [name, [query, want]] of Object.entries(ordered)) {
    await check(`find/${name}`, async () => equal(names(await client.find(thread, 'Person', query)), want))
  }

  await check('delete', async () => {
    await client.delete(thread, 'Person', [ids[1]])
    equal(await client.has(thread, 'Person', [ids[1]]), false)
  })

  await check('read-transaction', async () => {
    const transaction = client.readTransaction(thread, 'Person')
    await transaction.start()
    equal(await transaction.has([ids[0]]), true)
    equal(await transaction.has(['nobody']), false)
    equal((await transaction.findByID(ids[0])).name, 'Ada')
    equal(names(await transaction.find(new Where('age').ge(1).orderBy('age'))), ['Ada', 'Alan'])
    await transaction.end()
  })
  await check('write-transaction', async () => {
    const transaction = client.writeTransaction(thread, 'Person')
    await transaction.start()
    const made = await transaction.create([{ name: 'Mary', age: 29 }])
    equal(made.length, 1)
    await transaction.verify([{ _id: ids[0], name: 'Ada', age: 38 }])
    await transaction.save([{ _id: ids[0], name: 'Ada', age: 38 }])
    equal(await transaction.has([ids[0]]), true)
    equal((await transaction.findByID(ids[0])).name, 'Ada')
    equal(names(await transaction.find(new Where('name').eq('Alan'))), ['Alan'])
    await transaction.delete(['alan'])
    await transaction.end()
    equal(names(await client.find(thread, 'Person', new Query().orderBy('age'))), ['Mary', 'Ada'])
    equal((await client.findByID(thread, 'Person', ids[0])).age, 38)
  })
  await check('write-transaction-discarded', async () => {
    const transaction = client.writeTransaction(thread, 'Person')
    await transaction.start()
    await transaction.create([{ name: 'Nobody' }])
    await transaction.discard()
    await refused(transaction.end(), "can't commit discarded/committed txn")
    equal((await client.find(thread, 'Person', new Where('name').eq('Nobody'))).length, 0)
  })
  await check('write-transaction-refusal-inside', async () => {
    const transaction = client.writeTransaction(thread, 'Person')
    await transaction.start()
    await refused(transaction.create([{ age: 1 }]), "doesn't correspond to schema")
    await transaction.end()
  })
  await check('write-transaction-broken-off-commits-nothing', async () => {
    const transaction = client.writeTransaction(thread, 'Person')
    await transaction.start()
    await transaction.create([{ name: 'Half' }])
    transaction.client.close()
    await pause(200)
    equal((await client.find(thread, 'Person', new Where('name').eq('Half'))).length, 0)
  })
  await check('transaction-of-an-absent-collection', async () => {
    const transaction = client.readTransaction(thread, 'Absent')
    const ended = new Promise((resolve, reject) => transaction.client.onEnd((code, text) => reject(Object.assign(new Error(text), { code }))))
    await transaction.start()
    await refused(ended, 'collection not found')
  })

  await check('listen', async () => {
    const seen = { all: [], saves: [], one: [] }
    const taker = (list) => (reply, error) => (reply || error) && list.push(error ? String(error) : `${reply.action} ${reply.instanceID} ${reply.instance ? reply.instance.name : ''}`)
    const listeners = [
      client.listen(thread, [{ collectionName: 'Person', actionTypes: ['ALL'] }], taker(seen.all)),
      client.listen(thread, [{ collectionName: 'Person', actionTypes: ['SAVE'] }], taker(seen.saves)),
      client.listen(thread, [{ instanceID: 'second' }], taker(seen.one)),
    ]
    await pause(500)
    await client.create(thread, 'Person', [{ _id: 'first', name: 'A' }, { _id: 'second', name: 'B' }])
    await client.save(thread, 'Person', [{ _id: 'first', name: 'C' }])
    const before = Date.now()
    await client.delete(thread, 'Person', ['second'])
    await eventually(() => seen.all.length === 4 && seen.saves.length === 1 && seen.one.length === 2, JSON.stringify(seen))
    holds(Date.now() - before < 2000, `the last event took ${Date.now() - before} ms`)
    equal(seen.all, ['CREATE first A', 'CREATE second B', 'SAVE first C', 'DELETE second '])
    equal(seen.saves, ['SAVE first C'])
    equal(seen.one, ['CREATE second B', 'DELETE second '])
    for (const listener of listeners) listener.close()
    await client.delete(thread, 'Person', ['first'])
    await pause(100)
    equal(seen.all.length, 4)
  })
  await check('listen-with-a-wrong-thread', () =>
    new Promise((resolve, reject) => {
      client.listen(ThreadID.fromRandom(), [], (reply, error) => {
        if (error) resolve(error)
        if (reply) reject(new Error('an event of no database'))
      })
    }))

  await check('many-calls-at-once', async () => {
    const one = (number) => client.create(thread, 'Person', [{ name: `many-${number}`, age: 1000 + number }])
    await Promise.all(Array.from({ length: 50 }, (_, number) => one(number)))
    equal((await client.find(thread, 'Person', new Where('age').ge(1000))).length, 50)
  })
  await check('delete-db', async () => {
    await client.deleteDB(thread)
    await refused(client.listCollections(thread), hub ? 'User does not own thread' : 'not found')
  })
}

module.exports = { walk }
