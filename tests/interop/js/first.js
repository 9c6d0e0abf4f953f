'use strict'

// The first program of a user of the Hub in JS as it was written for the hosted Hub, whose address is the client's default.

const { Client, PrivateKey, ThreadID } = require('@textile/hub')
const { Checks, equal } = require('./lib/checks')

async function main([key, secret]) {
  const checks = new Checks()
  const client = await Client.withKeyInfo({ key, secret })
  const thread = ThreadID.fromRandom()
  await checks.check('tls/host', async () => equal(client.context.host, 'https://webapi.hub.textile.io'))
  await checks.check('tls/token', () => client.getToken(PrivateKey.fromRandom()))
  await checks.check('tls/new-db', () => client.newDB(thread))
  await checks.check('tls/list', async () => equal((await client.listThreads()).map((one) => one.id), [thread.toString()]))
  process.exit(checks.failed ? 1 : 0)
}

main(process.argv.slice(2))
