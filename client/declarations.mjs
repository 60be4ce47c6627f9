// Generates the types of `import 'caisson'`: declarations of index.ts and everything that it imports. If the source were used instead, the importer's
// compiler settings would apply to our code, and most reject its imports of `.ts` files.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

const ENTRY = 'client/index.d.ts'
const WIRE = '@caisson/wire'
const IMPORTED = /(\bfrom |\bimport\()(['"])([^'"]+)\2/g

const options = (root, outDir) => ({
  target: 'es2022',
  module: 'nodenext',
  lib: ['es2023', 'esnext.disposable', 'dom.asynciterable'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  allowImportingTsExtensions: true,
  declaration: true,
  emitDeclarationOnly: true,
  // `npm run check` does that.
  noCheck: true,
  // Found through node_modules, it would count as external, and no declarations would be emitted.
  paths: { [WIRE]: [join(root, 'wire/index.ts')] },
  typeRoots: [join(root, 'node_modules/@types')],
  rootDir: root,
  outDir,
})

/** `run(command, args)` runs the compiler; `root` is the clone. */
export async function declare(root, run) {
  const made = join(root, 'dist/types.made')
  const kept = join(root, 'dist/types.new')
  for (const folder of [made, kept]) await rm(folder, { recursive: true, force: true })
  await mkdir(made, { recursive: true })
  const project = { compilerOptions: options(root, made), files: [join(root, 'client/index.ts')] }
  await writeFile(join(made, 'tsconfig.json'), JSON.stringify(project))
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', made])
  await keep(made, kept)
  await rm(join(root, 'dist/types'), { recursive: true, force: true })
  await rename(kept, join(root, 'dist/types'))
  await rm(made, { recursive: true })
}

/** Keeps only what the entry imports: the embedded host is not part of the types. */
async function keep(made, kept) {
  const files = [ENTRY]
  for (const file of files) {
    const named = (from) => {
      if (from === WIRE) return 'wire/index.ts'
      return from.startsWith('.') ? join(dirname(file), from) : undefined
    }
    const text = await readFile(join(made, file), 'utf8')
    const told = text.replaceAll(IMPORTED, (whole, before, quote, from) => {
      const source = named(from)
      if (source === undefined) {
        if (from.startsWith('@caisson/')) throw new Error(`${file} names ${from}, which has no declarations`)
        return whole
      }
      const next = source.replace(/\.[jt]s$/, '.d.ts')
      if (!files.includes(next)) files.push(next)
      const path = relative(dirname(file), next.replace(/\.d\.ts$/, '.js'))
      return `${before}${quote}${path.startsWith('.') ? path : `./${path}`}${quote}`
    })
    await mkdir(dirname(join(kept, file)), { recursive: true })
    await writeFile(join(kept, file), told)
  }
}
