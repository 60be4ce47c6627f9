import type { Fleet } from '../sandbox/fleet.ts'
import type { Owner, SandboxRecord } from '../sandbox/record.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { ApiRooms, Call, Route, Visit } from './call.ts'

/** What the front door leads to; put together by the daemon, so that no part of this room knows another. */
export interface Parts {
  readonly rooms: ApiRooms
  readonly telemetry: Telemetry
  /** The control plane: E2B's routes and Caisson's own. */
  readonly routes: readonly Route[]
  /** Whose key it is; undefined: nobody's. */
  ownerOf(key: string): Owner | undefined
  /** The agent's port: processes, files, health. */
  serveEnvd(visit: Visit): Promise<void>
  /** The code interpreter's port. */
  serveInterpreter(visit: Visit): Promise<void>
  /** The sandbox whose token the link was signed with; undefined: none, or it has expired. */
  findSigned(call: Call, fleet: Fleet): SandboxRecord | undefined
}

/** Ports that are not inside: the daemon answers for the sandbox. */
export const ENVD_PORT = 49983
export const INTERPRETER_PORT = 49999
