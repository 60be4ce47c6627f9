/** The verbs, one line each. A verb's file is loaded only when needed. */
export const VERBS = {
  run: { summary: 'run a program, a piece of code or a command in a new sandbox', load: async () => (await import('./run.ts')).run },
  up: { summary: 'start the daemon', load: async () => (await import('./up.ts')).up },
  down: { summary: 'end the daemon; its sandboxes live on', load: async () => (await import('./down.ts')).down },
  env: { summary: 'print the variables that point E2B’s SDKs at the daemon', load: async () => (await import('./env.ts')).env },
  ps: { summary: 'list sandboxes', load: async () => (await import('./ps.ts')).ps },
  exec: { summary: 'run a command in a sandbox', load: async () => (await import('./exec.ts')).exec },
  shell: { summary: 'open a shell in a sandbox', load: async () => (await import('./shell.ts')).shell },
  cp: { summary: 'copy files into or out of a sandbox', load: async () => (await import('./cp.ts')).cp },
  logs: { summary: 'show what happened in a sandbox', load: async () => (await import('./logs.ts')).logs },
  why: {
    summary: 'show refused network access and the rule that would allow it',
    load: async () => (await import('./why.ts')).why,
  },
  kill: { summary: 'end sandboxes', load: async () => (await import('./kill.ts')).kill },
  pause: { summary: 'stop sandboxes until they are resumed', load: async () => (await import('./pause.ts')).pause },
  resume: { summary: 'continue paused sandboxes', load: async () => (await import('./resume.ts')).resume },
  fork: { summary: 'copy a sandbox as it is now', load: async () => (await import('./fork.ts')).fork },
  audit: { summary: 'show, verify and export the audit log', load: async () => (await import('./audit.ts')).audit },
  scan: {
    summary: 'check code for hostile patterns before it runs',
    load: async () => (await import('./scan.ts')).scan,
  },
  profile: { summary: 'list, show, check and compare profiles', load: async () => (await import('./profile.ts')).profile },
  workspace: {
    summary: 'list and remove workspaces, whose files outlive a run',
    load: async () => (await import('./workspace.ts')).workspace,
  },
  keys: { summary: 'list, create and revoke keys of the daemon', load: async () => (await import('./keys.ts')).keys },
  secret: { summary: 'list, store and remove secrets that are added to requests', load: async () => (await import('./secret.ts')).secret },
  fingerprint: {
    summary: 'print the fingerprint of a secret, for a network policy',
    load: async () => (await import('./fingerprint.ts')).fingerprint,
  },
  attack: {
    summary: 'attack the sandboxes of this installation, and report what held',
    load: async () => (await import('./attack.ts')).attack,
  },
  doctor: {
    summary: 'check this machine, and name the command that fixes each problem',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  bench: { summary: 'measure this installation', load: async () => (await import('./bench.ts')).bench },
} as const satisfies Record<string, { summary: string; load: () => Promise<Verb> }>

/** Receives the arguments after its name and resolves to the exit code. A Fault that it rejects with becomes one line on stderr. */
export type Verb = (argv: readonly string[]) => Promise<number>
