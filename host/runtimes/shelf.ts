export { bash } from './bash.ts'
export { javascript } from './javascript.ts'
export { python } from './python.ts'
export { typescript } from './typescript.ts'
