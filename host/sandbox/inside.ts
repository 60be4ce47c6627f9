// Everything that talks to a running sandbox. Loaded while the wall is being built (creating.ts), because preparing the agent's frames takes about as long.

export { AgentConnection } from '../agent/connection.ts'
export { LiveSandbox } from './life.ts'
export { plantFiles } from './planting.ts'
export { rehearse, walkAgain, warmUp } from './rehearsal.ts'
