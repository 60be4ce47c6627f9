const MAGIC = '070701'
const FOLDER = 0o040755
const FILE = 0o100755
const ALIGNMENT = 4

/** One file or folder of an archive. */
export interface Entry {
  readonly path: string
  /** Absent: a folder. */
  readonly content?: Buffer
}

/** An archive in the format of the initial root file system (Documentation/driver-api/early-userspace/buffer-format.rst). Everything belongs to root. */
export function cpio(entries: readonly Entry[]): Buffer {
  const pieces = entries.flatMap((entry, index) => piece(entry.path, entry.content === undefined ? FOLDER : FILE, entry.content, index + 1))
  return Buffer.concat([...pieces, ...piece('TRAILER!!!', 0, undefined, 0)])
}

function piece(path: string, mode: number, content: Buffer | undefined, number: number): Buffer[] {
  const name = Buffer.from(`${path}\0`)
  const fields = [number, mode, 0, 0, 1, 0, content?.length ?? 0, 0, 0, 0, 0, name.length, 0]
  const head = Buffer.concat([Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('')), name])
  return content === undefined ? [padded(head)] : [padded(head), padded(content)]
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)])
}
