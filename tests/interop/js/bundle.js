'use strict'

// Bundles a program for a page:
//
//   node bundle.js FOLDER ENTRY.js
//
// puts it into FOLDER/page.js.

const path = require('path')
const { bundle } = require('./lib/browser')

const [folder, entry] = process.argv.slice(2)
bundle(folder, path.join(__dirname, entry))
