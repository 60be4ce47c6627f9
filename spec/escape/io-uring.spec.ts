import { ioUring } from '../../client/attacks/io-uring.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of ioUring) attack(wall, one.name, one)
