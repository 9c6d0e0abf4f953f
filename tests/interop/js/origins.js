'use strict'

// Who may call the threads endpoint, in a real browser and in Node: each page makes the calls of attempt.js.
//
//   node origins.js CHROMIUM FOLDER http://127.0.0.1:6007 '{"path": URL, "name": URL}'
//
// The URLs are those of one bucket that holds an index.html which loads the bundled attempt.js.

const fs = require('fs')
const http = require('http')
const path = require('path')
const { chromium } = require('playwright-core')
const { bundle } = require('./lib/browser')
const { Checks, equal, holds } = require('./lib/checks')

const transports = ['fetch', 'xhr', 'websocket']

function serve(script) {
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://unused')
    const isScript = pathname === '/page.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    const framed = searchParams.get('frame')
    const body = framed ? `<iframe src="${framed}"></iframe>` : '<script src="/page.js"></script>'
    response.end(isScript ? script : `<!doctype html>${body}`)
  })
  return new Promise((resolve) => server.listen(0, () => resolve(server)))
}

function isAnswered(seen) {
  for (const name of transports) equal([name, seen[name].code, seen[name].databases > 0], [name, 0, true])
}

function isRefused(seen, flag) {
  for (const name of transports) {
    equal([name, seen[name].code, seen[name].databases], [name, 7, 0])
    holds(seen[name].text.includes(flag), `${name}: '${seen[name].text}' does not name ${flag}`)
  }
}

// nodesFetch makes a call with the fetch of Node, which says sec-fetch-mode and nothing of an origin.
async function nodesFetch(threads) {
  const headers = { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' }
  const answer = await fetch(`${threads}/threads.pb.API/ListDBs`, { method: 'POST', headers, body: new Uint8Array(5) })
  const text = Buffer.from(await answer.arrayBuffer()).toString('latin1')
  holds(text.includes('grpc-status: 0'), `got ${text} and ${answer.headers.get('grpc-message')}`)
}

async function main([executablePath, folder, threads, bucket]) {
  const checks = new Checks()
  const places = JSON.parse(bucket)
  const script = bundle(folder, path.join(__dirname, 'attempt.js'))
  fs.writeFileSync(path.join(folder, 'page.html'), '<!doctype html><script src="page.js"></script>')
  const server = await serve(script)
  const port = server.address().port
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--host-resolver-rules=MAP *.example 127.0.0.1']
  const browser = await chromium.launch({ executablePath, args })
  const attempt = async (url, framed, host = threads) => {
    const page = await browser.newPage()
    await page.goto(framed ? `http://localhost:${port}/?frame=${encodeURIComponent(url)}` : url)
    const frame = framed ? page.frames()[1] : page.mainFrame()
    await frame.waitForFunction(() => window.attempt)
    const seen = await frame.evaluate((given) => window.attempt(given), host)
    await page.close()
    return seen
  }
  try {
    await checks.check('node', () => nodesFetch(threads))
    for (const host of ['localhost', '127.0.0.1']) {
      await checks.check(`page/${host}`, async () => isAnswered(await attempt(`http://${host}:${port}/`)))
    }
    const refused = {
      'another-name-of-this-machine': `http://app.localhost:${port}/`,
      'another-site': `http://any.example:${port}/`,
      file: `file://${path.join(folder, 'page.html')}`,
      'bucket-by-path': places.path,
      'bucket-by-name': places.name,
    }
    for (const [name, url] of Object.entries(refused)) {
      await checks.check(`page/${name}`, async () => isRefused(await attempt(url), '--web-origin'))
    }
    for (const name of ['path', 'name']) {
      await checks.check(`framed/bucket-by-${name}`, async () => isRefused(await attempt(places[name], true), '--web-origin'))
    }
    await checks.check('page/whose-own-name-leads-here', async () => {
      const rebound = `http://any.example:${new URL(threads).port}`
      isRefused(await attempt(`http://any.example:${port}/`, false, rebound), '--web-host')
    })
  } finally {
    await browser.close()
    server.close()
  }
  process.exit(checks.failed ? 1 : 0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
