export { container } from './container.ts'
export { gvisor } from './gvisor/gvisor.ts'
export { microvm } from './microvm/microvm.ts'
