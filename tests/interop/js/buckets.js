'use strict'

// A user of the Hub with buckets, over @textile/hub.
//
//   node buckets.js http://127.0.0.1:3007 '{"key": .., "secret": ..}'

const { Readable } = require('stream')
const { Buckets, PrivateKey } = require('@textile/hub')
const { Checks } = require('./lib/checks')
const { walk } = require('./lib/buckets')

const inputs = {
  buffer: (path, content) => ({ path, content: Buffer.from(content) }),
  stream: (path, content) => ({ path, content: Readable.from([Buffer.from(content.slice(0, 3)), Buffer.from(content.slice(3))]) }),
}

async function main([host, key]) {
  const checks = new Checks()
  await walk(checks, 'node', host, JSON.parse(key), { Buckets, PrivateKey }, inputs)
  process.exit(checks.failed ? 1 : 0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
