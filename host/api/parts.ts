import type { Fleet } from '../sandbox/fleet.ts'
import type { Owner, SandboxRecord } from '../sandbox/record.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { ApiRooms, Call, Route, Visit } from './call.ts'

/** The parts behind the front door, assembled by the daemon so that they do not depend on each other. */
export interface Parts {
  readonly rooms: ApiRooms
  readonly telemetry: Telemetry
  /** The control plane: E2B's routes and Caisson's own. */
  readonly routes: readonly Route[]
  /** The key's owner; undefined: unknown key. */
  ownerOf(key: string): Owner | undefined
  /** The agent's port: processes, files, health. */
  serveEnvd(visit: Visit): Promise<void>
  /** The code interpreter's port. */
  serveInterpreter(visit: Visit): Promise<void>
  /** The sandbox whose token signed the link; undefined: none, or the link has expired. */
  findSigned(call: Call, fleet: Fleet): SandboxRecord | undefined
}

/** Ports that the daemon serves on the sandbox's behalf. */
export const ENVD_PORT = 49983
export const INTERPRETER_PORT = 49999
