'use strict'

// A module of the documents, bundled as its page says and called in a real browser; prints the name that it found.
//
//   node documented.js CHROMIUM FOLDER MODULE

const fs = require('fs')
const path = require('path')
const { withPages } = require('./lib/browser')

async function main([executablePath, folder, module_]) {
  const entry = path.join(folder, 'entry.js')
  fs.writeFileSync(entry, `import { first } from ${JSON.stringify(module_)}\nwindow.first = first\n`)
  const run = async (open) => {
    const page = await open()
    return page.evaluate(() => window.first('Ada'))
  }
  const found = await withPages(executablePath, folder, run, entry)
  console.log(found.map((one) => one.name).join('\n'))
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(2)
})
