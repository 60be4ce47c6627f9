// What speaks with a sandbox that stands. Loaded while its wall is being built (creating.ts): the frames of the agent take as long to be made ready as that.

export { AgentConnection } from '../agent/connection.ts'
export { LiveSandbox } from './life.ts'
export { plantFiles } from './planting.ts'
export { rehearse, walkAgain, warmUp } from './rehearsal.ts'
