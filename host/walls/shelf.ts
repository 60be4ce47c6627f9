export { container } from './container.ts'
export { gvisor } from './gvisor/gvisor.ts'
