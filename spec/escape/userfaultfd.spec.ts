import { userfaultfd } from '../../client/attacks/userfaultfd.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of userfaultfd) attack(wall, one.name, one)
