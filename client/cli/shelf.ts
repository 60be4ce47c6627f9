/** The verbs: one line each. A verb's file is loaded only when it is asked for. */
export const VERBS = {
  run: { summary: 'run a file, a piece of code or a command in a sandbox of its own', load: async () => (await import('./run.ts')).run },
  doctor: { summary: 'say what this machine lacks, and the command that mends it', load: async () => (await import('./doctor.ts')).doctor },
  bench: { summary: 'measure this installation', load: async () => (await import('./bench.ts')).bench },
} as const satisfies Record<string, { summary: string; load: () => Promise<Verb> }>

/** Gets the words after its name; resolves to the exit code. A Fault it rejects with becomes one line on stderr. */
export type Verb = (argv: readonly string[]) => Promise<number>
