'use strict'

// Nothing here is needed to read or to write documents, but for the live changes and for uploads.

const pretty = (text) => {
  // Only spaces are added: numbers stay as they were written.
  let depth = 0
  let quoted = false
  let out = ''
  for (let at = 0; at < text.length; at++) {
    const one = text[at]
    if (quoted) {
      out += one
      if (one === '\\') out += text[++at]
      else if (one === '"') quoted = false
    } else if (one === '"') {
      quoted = true
      out += one
    } else if (one === '{' || one === '[') {
      const closes = /^\s*[}\]]/.test(text.slice(at + 1))
      depth += 1
      out += closes ? one : `${one}\n${'  '.repeat(depth)}`
    } else if (one === '}' || one === ']') {
      depth -= 1
      out += /[{[]$/.test(out) ? one : `\n${'  '.repeat(depth)}${one}`
    } else if (one === ',') out += `,\n${'  '.repeat(depth)}`
    else if (one === ':') out += ': '
    else if (!/\s/.test(one)) out += one
  }
  return out
}

const show = (element) => {
  const code = element.querySelector('code')
  code.textContent = pretty(code.textContent)
}
document.querySelectorAll('[data-json]').forEach(show)

document.querySelectorAll('form[data-ask]').forEach((form) => {
  form.addEventListener('submit', (event) => {
    if (!window.confirm(form.dataset.ask)) event.preventDefault()
  })
})

const live = document.getElementById('live')
if (live) {
  const state = document.getElementById('live-state')
  const source = new EventSource(live.dataset.events)
  source.addEventListener('error', () => { state.textContent = 'The connection was lost; trying again.' })
  source.addEventListener('end', (event) => {
    state.textContent = JSON.parse(event.data)
    source.close()
  })
  source.addEventListener('message', (event) => {
    const told = JSON.parse(event.data)
    if (told.action === 'ready') {
      state.textContent = `Every change after position ${told.position} is shown.`
      return
    }
    const item = document.createElement('li')
    const line = document.createElement('p')
    const action = document.createElement('strong')
    action.textContent = told.action
    line.append(action, ` ${told.collection} ${told.id}, position ${told.position}`)
    item.append(line)
    if (told.document) {
      const block = document.createElement('pre')
      block.tabIndex = 0
      block.append(document.createElement('code'))
      block.firstChild.textContent = pretty(told.document)
      item.append(block)
    }
    live.prepend(item)
    while (live.children.length > 200) live.lastChild.remove()
  })
}

document.querySelectorAll('form[data-upload]').forEach((form) => {
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const file = form.querySelector('input').files[0]
    const progress = form.querySelector('progress')
    const output = form.querySelector('output')
    const request = new XMLHttpRequest()
    request.open('POST', `${form.dataset.upload}?path=${encodeURIComponent(file.name)}`)
    request.upload.addEventListener('progress', (told) => { progress.value = told.loaded / (told.total || 1) })
    request.addEventListener('loadend', () => {
      progress.hidden = true
      output.textContent = request.status === 200 ? `${file.name} is there now.` : 'That did not work.'
    })
    progress.hidden = false
    output.textContent = ''
    request.send(file)
  })
})
