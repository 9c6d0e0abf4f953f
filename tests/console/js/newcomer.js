'use strict'

// What somebody does who was just given the link: from database to collection to document, by clicking. A JSON line a check.
//
//   node newcomer.js CHROMIUM LINK DATABASE COLLECTION TEXT

const { chromium } = require('playwright-core')

async function main([executablePath, link, database, collection, text]) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    const page = await browser.newPage()
    await page.goto(link)
    await page.click(`main a:text-is("${database}")`)
    await page.click(`main a:text-is("${collection}")`)
    const listed = await page.textContent('ul.documents')
    console.log(JSON.stringify({ name: 'a-document-is-seen', ok: listed.includes(text), detail: listed }))
    process.exitCode = listed.includes(text) ? 0 : 1
  } finally {
    await browser.close()
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
