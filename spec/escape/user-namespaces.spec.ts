import { userNamespaces } from '../../client/attacks/user-namespaces.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of userNamespaces) attack(wall, one.name, one)
