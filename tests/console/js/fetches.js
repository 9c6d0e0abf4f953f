'use strict'

// Asks for URLs with headers, by Node's fetch and by a browser's, from a page of another origin. Prints the statuses as JSON.
//
//   node fetches.js CHROMIUM '[[URL, HEADERS], ...]'

const { chromium } = require('playwright-core')

// Runs here and in the page.
async function statuses(asked) {
  const found = []
  for (const [url, headers] of asked) found.push((await fetch(url, { headers })).status)
  return found
}

async function main([executablePath, text]) {
  const asked = JSON.parse(text)
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    const page = await browser.newPage()
    console.log(JSON.stringify({ node: await statuses(asked), browser: await page.evaluate(statuses, asked) }))
  } finally {
    await browser.close()
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
