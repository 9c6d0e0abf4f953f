'use strict'

// What an entry in the hosts file and a port forward do, for one process: connections to one name go to PORT of this
// machine. What TLS is told of the name stays. Load it with `node --require`.

const tls = require('tls')

const { HOSTED, PORT } = process.env
const connect = tls.connect

tls.connect = (options, ...rest) =>
  options.host === HOSTED ? connect({ ...options, host: '127.0.0.1', port: Number(PORT) }, ...rest) : connect(options, ...rest)
