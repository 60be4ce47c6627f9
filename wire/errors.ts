/**
 * The catalogue. Every error that a user can meet has a code here: what it means, what to do, and whether trying again helps.
 * `docs/reference/errors.md` is generated from it.
 */
export const CATALOGUE = {
  BAD_REQUEST: { status: 400, title: 'the request is not valid', hint: 'Correct the named field.', retry: 'never' },
  BAD_SIZE: {
    status: 400,
    title: 'not a size or a duration',
    hint: 'Sizes are MiB (512) or carry a unit (1GiB); durations carry a unit (30s, 2m).',
    retry: 'never',
  },
  PLAN_INVALID: {
    status: 400,
    title: 'the plan is not valid',
    hint: 'Plans are made by Caisson; print one with `caisson run --dry-run`.',
    retry: 'never',
  },
  PROFILE_UNKNOWN: { status: 404, title: 'no such profile', hint: 'The profiles are listed by `caisson profile list`.', retry: 'never' },
  PROFILE_INVALID: { status: 400, title: 'the profile file is not valid', hint: 'Correct the named line.', retry: 'never' },
  POLICY_INVALID: { status: 400, title: 'the network policy is not valid', hint: 'Correct the named rule.', retry: 'never' },
  NETWORK_DENIED: {
    status: 403,
    title: 'the network rules of the sandbox do not allow it',
    hint: '`caisson why ID` names the smallest rule that would.',
    retry: 'never',
  },
  NETWORK_UNREACHABLE: {
    status: 502,
    title: 'the server cannot be reached from this machine',
    hint: 'The rules allow it; the server is not there, or does not answer.',
    retry: 'later',
  },
  TEMPLATE_UNKNOWN: { status: 404, title: 'no such template', hint: 'The templates are listed by `caisson doctor`.', retry: 'never' },
  TEMPLATE_NOT_BUILT: { status: 409, title: 'the template has not been built', hint: 'Build it with `./caisson setup`.', retry: 'later' },
  TEMPLATE_BUILD_FAILED: {
    status: 500,
    title: 'the template could not be built',
    hint: 'The step that failed is named; run `./caisson setup` again when it is mended.',
    retry: 'later',
  },
  LANGUAGE_UNKNOWN: {
    status: 400,
    title: 'no such language',
    hint: 'Name one with --lang: python, javascript, typescript, bash, java, r.',
    retry: 'never',
  },
  LANGUAGE_UNAVAILABLE: {
    status: 501,
    title: 'the language is not available here',
    hint: '`caisson doctor` names what to install.',
    retry: 'never',
  },
  FILE_MISSING: { status: 404, title: 'no such file', hint: 'Check the path.', retry: 'never' },
  FILE_DENIED: { status: 403, title: 'the file may not be used so', hint: 'Check its permissions.', retry: 'never' },
  FILE_EXISTS: { status: 409, title: 'the path exists already', hint: 'Remove it first, or choose another name.', retry: 'never' },
  FILE_KIND: {
    status: 400,
    title: 'not the right kind of file',
    hint: 'Devices, pipes and sockets cannot be read or written as files.',
    retry: 'never',
  },
  USER_UNKNOWN: { status: 400, title: 'no such user in the sandbox', hint: 'Name one of its /etc/passwd: user, root.', retry: 'never' },
  MOUNT_UNREADABLE: {
    status: 400,
    title: 'the folder cannot be mounted',
    hint: 'Name an existing folder that you may read.',
    retry: 'never',
  },
  NOT_FOUND: { status: 404, title: 'not found', hint: 'Check how it is written; what has ended is not found either.', retry: 'never' },
  UNAUTHENTICATED: {
    status: 401,
    title: 'the key is missing or not known',
    hint: 'Send the key that `caisson env` prints (E2B_API_KEY, or the header X-API-Key).',
    retry: 'never',
  },
  ACCESS_DENIED: {
    status: 403,
    title: 'not allowed with this key or token',
    hint: 'Use the key or the token of its owner.',
    retry: 'never',
  },
  CONFLICT: { status: 409, title: 'the sandbox is in another state', hint: 'Ask for its state, and try again.', retry: 'later' },
  PAUSE_FAILED: {
    status: 507,
    title: 'the sandbox could not be paused: its memory could not be written to the disk, or its keeper does not answer',
    hint: 'It runs on. Make room, and pause it again; or pause it without its memory.',
    retry: 'later',
  },
  SNAPSHOT_FAILED: {
    status: 507,
    title: 'the memory of the sandbox could not be copied to the disk',
    hint: 'It runs on. Make room, and try again; or copy it without its memory.',
    retry: 'later',
  },
  MEMORY_UNUSABLE: {
    status: 409,
    title: 'the memory that a sandbox was paused with, or a snapshot was taken with, cannot be taken on',
    hint: 'Nothing of it was touched. A paused sandbox can be resumed without its memory: its files are whole.',
    retry: 'never',
  },
  QUOTA_EXCEEDED: {
    status: 429,
    title: 'the quota of this key is used up',
    hint: 'End a sandbox, or wait; `caisson keys` shows the quotas.',
    retry: 'later',
  },
  OVERLOADED: { status: 503, title: 'the machine is full', hint: 'Try again when others have ended, or end some.', retry: 'later' },
  SANDBOX_GONE: { status: 410, title: 'the sandbox has ended', hint: 'Create another one.', retry: 'never' },
  UNSUPPORTED: { status: 501, title: 'not supported here', hint: 'The message names what would serve.', retry: 'never' },
  WALL_UNKNOWN: { status: 400, title: 'no such wall', hint: 'The walls are listed by `caisson doctor`.', retry: 'never' },
  WALL_TOO_WEAK: {
    status: 403,
    title: 'the wall is weaker than this key must have',
    hint: 'Leave the wall out, or name a stronger one; `caisson keys` shows the weakest that is allowed.',
    retry: 'never',
  },
  WALL_UNAVAILABLE: {
    status: 503,
    title: 'the wall cannot be built on this machine',
    hint: '`caisson doctor` names the command that mends it.',
    retry: 'never',
  },
  LIMIT_UNAVAILABLE: {
    status: 503,
    title: 'a limit cannot be enforced on this machine',
    hint: '`caisson doctor` names the command that mends it; or say plainly that the limit is not wanted (`--memory none`).',
    retry: 'never',
  },
  LAUNCH_FAILED: {
    status: 500,
    title: 'the sandbox could not be started',
    hint: 'The step that failed is named; `caisson doctor` tries them all.',
    retry: 'later',
  },
  SCAN_REFUSED: {
    status: 403,
    title: 'the scan of the code refused it',
    hint: 'Change what is named, or take another mode: `--scan report`.',
    retry: 'never',
  },
  LIMIT_HIT: { status: 422, title: 'a limit was hit', hint: 'The reason is one of timeout, memory, pids, disk, output.', retry: 'never' },
  KILLED: { status: 422, title: 'the program was ended by a signal', hint: 'No limit was hit: something inside sent it.', retry: 'never' },
  AGENT_LOST: { status: 502, title: 'the sandbox broke off the conversation', hint: 'Create another one.', retry: 'later' },
  WIRE_VIOLATION: {
    status: 502,
    title: 'what came from inside the wall is not valid',
    hint: 'The connection was closed. Create another sandbox.',
    retry: 'never',
  },
  AUDIT_UNWRITABLE: {
    status: 503,
    title: 'the audit log cannot be written',
    hint: 'Free the disk or mend the permissions of the state folder; nothing runs unrecorded.',
    retry: 'later',
  },
  AUDIT_FOREIGN: {
    status: 503,
    title: 'the audit log belongs to another installation',
    hint: 'Move it away, or bring back the key that it was begun with.',
    retry: 'never',
  },
  AUDIT_BROKEN: {
    status: 500,
    title: 'the audit log is not what was written',
    hint: '`caisson audit verify` names the first record that is not right.',
    retry: 'never',
  },
  AUDIT_BEHIND: {
    status: 503,
    title: 'a place that must have the record is too far behind',
    hint: '`caisson audit sinks` says why. Sandboxes are made again when it has caught up; what runs goes on.',
    retry: 'later',
  },
  SINK_INVALID: { status: 400, title: 'the file that names the sinks is not valid', hint: 'Correct the named place.', retry: 'never' },
  SINK_UNREACHABLE: {
    status: 503,
    title: 'a sink cannot be reached',
    hint: 'Start what is to be there, or take the sink out of sinks.json.',
    retry: 'later',
  },
  HOME_UNUSABLE: {
    status: 500,
    title: 'the state folder cannot be used',
    hint: 'Set CAISSON_HOME to a folder of your own with a short path.',
    retry: 'never',
  },
  STORE_UNUSABLE: {
    status: 500,
    title: 'the database of the state folder cannot be used',
    hint: 'It is kept as it is; the message says where, and what is wrong with it.',
    retry: 'never',
  },
  ADDRESS_UNUSABLE: {
    status: 500,
    title: 'the address cannot be listened on',
    hint: 'Name another with --port, or with --host.',
    retry: 'never',
  },
  DAEMON_RUNNING: {
    status: 409,
    title: 'a daemon runs on this state folder already',
    hint: 'Use it (`caisson env`), or give this one another CAISSON_HOME.',
    retry: 'never',
  },
  DAEMON_UNREACHABLE: {
    status: 502,
    title: 'the daemon does not answer',
    hint: 'Start it with `caisson up`, or unset CAISSON_URL to run sandboxes from this process.',
    retry: 'later',
  },
  SETUP_INCOMPLETE: { status: 500, title: 'Caisson is not set up', hint: 'Run `./caisson setup`.', retry: 'later' },
  CANCELLED: { status: 499, title: 'cancelled by the caller', hint: 'None needed.', retry: 'safe' },
  INTERNAL: { status: 500, title: 'a fault of Caisson itself', hint: 'Please report it with the message.', retry: 'later' },
} as const satisfies Record<string, { status: number; title: string; hint: string; retry: 'never' | 'later' | 'safe' }>

export type FaultCode = keyof typeof CATALOGUE

/** The one error class. `message` says what was wrong and where; `hint` what to do; `cause` stays in the process. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  readonly hint: string
  /** When trying again may help, where that is known. */
  readonly retryAfterS?: number

  constructor(code: FaultCode, message: string, options: { hint?: string; cause?: unknown; retryAfterS?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? CATALOGUE[code].hint
    if (options.retryAfterS !== undefined) this.retryAfterS = options.retryAfterS
  }

  /** One line for a person. */
  get line(): string {
    return `${this.code}: ${this.message}. ${this.hint}`
  }
}
