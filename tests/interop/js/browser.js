'use strict'

// The JS client bundled for the browser, in a real one: over websockets as it comes, and over grpc-web by fetch.
//
//   node browser.js CHROMIUM FOLDER http://127.0.0.1:3007 http://127.0.0.1:6007 '{"key": .., "secret": ..}'

const { withPages } = require('./lib/browser')

async function main([executablePath, folder, hub, threads, key]) {
  const failed = await withPages(executablePath, folder, async (open) => {
    const page = await open()
    const failures = await page.evaluate((given) => window.run(given), { hub, threads, key: JSON.parse(key) })
    // A tab that is closed takes its streams with it.
    const other = await open()
    const before = await other.evaluate((given) => window.listen(given), { threads })
    await other.close()
    const ended = await page.evaluate((given) => window.ended(given), { threads, ...before })
    console.log(JSON.stringify({ name: 'a-closed-tab-leaves-half-a-transaction-uncommitted', ok: ended === '', detail: ended }))
    return failures + (ended === '' ? 0 : 1)
  })
  process.exit(failed ? 1 : 0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
