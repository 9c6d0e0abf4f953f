'use strict'

// The page of page.js, or of another entry, in a real browser. It has an origin of its own, as an app's page has.

const fs = require('fs')
const http = require('http')
const path = require('path')
const esbuild = require('esbuild')
const { chromium } = require('playwright-core')

function bundle(folder, entry) {
  const outfile = path.join(folder, 'page.js')
  esbuild.buildSync({
    entryPoints: [entry],
    bundle: true,
    platform: 'browser',
    mainFields: ['browser', 'main'],
    outfile,
    logLevel: 'error',
    inject: [path.join(__dirname, 'shim.js')],
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

// withPages runs a function with one that opens the page; what the page says goes to this program's output.
async function withPages(executablePath, folder, run, entry = path.join(__dirname, '..', 'page.js')) {
  const server = await serve(bundle(folder, entry))
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    return await run(async () => {
      const page = await browser.newPage()
      page.on('console', (message) => (message.text().startsWith('{"name"') ? console.log(message.text()) : console.error(message.text())))
      page.on('pageerror', (error) => console.error(String(error)))
      await page.goto(`http://127.0.0.1:${server.address().port}/`)
      return page
    })
  } finally {
    await browser.close()
    server.close()
  }
}

module.exports = { bundle, withPages }
