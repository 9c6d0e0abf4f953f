'use strict'

// Opens the operator's console, and then a stranger's pages in the same browser. Prints what each of those had read, as JSON.
//
//   node attack.js CHROMIUM LINK URL...

const { chromium } = require('playwright-core')

async function main([executablePath, link, ...urls]) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    const context = await browser.newContext()
    const own = await context.newPage()
    await own.goto(link)
    const found = []
    for (const url of urls) {
      const page = await context.newPage()
      await page.goto(url)
      await page.waitForFunction(() => document.title === 'done', null, { timeout: 120_000 })
      const framed = []
      // What a frame shows is seen here even where the page cannot read it.
      for (const frame of page.frames().slice(1)) framed.push(await frame.evaluate(() => document.body.innerText).catch(() => ''))
      found.push({ url, origin: await page.evaluate(() => self.origin), loot: await page.evaluate(() => window.loot), framed })
    }
    await own.reload()
    console.log(JSON.stringify({ found, heading: await own.textContent('h1') }))
  } finally {
    await browser.close()
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
