import { memfdSecret } from '../../client/attacks/memfd-secret.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of memfdSecret) attack(wall, one.name, one)
