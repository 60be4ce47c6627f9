import { availableParallelism, totalmem } from 'node:os'
import { CATALOGUE, ENVD_VERSION, type Fault, type Plan } from '@caisson/wire'
import type { Sample, SandboxRecord, SnapshotRecord } from '../../sandbox/record.ts'
import type { Call } from '../call.ts'
import { networkOf } from './network.ts'
import { DEFAULT_TAG, fullName } from './template-reference.ts'

const MIB = 1024 * 1024
/** E2B's clients require this field; there is only one machine. */
const CLIENT_ID = 'caisson'

/** This machine as named in a request, and the port. */
const LOCAL_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i

type Asked = Pick<Call, 'rooms' | 'request'>

/** The answer to creating or connecting to a sandbox. */
export function sandboxBody(record: SandboxRecord, call: Asked) {
  return {
    ...identity(record),
    ...(record.accessToken === null ? {} : { envdAccessToken: record.accessToken }),
    trafficAccessToken: record.trafficToken,
    domain: domainFor(call),
  }
}

/** A sandbox as an item of a list. */
export function listedBody(record: SandboxRecord) {
  return {
    ...identity(record),
    startedAt: time(record.startedMs),
    endAt: time(record.endMs),
    ...sizes(record.plan.limits, record.plan.disk.bytes),
    metadata: record.metadata,
    state: record.state,
    volumeMounts: [],
  }
}

/** All details of a sandbox. */
export function detailBody(record: SandboxRecord, call: Asked) {
  return {
    ...listedBody(record),
    ...(record.accessToken === null ? {} : { envdAccessToken: record.accessToken }),
    domain: domainFor(call),
    ...networkOf(record),
    lifecycle: { onTimeout: record.lifecycle.onTimeout, autoResume: record.lifecycle.autoResume },
    ...(record.paused === null ? {} : { pauseMode: record.paused === 'stopped' ? 'filesystem' : 'full' }),
  }
}

/** Unlimited resources are reported as the size of the machine. */
export function sizes(limits: Pick<Plan['limits'], 'cpuMilli' | 'memoryBytes'>, diskBytes: number) {
  return {
    cpuCount: limits.cpuMilli === null ? availableParallelism() : Math.ceil(limits.cpuMilli / 1000),
    memoryMB: Math.floor((limits.memoryBytes ?? totalmem()) / MIB),
    diskSizeMB: Math.floor(diskBytes / MIB),
  }
}

export function metricBody(sample: Sample) {
  return {
    timestamp: time(sample.atMs),
    timestampUnix: Math.floor(sample.atMs / 1000),
    cpuCount: Math.ceil(sample.cpus),
    cpuUsedPct: sample.cpuUsedPct,
    memUsed: sample.memoryUsedBytes,
    memTotal: sample.memoryTotalBytes,
    memCache: sample.memoryCacheBytes,
    diskUsed: sample.diskUsedBytes,
    diskTotal: sample.diskTotalBytes,
  }
}

export function snapshotBody(snapshot: SnapshotRecord) {
  return { snapshotID: `${snapshot.id}:${DEFAULT_TAG}`, names: snapshot.names.map(fullName) }
}

/** The error of one item among successful others. */
export function errorBody({ code, message, hint }: Fault) {
  return { code: CATALOGUE[code].status, message: `${message}. ${hint}`, error_code: code.toLowerCase(), hint }
}

export function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/**
 * The domain suffix for servers inside. E2B's clients read null as E2B's own domain and would send traffic for a server inside there. Names below localhost
 * always lead here (host/api/evidence.ts), for clients on this machine.
 */
function domainFor({ rooms, request }: Asked): string | null {
  if (rooms.domain !== null) return rooms.domain
  const local = LOCAL_HOST.exec(request.headers.host ?? '')
  return local === null ? null : `localhost${local[1] ?? ''}`
}

function identity(record: SandboxRecord) {
  return {
    sandboxID: record.id,
    templateID: record.templateId,
    ...(record.alias === null ? {} : { alias: record.alias }),
    clientID: CLIENT_ID,
    envdVersion: ENVD_VERSION,
  }
}
