'use strict'

// The JS client bundled for the browser, in a real one: over websockets as it comes, and over grpc-web by fetch.
// The page has an origin of its own, as an app's page has.
//
//   node browser.js CHROMIUM FOLDER http://127.0.0.1:3007 http://127.0.0.1:6007 '{"key": .., "secret": ..}'

const fs = require('fs')
const http = require('http')
const path = require('path')
const esbuild = require('esbuild')
const { chromium } = require('playwright-core')

function bundle(folder) {
  const outfile = path.join(folder, 'page.js')
  esbuild.buildSync({
    entryPoints: [path.join(__dirname, 'page.js')],
    bundle: true,
    platform: 'browser',
    mainFields: ['browser', 'main'],
    outfile,
    logLevel: 'error',
    inject: [path.join(__dirname, 'lib', 'shim.js')],
    define: { global: 'window' },
  })
  return fs.readFileSync(outfile)
}

function serve(script) {
  const server = http.createServer((request, response) => {
    const isScript = request.url === '/page.js'
    response.setHeader('content-type', isScript ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8')
    response.end(isScript ? script : '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/page.js"></script>')
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

async function main([executablePath, folder, hub, threads, key]) {
  const server = await serve(bundle(folder))
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  let failed = 1
  try {
    const page = await browser.newPage()
    page.on('console', (message) => (message.text().startsWith('{"name"') ? console.log(message.text()) : console.error(message.text())))
    page.on('pageerror', (error) => console.error(String(error)))
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    failed = await page.evaluate((given) => window.run(given), { hub, threads, key: JSON.parse(key) })
    // A tab that is closed takes its streams with it.
    const other = await browser.newPage()
    await other.goto(`http://127.0.0.1:${server.address().port}/`)
    const before = await other.evaluate((given) => window.listen(given), { threads })
    await other.close()
    const ended = await page.evaluate((given) => window.ended(given), { threads, ...before })
    console.log(JSON.stringify({ name: 'a-closed-tab-leaves-half-a-transaction-uncommitted', ok: ended === '', detail: ended }))
    failed += ended === '' ? 0 : 1
  } finally {
    await browser.close()
    server.close()
  }
  process.exit(failed ? 1 : 0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
