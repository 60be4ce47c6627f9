import { existsSync, readFileSync } from 'node:fs'
import { createRequire, Module } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import vm from 'node:vm'
import { isTypeScript, withoutTypes } from './without-types.ts'

type Importer = (specifier: string, options?: object) => Promise<object>
type Compile = { _compile(code: string, path: string): void }
type Extensions = Record<string, (module: Compile, path: string) => void>

/** ES modules for cells and programs: Node's own loader, and ours for TypeScript, which Node cannot read. */
export class Loader {
  readonly #modules = new Map<string, vm.SourceTextModule>()
  readonly #importers = new Map<string, Importer>()

  /** Makes `require` accept TypeScript, too. */
  teachRequire(): void {
    const extensions = (Module as unknown as { _extensions: Extensions })._extensions
    for (const extension of ['.ts', '.cts', '.mts', '.tsx']) {
      extensions[extension] = (module, path) => module._compile(withoutTypes(readFileSync(path, 'utf8'), path, 'cjs'), path)
    }
  }

  /** `import(specifier)` as in the file `base`, which need not exist. */
  async import(specifier: string, base: string, attributes: object): Promise<object> {
    const path = localPath(specifier, base)
    if (path !== undefined && isTypeScript(path)) {
      const module = await this.#linked(this.#typescript(path))
      await module.evaluate()
      return module.namespace
    }
    const options = Object.keys(attributes).length === 0 ? undefined : { with: attributes }
    return await this.#importer(base)(path === undefined ? specifier : pathToFileURL(path).href, options)
  }

  /** A linked module from its text, ready to be evaluated. */
  async module(code: string, path: string): Promise<vm.SourceTextModule> {
    return await this.#linked(this.#make(code, path))
  }

  #make(code: string, path: string): vm.SourceTextModule {
    const url = pathToFileURL(path).href
    const module = new vm.SourceTextModule(code, {
      identifier: url,
      initializeImportMeta: (meta) => {
        Object.assign(meta, { url, filename: path, dirname: dirname(path), resolve: (name: string) => resolved(name, path) })
      },
      importModuleDynamically: (async (specifier: string, _from: unknown, attributes: object) =>
        await this.import(specifier, path, attributes)) as never,
    })
    this.#modules.set(path, module)
    return module
  }

  #typescript(path: string): vm.SourceTextModule {
    return this.#modules.get(path) ?? this.#make(withoutTypes(readFileSync(path, 'utf8'), path), path)
  }

  async #linked(module: vm.SourceTextModule): Promise<vm.SourceTextModule> {
    if (module.status !== 'unlinked') return module
    await module.link(async (specifier, from, extra) => {
      const base = fileURLToPath(from.identifier)
      const path = localPath(specifier, base)
      if (path !== undefined && isTypeScript(path)) return this.#typescript(path)
      const found = await this.import(specifier, base, (extra as { attributes?: object }).attributes ?? {})
      return synthetic(found)
    })
    return module
  }

  /** Node's own `import`, as in the file `base`. */
  #importer(base: string): Importer {
    const folder = dirname(base)
    const known = this.#importers.get(folder)
    if (known !== undefined) return known
    const loader = vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER as never
    const script = new vm.Script('(specifier, options) => import(specifier, options)', { filename: base, importModuleDynamically: loader })
    const importer = script.runInThisContext() as Importer
    this.#importers.set(folder, importer)
    return importer
  }
}

function synthetic(namespace: object): vm.Module {
  const names = Object.keys(namespace)
  return new vm.SyntheticModule(names, function fill(this: vm.SyntheticModule) {
    for (const name of names) this.setExport(name, (namespace as Record<string, unknown>)[name])
  })
}

/** The file that an import path means. TypeScript sources import each other with the extension of the output, or with none. */
function localPath(specifier: string, base: string): string | undefined {
  if (!/^(?:\.{0,2}\/|file:)/.test(specifier)) return undefined
  const path = fileURLToPath(new URL(specifier, pathToFileURL(base)))
  if (existsSync(path) && extname(path) !== '') return path
  const bare = path.replace(/\.([cm]?)js$/, '')
  return [`${bare}.ts`, `${bare}.mts`, `${bare}.cts`, `${bare}.tsx`, join(path, 'index.ts')].find((one) => existsSync(one)) ?? path
}

function resolved(specifier: string, base: string): string {
  const path = localPath(specifier, base) ?? createRequire(base).resolve(specifier)
  return path.startsWith('/') ? pathToFileURL(path).href : path
}
