'use strict'

// Opens listeners and holds them until it is killed; says `open` when the headers of all have come.
//
//   node listeners.js http://127.0.0.1:6007 1000

const { Context } = require('@textile/context')
const { ThreadID } = require('@textile/hub')
const { Client } = require('@textile/threads-client')
const WebSocket = require('ws')
const { API } = require('@textile/threads-client-grpc/threads_pb_service')
const pb = require('@textile/threads-client-grpc/threads_pb')

async function main([host, count]) {
  const client = new Client(new Context(host))
  const thread = ThreadID.fromRandom()
  await client.newDB(thread)
  const request = new pb.ListenRequest()
  request.setDbid(thread.toBytes())
  const message = request.serializeBinary()
  const framed = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, message.length]), message])
  const url = `${host.replace('http', 'ws')}/${API.Listen.service.serviceName}/Listen`
  const open = () =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url, ['grpc-websockets'])
      socket.on('error', reject)
      socket.on('open', () => {
        socket.send(Buffer.from('content-type: application/grpc-web+proto\r\n'))
        socket.send(framed)
        socket.send(Buffer.from([1]))
      })
      socket.once('message', resolve)
    })
  for (let opened = 0; opened < Number(count); opened += 50) await Promise.all(Array.from({ length: 50 }, open))
  console.log('open')
  setInterval(() => {}, 1000)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
