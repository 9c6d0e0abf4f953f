'use strict'

// Buckets in a real browser: pushed from a page over @textile/hub, and opened through the gateway, by path and by name.
//
//   node websites.js CHROMIUM FOLDER http://127.0.0.1:3007 http://127.0.0.1:8006 buckets.localhost '{"key": .., "secret": ..}'

const { Buckets, PrivateKey } = require('@textile/hub')
const { Checks, equal, holds } = require('./lib/checks')
const { withPages } = require('./lib/browser')
const { bytes } = require('./lib/buckets')

const page = (name, root) => `<!doctype html><meta charset="utf-8"><title>${name}</title><link rel="stylesheet" href="${root}style.css">
<script src="${root}app.js"></script><img src="${root}dot.svg"><p>no script</p><a href="${root}more/">more</a>`

const site = {
  'index.html': page('home', ''),
  'more/index.html': page('more', '../'),
  'style.css': 'p { color: rgb(1, 2, 3) }',
  'app.js': 'addEventListener("load", () => { document.querySelector("p").textContent = "scripted" })',
  'dot.svg': '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="4"></svg>',
}

const odd = ['a b', 'é 漢', '100%', '#1', 'who?', '<b>', '"quoted"', "'", '&amp;', 'a+b', 'back\\slash', 'x;y=z', '..dots']

async function push(keyInfo, host, name, files, encrypted = false) {
  const buckets = await Buckets.withKeyInfo(keyInfo, { host })
  await buckets.getToken(PrivateKey.fromRandom())
  const { root } = await buckets.getOrCreate(name, { encrypted })
  const inputs = Object.entries(files).map(([path, content]) => ({ path, content: bytes(content) }))
  for await (const reply of buckets.pushPaths(root.key, inputs)) holds(reply.cid, 'a reply without a CID')
  return { key: root.key, links: await buckets.links(root.key), root: await buckets.root(root.key) }
}

// works fails unless the page in a tab has its style, its script and its picture.
async function works(tab, title) {
  const seen = await tab.evaluate(() => {
    const [text, image] = [document.querySelector('p'), document.querySelector('img')]
    return [document.title, text.textContent, getComputedStyle(text).color, image.naturalWidth, image.naturalHeight]
  })
  equal(seen, [title, 'scripted', 'rgb(1, 2, 3)', 3, 4])
}

async function browse(checks, tab, gateway, domain, bucket, listed) {
  const named = `http://${bucket.key}.${domain}:${new URL(gateway).port}`
  const ways = {
    thread: bucket.links.url,
    ipns: bucket.links.ipns,
    ipfs: gateway + bucket.root.path,
    name: named,
  }
  for (const [way, url] of Object.entries(ways)) {
    await checks.check(`website/${way}`, async () => {
      equal((await tab.goto(url)).status(), 200)
      await works(tab, 'home')
      await tab.click('a')
      await tab.waitForURL(/\/more\/$/)
      await tab.waitForLoadState('load')
      await works(tab, 'more')
    })
  }
  await checks.check('website/names-have-origins-of-their-own', async () => {
    await tab.goto(named)
    equal(await tab.evaluate(() => location.origin), named)
  })
  await checks.check('website/a-file-of-the-name-that-is-missing', async () => equal((await tab.goto(`${named}/absent`)).status(), 404))
  await checks.check('website/no-index', async () => {
    const answer = await tab.goto(`http://${listed.key}.${domain}:${new URL(gateway).port}/`)
    equal(answer.status(), 404)
    holds((await tab.textContent('body')).includes('an index.html file was not found in this bucket'), 'another text')
  })
}

async function list(checks, tab, label, url) {
  await checks.check(`${label}/names`, async () => {
    equal((await tab.goto(url)).status(), 200)
    const names = await tab.$$eval('td.name a', (links) => links.map((link) => link.textContent))
    equal(names.sort(), ['.textileseed', 'dir/', ...odd].sort())
  })
  for (const name of odd) {
    await checks.check(`${label}/opens/${name}`, async () => {
      await tab.goto(url)
      const links = await tab.$$('td.name a')
      const texts = await Promise.all(links.map((link) => link.textContent()))
      const address = await links[texts.indexOf(name)].evaluate((link) => link.href)
      equal(await tab.evaluate(async (at) => (await fetch(at)).text(), address), `content of ${name}`)
    })
  }
  await checks.check(`${label}/down-and-up`, async () => {
    await tab.goto(url)
    await tab.click('text=dir/')
    await tab.click('text=deep/')
    equal(await tab.$$eval('td.name a', (links) => links.map((link) => link.textContent)), ['..', 'file.txt'])
    await tab.click('text=file.txt')
    equal(await tab.textContent('body'), 'deep')
    await tab.goBack()
    await tab.click('text=..')
    await tab.click('text=..')
    holds((await tab.$$('td.name a')).length === odd.length + 2, 'not the root')
  })
}

async function main([executablePath, folder, hub, gateway, domain, text]) {
  const key = JSON.parse(text)
  const checks = new Checks()
  const files = Object.fromEntries([...odd.map((name) => [name, `content of ${name}`]), ['dir/deep/file.txt', 'deep']])
  const website = await push(key, hub, 'website', site)
  const listed = await push(key, hub, 'listed', files)
  const sealed = await push(key, hub, 'sealed', files, true)
  const failed = await withPages(executablePath, folder, async (open) => {
    const tab = await open()
    const failures = await tab.evaluate((given) => window.buckets(given), { hub, key })
    await browse(checks, tab, gateway, domain, website, listed)
    await list(checks, tab, 'listing', listed.links.url)
    await list(checks, tab, 'sealed-listing', sealed.links.url)
    await checks.check('sealed-listing/without-a-token', async () =>
      equal((await tab.goto(sealed.links.url.split('?')[0])).status(), 404))
    return failures + checks.failed
  })
  process.exit(failed ? 1 : 0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
