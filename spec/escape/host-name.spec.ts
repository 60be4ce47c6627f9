import { hostName } from '../../client/attacks/host-name.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of hostName) attack(wall, one.name, one)
