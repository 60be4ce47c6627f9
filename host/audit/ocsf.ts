import type { AuditEntry } from './query.ts'

/** Version of the Open Cybersecurity Schema Framework; the classes used here have existed since 1.0. */
const VERSION = '1.3.0'
const CATEGORY = { system: 1, identity: 3, network: 4, application: 6 } as const
const OTHER = 99
const SEVERITY = { informational: 1, medium: 3, high: 4 } as const
const SUCCESS = 1
const FAILURE = 2

type Shown = Readonly<Record<string, unknown>>
interface Event {
  readonly category: number
  /** OCSF class number: 1001 files, 1007 processes, 3004 entities, 4001 network, 4002 HTTP, 4003 DNS, 6002 application lifecycle. */
  readonly uid: number
  readonly activity: number
  readonly severity?: number
  readonly status?: number
  readonly fields: Shown
}

const KINDS: Readonly<Record<string, (entry: AuditEntry) => Event>> = {
  create: (entry) => life(1, entry, { profile: entry['profile'], template: entry['template'], wall: entry['wall'] }),
  death: (entry) => life(4, entry, { reason: entry['reason'] }),
  limit: (entry) => ({ ...life(OTHER, entry, { reason: entry['reason'] }), severity: SEVERITY.medium }),
  command: ({ command, args, user, cwd }) => started({ cmd_line: words([command, args]), user: { name: user }, working_directory: cwd }),
  exec: ({ pid, path, argv }) => started({ pid, file: { path, name: String(path).split('/').at(-1), type_id: 1 }, cmd_line: words(argv) }),
  run: ({ language, code, context }) => started({ name: language, cmd_line: code, session: { uid: context } }),
  file: ({ act, path, bytes }) => ({
    category: CATEGORY.system,
    uid: 1001,
    activity: { read: 2, write: 3, rename: 5, remove: 4, make: 1 }[String(act)] ?? OTHER,
    fields: { file: { path, name: String(path).split('/').at(-1), type_id: 1, size: bytes } },
  }),
  network: (entry) => (entry['connection'] === null ? question(entry) : connection(entry)),
  'network-request': (entry) => ({
    category: CATEGORY.network,
    uid: 4002,
    activity: OTHER,
    ...judged(entry),
    fields: {
      http_request: { http_method: entry['method'], url: { scheme: entry['scheme'], hostname: entry['name'], path: entry['path'] } },
      dst_endpoint: endpoint(entry),
    },
  }),
  'network-end': (entry) => ({
    category: CATEGORY.network,
    uid: 4001,
    activity: 2,
    fields: {
      traffic: { bytes_out: entry['bytesOut'], bytes_in: entry['bytesIn'] },
      connection_info: { uid: String(entry['connection']) },
    },
  }),
  'network-moved': (entry) => ({
    category: CATEGORY.network,
    uid: 4001,
    activity: 6,
    fields: {
      traffic: { bytes_out: entry['bytesOut'], bytes_in: entry['bytesIn'] },
      connection_info: { uid: String(entry['connection']) },
    },
  }),
  act: ({ act, by, detail }) => ({
    category: CATEGORY.identity,
    uid: 3004,
    activity: OTHER,
    fields: { entity: { type: 'sandbox or setting', data: detail }, comment: act, actor: { user: { name: by } } },
  }),
  broken: (entry) => ({ ...life(OTHER, entry, {}), severity: SEVERITY.high }),
}

/** Converts a record to an OCSF event: the fields that collectors know, and the whole record as `unmapped`. */
export function ocsf(entry: AuditEntry): Shown {
  const { seq, ts, sandbox, kind, prev: _, ...rest } = entry
  const show = Object.hasOwn(KINDS, String(kind)) ? KINDS[String(kind)] : undefined
  const { category, uid, activity, severity = SEVERITY.informational, status, fields } = show?.(entry) ?? life(OTHER, entry, {})
  return {
    category_uid: category,
    class_uid: uid,
    activity_id: activity,
    type_uid: uid * 100 + activity,
    severity_id: severity,
    ...(status === undefined ? {} : { status_id: status }),
    time: Date.parse(String(ts)),
    message: String(kind),
    metadata: { version: VERSION, product: { name: 'Caisson', vendor_name: 'Caisson' }, uid: String(seq), sequence: seq },
    device: { type_id: 6, uid: sandbox, hostname: sandbox },
    actor: { session: { uid: sandbox } },
    ...fields,
    unmapped: rest,
  }
}

function life(activity: number, { sandbox }: AuditEntry, data: Shown): Event {
  return { category: CATEGORY.application, uid: 6002, activity, fields: { app: { name: 'sandbox', uid: sandbox, data } } }
}

function started(process: Shown): Event {
  return { category: CATEGORY.system, uid: 1007, activity: 1, fields: { process } }
}

function question(entry: AuditEntry): Event {
  return { category: CATEGORY.network, uid: 4003, activity: 1, ...judged(entry), fields: { query: { hostname: entry['name'] } } }
}

function connection(entry: AuditEntry): Event {
  const { isAllowed } = verdictOf(entry)
  return { category: CATEGORY.network, uid: 4001, activity: isAllowed ? 1 : 5, ...judged(entry), fields: { dst_endpoint: endpoint(entry) } }
}

function judged(entry: AuditEntry) {
  const { isAllowed } = verdictOf(entry)
  return { status: isAllowed ? SUCCESS : FAILURE, severity: isAllowed ? SEVERITY.informational : SEVERITY.medium }
}

function verdictOf({ verdict }: AuditEntry) {
  return { isAllowed: verdict !== 'deny' && verdict !== 'refuse' }
}

function endpoint({ name, address, port }: AuditEntry): Shown {
  return { hostname: name, ip: address, port }
}

function words(parts: unknown): string {
  return [parts].flat(3).map(String).join(' ')
}
