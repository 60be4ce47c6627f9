import { rawSockets } from '../../client/attacks/raw-sockets.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of rawSockets) attack(wall, one.name, one)
