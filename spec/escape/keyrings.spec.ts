import { keyrings } from '../../client/attacks/keyrings.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of keyrings) attack(wall, one.name, one)
