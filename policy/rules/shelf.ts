export { cidr } from './cidr.ts'
export { name } from './name.ts'
export { wildcard } from './wildcard.ts'
