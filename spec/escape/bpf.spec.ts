import { bpf } from '../../client/attacks/bpf.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of bpf) attack(wall, one.name, one)
