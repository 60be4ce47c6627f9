import { abstractSockets } from '../../client/attacks/abstract-sockets.ts'
import { attackAll, shared } from './attack.ts'

attackAll(shared(), abstractSockets())
