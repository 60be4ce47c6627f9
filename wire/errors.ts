/**
 * The error catalogue. Every error that a user can meet has a code here, with its meaning, what to do, and whether a retry can help. `docs/reference/errors.md`
 * is generated from it.
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
    hint: 'Caisson makes plans; `caisson run --dry-run` prints one.',
    retry: 'never',
  },
  PROFILE_UNKNOWN: { status: 404, title: 'no such profile', hint: '`caisson profile list` lists the profiles.', retry: 'never' },
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
    hint: 'The rules allow it, but the server is not there or does not answer.',
    retry: 'later',
  },
  TEMPLATE_UNKNOWN: { status: 404, title: 'no such template', hint: '`caisson doctor` lists the templates.', retry: 'never' },
  TEMPLATE_NOT_BUILT: { status: 409, title: 'the template has not been built', hint: 'Build it with `./caisson setup`.', retry: 'later' },
  TEMPLATE_BUILD_FAILED: {
    status: 500,
    title: 'the template could not be built',
    hint: 'The message names the step that failed. Fix the cause, then run `./caisson setup` again.',
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
  FILE_DENIED: { status: 403, title: 'access to the file is denied', hint: 'Check its permissions.', retry: 'never' },
  FILE_EXISTS: { status: 409, title: 'the path exists already', hint: 'Remove it first, or choose another name.', retry: 'never' },
  FILE_KIND: {
    status: 400,
    title: 'wrong kind of file',
    hint: 'Devices, pipes and sockets cannot be read or written as files.',
    retry: 'never',
  },
  USER_UNKNOWN: { status: 400, title: 'no such user in the sandbox', hint: 'Name a user of its /etc/passwd: user, root.', retry: 'never' },
  MOUNT_UNREADABLE: {
    status: 400,
    title: 'the folder cannot be mounted',
    hint: 'Name an existing folder that you may read.',
    retry: 'never',
  },
  NOT_FOUND: { status: 404, title: 'not found', hint: 'Check the spelling, and whether it still exists.', retry: 'never' },
  UNAUTHENTICATED: {
    status: 401,
    title: 'the key is missing or unknown',
    hint: 'Send the key that `caisson env` prints (E2B_API_KEY, or the header X-API-Key).',
    retry: 'never',
  },
  ACCESS_DENIED: {
    status: 403,
    title: 'not allowed with this key or token',
    hint: 'Use the key or token of the owner.',
    retry: 'never',
  },
  CONFLICT: { status: 409, title: 'the sandbox is in another state', hint: 'Check its state, and try again.', retry: 'later' },
  PAUSE_FAILED: {
    status: 507,
    title: 'the sandbox could not be paused: its memory could not be written to the disk, or its keeper does not answer',
    hint: 'It keeps running. Free some disk space and pause it again, or pause it without its memory.',
    retry: 'later',
  },
  SNAPSHOT_FAILED: {
    status: 507,
    title: 'the memory of the sandbox could not be copied to the disk',
    hint: 'It keeps running. Free some disk space and try again, or copy it without its memory.',
    retry: 'later',
  },
  MEMORY_UNUSABLE: {
    status: 409,
    title: 'the saved memory of a paused sandbox or of a snapshot cannot be restored',
    hint: 'Nothing was changed. A paused sandbox can be resumed without its memory: its files are intact.',
    retry: 'never',
  },
  QUOTA_EXCEEDED: {
    status: 429,
    title: 'the quota of this key is used up',
    hint: 'End a sandbox, or wait. `caisson keys` shows the quotas.',
    retry: 'later',
  },
  OVERLOADED: {
    status: 503,
    title: 'the machine is full',
    hint: 'End some sandboxes, or try again when others have ended.',
    retry: 'later',
  },
  SANDBOX_GONE: { status: 410, title: 'the sandbox has ended', hint: 'Create another one.', retry: 'never' },
  UNSUPPORTED: { status: 501, title: 'not supported here', hint: 'The message names an alternative.', retry: 'never' },
  WALL_UNKNOWN: { status: 400, title: 'no such wall', hint: '`caisson doctor` lists the walls.', retry: 'never' },
  WALL_TOO_WEAK: {
    status: 403,
    title: 'the wall is weaker than this key requires',
    hint: 'Name no wall, or a stronger one. `caisson keys` shows the weakest that is allowed.',
    retry: 'never',
  },
  WALL_UNAVAILABLE: {
    status: 503,
    title: 'the wall cannot be built on this machine',
    hint: '`caisson doctor` names the command that fixes it.',
    retry: 'never',
  },
  LIMIT_UNAVAILABLE: {
    status: 503,
    title: 'a limit cannot be enforced on this machine',
    hint: '`caisson doctor` names the command that fixes it. Or lift the limit explicitly (`--memory none`).',
    retry: 'never',
  },
  LAUNCH_FAILED: {
    status: 500,
    title: 'the sandbox could not be started',
    hint: 'The message names the step that failed. `caisson doctor` tries all steps.',
    retry: 'later',
  },
  SCAN_REFUSED: {
    status: 403,
    title: 'the scan refused the code',
    hint: 'Change the code that is named, or run it with `--scan report`.',
    retry: 'never',
  },
  LIMIT_HIT: { status: 422, title: 'a limit was hit', hint: 'The reason is one of timeout, memory, pids, disk, output.', retry: 'never' },
  KILLED: {
    status: 422,
    title: 'the program was ended by a signal',
    hint: 'No limit was hit: a program inside sent the signal.',
    retry: 'never',
  },
  AGENT_LOST: { status: 502, title: 'the connection to the sandbox was lost', hint: 'Create another one.', retry: 'later' },
  WIRE_VIOLATION: {
    status: 502,
    title: 'a message from inside the sandbox is not valid',
    hint: 'The connection was closed. Create another sandbox.',
    retry: 'never',
  },
  AUDIT_UNWRITABLE: {
    status: 503,
    title: 'the audit log cannot be written',
    hint: 'Free disk space, or fix the permissions of the state folder. Nothing runs unrecorded.',
    retry: 'later',
  },
  AUDIT_FOREIGN: {
    status: 503,
    title: 'the audit log belongs to another installation',
    hint: 'Move it away, or restore the key that it was started with.',
    retry: 'never',
  },
  AUDIT_BROKEN: {
    status: 500,
    title: 'the audit log was changed',
    hint: '`caisson audit verify` names the first record that is wrong.',
    retry: 'never',
  },
  AUDIT_BEHIND: {
    status: 503,
    title: 'a required sink of the audit log is too far behind',
    hint: '`caisson audit sinks` says why. New sandboxes can be created when it has caught up; running ones continue.',
    retry: 'later',
  },
  SINK_INVALID: { status: 400, title: 'sinks.json is not valid', hint: 'Correct the named field.', retry: 'never' },
  SINK_UNREACHABLE: {
    status: 503,
    title: 'a sink cannot be reached',
    hint: 'Start the server behind it, or remove the sink from sinks.json.',
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
    hint: 'It was not changed. The message says where it is and what is wrong with it.',
    retry: 'never',
  },
  ADDRESS_UNUSABLE: {
    status: 500,
    title: 'the daemon cannot listen on the address',
    hint: 'Choose another one with --port or --host.',
    retry: 'never',
  },
  DAEMON_RUNNING: {
    status: 409,
    title: 'a daemon is already running on this state folder',
    hint: 'Use it (`caisson env`), or start this one with another CAISSON_HOME.',
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
  INTERNAL: { status: 500, title: 'an internal error of Caisson', hint: 'Please report it, with the message.', retry: 'later' },
} as const satisfies Record<string, { status: number; title: string; hint: string; retry: 'never' | 'later' | 'safe' }>

export type FaultCode = keyof typeof CATALOGUE

/** The only error class. `message` says what was wrong and where; `hint` says what to do; `cause` never leaves the process. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  readonly hint: string
  /** Seconds after which a retry may help, if known. */
  readonly retryAfterS?: number

  constructor(code: FaultCode, message: string, options: { hint?: string; cause?: unknown; retryAfterS?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? CATALOGUE[code].hint
    if (options.retryAfterS !== undefined) this.retryAfterS = options.retryAfterS
  }

  /** The error as one line for a person. */
  get line(): string {
    return `${this.code}: ${this.message}. ${this.hint}`
  }
}
