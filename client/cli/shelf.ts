/** The verbs: one line each. A verb's file is loaded only when it is asked for. */
export const VERBS = {
  run: { summary: 'run a file, a piece of code or a command in a sandbox of its own', load: async () => (await import('./run.ts')).run },
  up: { summary: 'start the daemon', load: async () => (await import('./up.ts')).up },
  down: { summary: 'end the daemon of this machine; its sandboxes live on', load: async () => (await import('./down.ts')).down },
  env: { summary: 'print the variables that point E2B’s SDKs at the daemon', load: async () => (await import('./env.ts')).env },
  ps: { summary: 'list the sandboxes of the daemon', load: async () => (await import('./ps.ts')).ps },
  exec: { summary: 'run a command in one of them', load: async () => (await import('./exec.ts')).exec },
  shell: { summary: 'open a shell in one', load: async () => (await import('./shell.ts')).shell },
  cp: { summary: 'copy files into one, or out of it', load: async () => (await import('./cp.ts')).cp },
  logs: { summary: 'say what happened in one', load: async () => (await import('./logs.ts')).logs },
  why: { summary: 'say what one was not let reach, and what would allow it', load: async () => (await import('./why.ts')).why },
  kill: { summary: 'end some', load: async () => (await import('./kill.ts')).kill },
  pause: { summary: 'stop some until they are resumed', load: async () => (await import('./pause.ts')).pause },
  resume: { summary: 'let paused ones go on', load: async () => (await import('./resume.ts')).resume },
  fork: { summary: 'make copies of one', load: async () => (await import('./fork.ts')).fork },
  audit: { summary: 'show, verify and export the record of what happened', load: async () => (await import('./audit.ts')).audit },
  scan: { summary: 'say what code would do, and the least profile for it', load: async () => (await import('./scan.ts')).scan },
  profile: { summary: 'list profiles, show, check and compare them', load: async () => (await import('./profile.ts')).profile },
  workspace: {
    summary: 'list what sandboxes leave for the next one, and remove some',
    load: async () => (await import('./workspace.ts')).workspace,
  },
  keys: { summary: 'list, make and revoke the keys of the daemon', load: async () => (await import('./keys.ts')).keys },
  secret: { summary: 'list, store and remove secrets that are used at the gate', load: async () => (await import('./secret.ts')).secret },
  fingerprint: {
    summary: 'print what a secret is known by, for a policy that is not to hold it',
    load: async () => (await import('./fingerprint.ts')).fingerprint,
  },
  attack: { summary: 'attack the walls of this installation, and say what held', load: async () => (await import('./attack.ts')).attack },
  doctor: { summary: 'say what this machine lacks, and the command that mends it', load: async () => (await import('./doctor.ts')).doctor },
  bench: { summary: 'measure this installation', load: async () => (await import('./bench.ts')).bench },
} as const satisfies Record<string, { summary: string; load: () => Promise<Verb> }>

/** Gets the words after its name; resolves to the exit code. A Fault it rejects with becomes one line on stderr. */
export type Verb = (argv: readonly string[]) => Promise<number>
