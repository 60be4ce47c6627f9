export { base } from './base.ts'
export { codeInterpreter } from './code-interpreter.ts'
