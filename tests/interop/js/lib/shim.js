// What the packages take from Node and a browser lacks.
import { Buffer } from 'buffer'

export { Buffer }
export const process = { env: {}, nextTick: (run, ...given) => queueMicrotask(() => run(...given)), browser: true, version: '' }
