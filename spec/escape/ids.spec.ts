import { ids } from '../../client/attacks/ids.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of ids) attack(wall, one.name, one)
