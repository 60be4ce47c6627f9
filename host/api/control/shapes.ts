import { availableParallelism, totalmem } from 'node:os'
import { CATALOGUE, ENVD_VERSION, type Fault, type Plan } from '@caisson/wire'
import type { Sample, SandboxRecord, SnapshotRecord } from '../../sandbox/record.ts'
import type { Call } from '../call.ts'
import { networkOf } from './network.ts'
import { DEFAULT_TAG, fullName } from './template-reference.ts'

const MIB = 1024 * 1024
/** E2B's clients want one; there is one machine. */
const CLIENT_ID = 'caisson'

/** This machine, as it was called in a request, and the port. */
const LOCAL_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i

type Asked = Pick<Call, 'rooms' | 'request'>

/** What is answered when a sandbox is made, or connected to. */
export function sandboxBody(record: SandboxRecord, call: Asked) {
  return {
    ...identity(record),
    ...(record.accessToken === null ? {} : { envdAccessToken: record.accessToken }),
    trafficAccessToken: record.trafficToken,
    domain: domainFor(call),
  }
}

/** One of a list. */
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

/** All that is told of one. */
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

/** What is not limited is as large as the machine. */
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

/** One that failed, among others that did not. */
export function errorBody({ code, message, hint }: Fault) {
  return { code: CATALOGUE[code].status, message: `${message}. ${hint}`, error_code: code.toLowerCase(), hint }
}

export function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/**
 * What names of servers inside end in. Null would be E2B's own domain to its clients, and what is meant for a server inside would go there. Names below localhost
 * always lead here (host/api/evidence.ts), for whoever asks from this machine.
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
