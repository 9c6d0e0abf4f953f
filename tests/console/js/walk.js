'use strict'

// Walks through every page of the console: by link, by keyboard, on a phone, light and dark; axe looks at each.
// A JSON line a check.
//
//   node walk.js CHROMIUM FOLDER-FOR-SCREENSHOTS LINK DB

const fs = require('fs')
const path = require('path')
const { chromium } = require('playwright-core')

const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
let failed = 0

function check(name, ok, detail = '') {
  console.log(JSON.stringify({ name, ok: Boolean(ok), detail: String(detail) }))
  if (!ok) failed += 1
}

async function look(page, name, folder) {
  await page.screenshot({ path: path.join(folder, `${name}.png`), fullPage: true })
  // The policy of the pages lets no script in but theirs; this one comes through the debugger.
  await page.evaluate(axe)
  const found = await page.evaluate(() => window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] }))
  const serious = found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
  check(`axe-${name}`, serious.length === 0, serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`).join('; ').slice(0, 800))
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  check(`fits-${name}`, overflow <= 0, `${overflow} px too wide`)
}

async function walk(page, origin, db, folder, look_) {
  const places = ['', 'buckets', 'accounts', 'keys', 'peers', 'status', `db/${db}`, `db/${db}/log`, `db/${db}/live`]
  places.push(`db/${db}/collection/people`, `db/${db}/collection/people/edit`, `db/${db}/collection/people/edit?id=p000`)
  for (const place of places) {
    await page.goto(`${origin}/_/${place}`)
    const name = `${folder.prefix}-${(place.replace(db, 'db') || 'overview').replace(/[^a-z0-9]+/g, '-')}`
    await look_(page, name, folder.path)
  }
}

async function main([executablePath, screenshots, link, db]) {
  fs.mkdirSync(screenshots, { recursive: true })
  const origin = new URL(link).origin
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
  try {
    const context = await browser.newContext({ colorScheme: 'light', viewport: { width: 1200, height: 800 } })
    const page = await context.newPage()
    const errors = []
    page.on('pageerror', (error) => errors.push(String(error)))
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
    await page.goto(link)
    check('the-link-opens-the-console', page.url() === `${origin}/_/`, page.url())
    await walk(page, origin, db, { path: screenshots, prefix: 'light' }, look)

    // A document is made with the keyboard alone.
    await page.goto(`${origin}/_/db/${db}/collection/people/edit`)
    await page.focus('#id')
    await page.keyboard.type('typed')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    await page.keyboard.type('-5')
    await page.keyboard.press('Enter')
    await page.waitForSelector('#input-1-error')
    check('errors-are-at-their-fields', (await page.textContent('#input-1-error')).includes('required') && (await page.textContent('#input-2-error')).length > 0)
    await look(page, 'light-errors', screenshots)
    await page.focus('#input-1')
    await page.keyboard.type('Typed by keyboard')
    await page.fill('#input-2', '1999')
    await page.focus('#input-1')
    await page.keyboard.press('Enter')
    await page.waitForURL(/collection\/people$/)

    // What is written is seen at once in another tab.
    const tail = await context.newPage()
    await tail.goto(`${origin}/_/db/${db}/live`)
    await tail.waitForFunction(() => document.getElementById('live-state').textContent.startsWith('Every change'))
    await page.goto(`${origin}/_/db/${db}/collection/people/edit?id=typed`)
    await page.fill('#input-1', 'Changed')
    await page.click('text=Save')
    await tail.waitForSelector('#live li')
    const told = await tail.textContent('#live li')
    check('a-change-is-seen-live', told.includes('save people typed') && told.includes('Changed'), told)
    await look(tail, 'light-live-with-changes', screenshots)
    await tail.close()

    // A file goes into a bucket, and is seen there.
    await page.goto(`${origin}/_/buckets`)
    await page.setInputFiles('form[data-upload] input', { name: 'hello.txt', mimeType: 'text/plain', buffer: Buffer.from('Hello there') })
    await page.click('form[data-upload] button')
    await page.waitForFunction(() => document.querySelector('form[data-upload] output').textContent !== '')
    check('a-file-is-uploaded', (await page.textContent('form[data-upload] output')) === 'hello.txt is there now.')
    await look(page, 'light-buckets-with-a-file', screenshots)
    await page.click('ul.documents a')
    const preview = await page.textContent('body')
    check('a-bucket-shows-its-files', preview.includes('hello.txt'), preview)
    await look(page, 'light-bucket', screenshots)

    page.on('dialog', (dialog) => dialog.accept())
    await page.goto(`${origin}/_/db/${db}/collection/people/edit?id=typed`)
    await page.click('button.danger')
    await page.waitForURL(/collection\/people$/)
    const gone = await page.goto(`${origin}/_/db/${db}/collection/people/edit?id=typed`)
    check('a-document-is-deleted', gone.status() === 404, gone.status())

    await page.goto(`${origin}/_/db/${db}/collection/people`)
    await page.fill('#query', '{"ands":[{"fieldPath":"born","operation":0,"value":{"float":1815}}]}')
    await page.click('text=Find')
    check('a-query-is-explained', (await page.textContent('#way')).includes('index on born'), await page.textContent('#way'))
    const listed = await page.textContent('ul.documents')
    check('a-name-with-markup-is-text', listed.includes('Ada <script>'), listed)

    const unforeseen = errors.filter((error) => !error.includes('status of 40'))
    check('no-script-failed', unforeseen.length === 0, unforeseen.join('; '))

    const cookies = await context.cookies()
    const phone = await browser.newContext({ colorScheme: 'dark', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true })
    await phone.addCookies(cookies)
    await walk(await phone.newPage(), origin, db, { path: screenshots, prefix: 'dark-phone' }, look)
    const stranger = await (await browser.newContext()).newPage()
    await stranger.goto(`${origin}/_/`)
    check('a-stranger-sees-nothing', (await stranger.textContent('h1')) === 'Closed')
    await look(stranger, 'light-closed', screenshots)
  } finally {
    await browser.close()
  }
  process.exit(failed ? 1 : 0)
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
