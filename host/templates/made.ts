import { z } from 'zod'

const HostPath = z.string().startsWith('/')

/** templates/NAME/template.json: what was built, and from what. Folders are relative to it. */
export const Made = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  etc: z.string().regex(/^etc-[0-9a-f]{8}$/),
  /** A virtual environment for /caisson/python, and the interpreter it was made with. */
  python: z.strictObject({ folder: z.string().regex(/^python-[0-9a-f]{8}$/), interpreter: HostPath }).nullable(),
  /** Folders of the host that appear inside at the same path, read-only. */
  host: z.array(HostPath),
  symlinks: z.array(z.strictObject({ path: HostPath, to: z.string().min(1) })),
  languages: z.array(z.string()),
})
export type Made = z.infer<typeof Made>
