'use strict'

// What runs in a page of origins.js: it asks for all databases over every transport of the published client.

const { grpc } = require('@improbable-eng/grpc-web')
const { API } = require('@textile/threads-client-grpc/threads_pb_service')
const { ListDBsRequest } = require('@textile/threads-client-grpc/threads_pb')

const transports = {
  fetch: grpc.FetchReadableStreamTransport({}),
  xhr: grpc.XhrTransport({}),
  websocket: grpc.WebsocketTransport(),
}

const over = (transport, host) =>
  new Promise((resolve) => {
    let databases = 0
    grpc.invoke(API.ListDBs, {
      host, transport, request: new ListDBsRequest(),
      onMessage: (message) => { databases += message.getDbsList().length },
      onEnd: (code, text) => resolve({ code, text, databases }),
    })
  })

window.attempt = async (host) => {
  const seen = {}
  for (const [name, transport] of Object.entries(transports)) seen[name] = await over(transport, host)
  return seen
}
