export { banned } from './banned.ts'
export { hostile } from './hostile.ts'
export { machine } from './machine.ts'
export { theft } from './theft.ts'
