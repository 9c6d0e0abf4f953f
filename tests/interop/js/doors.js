'use strict'

// What one call costs at the gRPC door and at the door for browsers, and how late a listener in a browser sees a write.
// Prints {"grpc": [..], "http": [..], "websocket": [..], "browser": [..]}: milliseconds, the medians of the rounds.
// All calls are made with what Node has of its own, and one at a time, so that the doors differ and not their clients.
//
//   node doors.js CHROMIUM FOLDER 127.0.0.1:3006 127.0.0.1:3007 '{"key": .., "secret": ..}' ROUNDS CALLS

const http = require('http')
const http2 = require('http2')
const { Client, PrivateKey, ThreadID } = require('@textile/hub')
const { FindByIDRequest } = require('@textile/threads-client-grpc/threads_pb')
const WebSocket = require('ws')
const { withPages } = require('./lib/browser')

const METHOD = '/threads.pb.API/FindByID'
const TRAILERS = 0x80

// prepare makes a database with one instance; returns the metadata of its owner and the request for the instance.
async function prepare(web, key) {
  const client = await Client.withKeyInfo(key, `http://${web}`)
  const token = await client.getToken(PrivateKey.fromRandom())
  const thread = ThreadID.fromRandom()
  await client.newDB(thread)
  await client.newCollection(thread, { name: 'C', schema: { type: 'object', properties: { _id: { type: 'string' } } } })
  await client.create(thread, 'C', [{ _id: 'one', name: 'Ada' }])
  const request = new FindByIDRequest()
  request.setDbid(thread.toBytes())
  request.setCollectionname('C')
  request.setInstanceid('one')
  const body = request.serializeBinary()
  const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body])
  return { framed, metadata: { 'x-textile-api-key': key.key, authorization: `bearer ${token}` } }
}

function check(status, reply) {
  if (String(status) !== '0') throw new Error(`refused with status ${status}`)
  if (!reply.includes('Ada')) throw new Error('another answer')
}

const overGrpc = (session, { framed, metadata }) =>
  new Promise((resolve, reject) => {
    const pieces = []
    let status
    const stream = session.request({ ':method': 'POST', ':path': METHOD, 'content-type': 'application/grpc', te: 'trailers', ...metadata })
    stream.on('data', (piece) => pieces.push(piece))
    stream.on('trailers', (trailers) => { status = trailers['grpc-status'] })
    stream.on('error', reject)
    stream.on('end', () => resolve([status, Buffer.concat(pieces)]))
    stream.end(framed)
  })

const overHttp = (agent, [host, port], { framed, metadata }) =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1', 'content-length': framed.length, ...metadata }
    const request = http.request({ agent, host, port, method: 'POST', path: METHOD, headers }, (response) => {
      const pieces = []
      response.on('data', (piece) => pieces.push(piece))
      response.on('end', () => {
        const reply = Buffer.concat(pieces)
        resolve([/grpc-status: ?(\d+)/.exec(reply.toString('latin1'))[1], reply])
      })
    })
    request.on('error', reject)
    request.end(framed)
  })

const overWebsocket = (address, { framed, metadata }) =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://${address}${METHOD}`, ['grpc-websockets'])
    const pieces = []
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed without a status')))
    socket.on('open', () => {
      const lines = Object.entries({ 'content-type': 'application/grpc-web+proto', ...metadata }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.send(Buffer.from(lines.join('')))
      socket.send(Buffer.concat([Buffer.from([0]), framed]))
      socket.send(Buffer.from([1]))
    })
    socket.on('message', (piece) => {
      pieces.push(piece)
      const status = piece[0] === TRAILERS && /grpc-status: ?(\d+)/.exec(piece.toString('latin1'))
      if (status) resolve([status[1], Buffer.concat(pieces)])
    })
  })

const median = (figures) => figures.sort((a, b) => a - b)[Math.floor(figures.length / 2)]

async function timed(count, call) {
  const taken = []
  for (let number = 0; number < count; number++) {
    const before = process.hrtime.bigint()
    check(...(await call()))
    taken.push(Number(process.hrtime.bigint() - before) / 1e6)
  }
  return median(taken)
}

async function main([executablePath, folder, api, web, keyText, rounds, calls]) {
  const key = JSON.parse(keyText)
  const prepared = await prepare(web, key)
  const session = http2.connect(`http://${api}`)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const ways = {
    grpc: () => overGrpc(session, prepared),
    http: () => overHttp(agent, web.split(':'), prepared),
    websocket: () => overWebsocket(web, prepared),
  }
  const found = { grpc: [], http: [], websocket: [], browser: [] }
  // The first calls warm up both sides.
  for (const call of Object.values(ways)) await timed(Number(calls) / 4, call)
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, call] of Object.entries(ways)) found[name].push(await timed(Number(calls), call))
  }
  session.close()
  await withPages(executablePath, folder, async (open) => {
    const page = await open()
    const given = { hub: `http://${web}`, key, count: Number(calls) / 4 }
    for (let round = 0; round < Number(rounds); round++) {
      found.browser.push(median(await page.evaluate((values) => window.delays(values), given)))
    }
  })
  console.log(JSON.stringify(found))
  process.exit(0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
