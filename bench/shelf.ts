export { command } from './command.ts'
export { density } from './density.ts'
export { exec } from './exec.ts'
export { start } from './start.ts'
