'use strict'

// Checks runs named checks one after another and prints what each of them found, one JSON object a line.
class Checks {
  constructor() {
    this.failed = 0
    this.names = new Set()
  }

  // check runs one check: it fails when it throws or rejects, or takes too long. Names are unique: pytest reports by them.
  async check(name, run) {
    if (this.names.has(name)) throw new Error(`two checks are called ${name}`)
    this.names.add(name)
    let detail = ''
    let timer
    const late = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error('no answer within 20 s')), 20000)
    })
    try {
      await Promise.race([run(), late])
    } catch (error) {
      detail = (error && (error.stack || error.message)) || String(error)
      this.failed++
    }
    clearTimeout(timer)
    console.log(JSON.stringify({ name, ok: detail === '', detail }))
  }
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
}

// equal throws unless both are the same as JSON, in any order of keys.
function equal(got, want) {
  const [a, b] = [JSON.stringify(sorted(got)), JSON.stringify(sorted(want))]
  if (a !== b) throw new Error(`got ${a}, want ${b}`)
}

function holds(condition, text) {
  if (!condition) throw new Error(text)
}

// refused waits for a refusal, whose text holds the words, and whose code is the given one where it is given.
async function refused(promise, words, code) {
  let error
  try {
    await promise
  } catch (caught) {
    error = caught
  }
  holds(error, `it was taken, want a refusal with '${words}'`)
  holds(String(error.message).includes(words), `refused with '${error.message}', want '${words}'`)
  if (code !== undefined) equal(error.code, code)
}

// eventually waits until a condition holds.
async function eventually(condition, text) {
  const ends = Date.now() + 10000
  while (!condition()) {
    if (Date.now() > ends) throw new Error(text)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

module.exports = { Checks, equal, holds, refused, eventually, pause }
