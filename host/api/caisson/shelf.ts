export { createCaissonSandbox } from './create.ts'
