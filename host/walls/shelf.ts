export { container } from './container.ts'
