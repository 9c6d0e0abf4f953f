'use strict'

// The whole surface of `Buckets` of @textile/hub, in Node and in the browser.

const { equal, holds, refused } = require('./checks')

const text = (bytes) => new TextDecoder().decode(bytes)
const bytes = (value) => new TextEncoder().encode(value)

// pattern gives bytes that no two chunks of a file share.
const pattern = (length) => Uint8Array.from({ length }, (_, place) => (place * 31 + (place >> 8) * 7) & 255)

// gather joins what a pull yields.
async function gather(pulled) {
  const parts = []
  for await (const part of pulled) parts.push(...part)
  return Uint8Array.from(parts)
}

async function same(pulled, want) {
  const got = await gather(pulled)
  holds(got.length === want.length && got.every((byte, place) => byte === want[place]), `${got.length} other bytes, want ${want.length}`)
}

async function all(results) {
  const found = []
  for await (const result of results) found.push(result)
  return found
}

const names = (item) => item.items.map((inner) => inner.name).sort()

// one walks through a bucket. `kit` holds what the package exports, `inputs` makes what else than bytes can be pushed here.
async function one(check, buckets, stranger, kit, encrypted, inputs) {
  const name = encrypted ? 'sealed' : 'plain'
  const large = pattern(700000)
  let key, root, threadID

  await check('get-or-create', async () => {
    ;({ root, threadID } = await buckets.getOrCreate(name, { encrypted }))
    key = root.key
    equal([root.name, root.thread], [name, threadID])
    holds(/^\/ipfs\/baf/.test(root.path) && root.createdAt > 1e18, JSON.stringify(root))
  })
  await check('get-or-create-again', async () => equal((await buckets.getOrCreate(name, { encrypted })).root.key, key))
  await check('list', async () => holds((await buckets.list()).some((found) => found.key === key), 'it is not listed'))
  await check('existing', async () => {
    holds((await buckets.existing()).some((found) => found.key === key), 'it is not there')
    buckets.withThread(threadID)
  })
  await check('root', async () => equal(await buckets.root(key), root))
  await check('root-of-an-absent-bucket', () => refused(buckets.root('absent'), 'instance not found'))

  await check('push-path', async () => {
    const progress = []
    const options = { progress: (count) => progress.push(count) }
    const pushed = await buckets.pushPath(key, 'a.txt', { path: 'a.txt', content: bytes('hello') }, options)
    const now = await buckets.root(key)
    // The client makes all of its path from the CID of the file.
    const { item } = await buckets.listPath(key, 'a.txt')
    equal([pushed.root, pushed.path.path, pushed.path.cid.toString()], [now.path, `/ipfs/${item.cid}`, item.cid])
    if (!encrypted) equal(pushed.path.cid.toString(), 'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq')
    holds(now.path !== root.path && now.updatedAt > root.updatedAt, 'the root stays the same')
  })
  await check('push-path-of-many-messages', async () => {
    const progress = []
    await buckets.pushPath(key, 'dir/large.bin', { path: 'dir/large.bin', content: large }, { progress: (count) => progress.push(count) })
    // What is counted is what is stored.
    const last = progress[progress.length - 1]
    holds(encrypted ? last > large.length : last === large.length, `${progress}`)
  })
  await check('push-path-of-nothing', async () => {
    await buckets.pushPath(key, 'dir/none', { path: 'dir/none', content: new Uint8Array(0) })
    equal((await gather(buckets.pullPath(key, 'dir/none'))).length, 0)
  })
  await check('push-path-of-an-old-root', () =>
    refused(buckets.pushPath(key, 'late.txt', { path: 'late.txt', content: bytes('late') }, { root }), 'update is non-fast-forward'))
  for (const [kind, make] of Object.entries(inputs)) {
    await check(`push-path-of-a-${kind}`, async () => {
      await buckets.pushPath(key, `kinds/${kind}`, await make(`kinds/${kind}`, 'of a kind'))
      equal(text(await gather(buckets.pullPath(key, `kinds/${kind}`))), 'of a kind')
    })
  }
  await check('push-paths', async () => {
    const files = ['one', 'two/é 漢.txt', 'two/three'].map((path) => ({ path: `many/${path}`, content: bytes(`content of ${path}`) }))
    const replies = await all(buckets.pushPaths(key, files))
    equal(replies.map((reply) => reply.path).sort(), files.map((file) => file.path).sort())
    const last = replies[replies.length - 1]
    holds(replies.every((reply) => reply.cid && reply.size > 0), JSON.stringify(replies))
    equal(last.root.path, (await buckets.root(key)).path)
    for (const file of files) await same(buckets.pullPath(key, file.path), file.content)
  })
  await check('push-paths-of-an-old-root', () =>
    refused(all(buckets.pushPaths(key, [{ path: 'late', content: bytes('late') }], { root })), 'update is non-fast-forward'))

  await check('pull-path', async () => {
    const progress = []
    await same(buckets.pullPath(key, 'dir/large.bin', { progress: (count) => progress.push(count) }), large)
    equal(progress[progress.length - 1], large.length)
  })
  await check('pull-path-of-a-directory', () => refused(gather(buckets.pullPath(key, 'dir')), 'node is a directory'))
  await check('pull-path-of-nothing', () => refused(gather(buckets.pullPath(key, 'absent')), 'absent'))
  await check('list-path', async () => {
    const { item, root: at } = await buckets.listPath(key, '')
    equal([item.isDir, item.name, at.key], [true, name, key])
    equal(names(item), ['.textileseed', 'a.txt', 'dir', 'kinds', 'many'])
    const { item: file } = await buckets.listPath(key, 'a.txt')
    equal([file.isDir, file.name, file.size > 5, file.items], [false, 'a.txt', encrypted, []])
    const { item: inner } = await buckets.listPath(key, 'many/two')
    equal(names(inner), ['three', 'é 漢.txt'])
  })
  await check('list-path-flat', async () => {
    const paths = await buckets.listPathFlat(key, 'many', false)
    equal(paths.sort(), ['many/one', 'many/two/three', 'many/two/é 漢.txt'].sort())
  })
  await check('links', async () => {
    const links = await buckets.links(key)
    holds(links.url.endsWith(`/thread/${threadID}/buckets/${key}${encrypted ? links.url.slice(links.url.indexOf('?')) : ''}`), links.url)
    equal(links.ipns.includes(`/ipns/${key}`), true)
    equal([links.url, links.ipns].map((link) => link.includes('?token=')), [encrypted, encrypted])
    holds((await buckets.links(key, 'a.txt')).url.includes(`/buckets/${key}/a.txt`), 'no link to a path')
  })
  await check('links-of-nothing', () => refused(buckets.links(key, 'absent'), encrypted ? 'could not resolve path' : 'no link named "absent" under'))

  await check('ipfs-paths', async () => {
    const { path } = await buckets.root(key)
    // What is sealed is no directory to anybody but the bucket.
    if (encrypted) return refused(buckets.listIpfsPath(`${path}/dir`), 'no link named "dir" under')
    equal(names(await buckets.listIpfsPath(path)), ['.textileseed', 'a.txt', 'dir', 'kinds', 'many'])
    // The size is that of all blocks.
    holds((await buckets.listIpfsPath(`${path}/dir/large.bin`)).size > large.length, 'too small')
    await same(buckets.pullIpfsPath(`${path}/dir/large.bin`), large)
  })
  await check('set-path', async () => {
    const { root: source } = await buckets.create(`source-${name}`)
    await buckets.pushPath(source.key, 'inner/x', { path: 'inner/x', content: bytes('set') })
    const { item } = await buckets.listPath(source.key, 'inner')
    await buckets.setPath(key, 'set', item.cid)
    equal(text(await gather(buckets.pullPath(key, 'set/x'))), 'set')
    await buckets.remove(source.key)
    equal(text(await gather(buckets.pullPath(key, 'set/x'))), 'set')
  })
  await check('set-path-of-no-cid', () => refused(buckets.setPath(key, 'bad', 'no cid'), 'invalid remote cid'))

  await check('move-path', async () => {
    await buckets.movePath(key, 'a.txt', 'moved/b.txt')
    equal(text(await gather(buckets.pullPath(key, 'moved/b.txt'))), 'hello')
    await refused(gather(buckets.pullPath(key, 'a.txt')), 'a.txt')
    await buckets.movePath(key, 'moved', 'many')
    equal(names((await buckets.listPath(key, 'many')).item), ['moved', 'one', 'two'])
    equal(text(await gather(buckets.pullPath(key, 'many/moved/b.txt'))), 'hello')
  })
  await check('move-path-of-the-root', () => refused(buckets.movePath(key, '', 'into'), 'source is root directory'))
  await check('remove-path', async () => {
    const before = await buckets.root(key)
    const removed = await buckets.removePath(key, 'dir')
    equal(removed.root.path, (await buckets.root(key)).path)
    await refused(buckets.removePath(key, 'many', { root: before }), 'update is non-fast-forward')
    equal(names((await buckets.listPath(key, '')).item), ['.textileseed', 'kinds', 'many', 'set'])
  })
  await check('remove-path-of-nothing', () => refused(buckets.removePath(key, 'absent'), encrypted ? 'remove node failed: could not resolve path' : 'no link by that name'))

  // Whoever is no owner may write what has an entry already.
  const shared = 'shared/x'
  const push = (who, content) => who.pushPath(key, shared, { path: shared, content: bytes(content) })
  await check('roles-of-nobody', async () => {
    await push(buckets, 'mine')
    equal([...(await buckets.pullPathAccessRoles(key, shared))], [])
  })
  await check('roles-keep-a-stranger-out', async () => {
    stranger.buckets.withThread(threadID)
    await refused(push(stranger.buckets, 'theirs'), 'permission denied')
    if (encrypted) await refused(gather(stranger.buckets.pullPath(key, shared)), 'could not resolve path')
    equal(text(await gather(buckets.pullPath(key, shared))), 'mine')
  })
  await check('roles', async () => {
    const who = stranger.identity.public.toString()
    const roles = [['*', 1], [who, 2]].sort()
    await buckets.pushPathAccessRoles(key, shared, new Map(roles))
    equal([...(await buckets.pullPathAccessRoles(key, shared))].sort(), roles)
    equal([...(await buckets.listPath(key, shared)).item.metadata.roles].sort(), roles)
    equal(text(await gather(stranger.buckets.pullPath(key, shared))), 'mine')
    await push(stranger.buckets, 'theirs')
    equal(text(await gather(buckets.pullPath(key, shared))), 'theirs')
  })
  await check('roles-are-taken-away', async () => {
    await buckets.pushPathAccessRoles(key, shared, new Map([[stranger.identity.public.toString(), 0]]))
    equal([...(await buckets.pullPathAccessRoles(key, shared))], [['*', 1]])
    equal(text(await gather(stranger.buckets.pullPath(key, shared))), 'theirs')
    await refused(push(stranger.buckets, 'again'), 'permission denied')
  })
  await check('roles-of-no-key', () => refused(buckets.pushPathAccessRoles(key, shared, new Map([['nobody', 1]])), 'unmarshaling role public key'))
  await check('remove-of-a-stranger', () => refused(stranger.buckets.remove(key), 'User does not own thread'))

  await check('create-from-a-cid', async () => {
    // What is sealed goes into no other bucket.
    const from = encrypted ? 'many/one' : 'many'
    const { item } = await buckets.listPath(key, from)
    if (encrypted) return refused(buckets.create('from-a-cid', { cid: item.cid }), 'not a directory')
    const made = await buckets.create('from-a-cid', { cid: item.cid })
    equal([made.seed.length, made.seedCid.slice(0, 3), Object.keys(made.links).sort()], [32, 'baf', ['ipns', 'url', 'www']])
    equal(names((await buckets.listPath(made.root.key, '')).item), ['.textileseed', 'moved', 'one', 'two'])
    await buckets.remove(made.root.key)
  })
  await check('archives-of-a-hub-without-them', () => refused(buckets.archive(key), 'archiving feature is disabled'))
  await check('remove', async () => {
    await buckets.remove(key)
    await refused(buckets.root(key), 'instance not found')
    equal((await buckets.list()).filter((found) => found.key === key), [])
  })
}

// walk goes through an open and an encrypted bucket of a new user, beside another user of the same API key.
async function walk(checks, label, host, keyInfo, kit, inputs) {
  const people = []
  for (let number = 0; number < 2; number++) {
    const identity = kit.PrivateKey.fromRandom()
    const buckets = await kit.Buckets.withKeyInfo(keyInfo, { host })
    await buckets.getToken(identity)
    people.push({ identity, buckets })
  }
  const [{ buckets }, stranger] = people
  for (const encrypted of [false, true]) {
    const check = (name, run) => checks.check(`${label}/${encrypted ? 'sealed' : 'plain'}/${name}`, run)
    await one(check, buckets, stranger, kit, encrypted, inputs)
  }
}

module.exports = { walk, bytes }
