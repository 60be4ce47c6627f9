import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export const SECRET = 'sk-canary-of-the-project'

/** Files that must not be seen inside; each holds SECRET. */
export const SECRETS = ['.env', 'config/deep/.env.production', 'id_ed25519', '.aws/credentials', 'certificates/server.key']
/** What the host acts on without being asked. */
const TRUSTED = ['.git/config', '.git/hooks/pre-commit', 'nested/library/.git/config', '.husky/pre-commit']

/** A project as people have them, with a repository in it and another one below. */
export class Project implements AsyncDisposable {
  readonly folder: string
  #trusted = new Map<string, string>()

  private constructor(folder: string) {
    this.folder = folder
  }

  static async make(): Promise<Project> {
    const project = new Project(await mkdtemp(join(tmpdir(), 'cai-project-')))
    await project.#fill()
    return project
  }

  async #fill(): Promise<void> {
    for (const path of ['.', 'nested/library']) {
      await mkdir(join(this.folder, path), { recursive: true })
      execFileSync('git', ['init', '--quiet', join(this.folder, path)])
    }
    for (const path of SECRETS) await this.#put(path, SECRET)
    await this.#put('.git/hooks/pre-commit', '#!/bin/sh\nexit 0\n')
    await chmod(join(this.folder, '.git/hooks/pre-commit'), 0o755)
    await this.#put('.husky/pre-commit', 'npm test\n')
    await this.#put('src/main.py', 'print("hello")\n')
    await this.#put('.env.example', 'KEY=\n')
    await symlink('.env', join(this.folder, '.env.local'))
    for (const path of TRUSTED) this.#trusted.set(path, await readFile(join(this.folder, path), 'utf8'))
  }

  /** Throws if something that the host acts on is not as it was made, or is there that was not. */
  async check(): Promise<void> {
    for (const [path, text] of this.#trusted) {
      if ((await readFile(join(this.folder, path), 'utf8')) !== text) throw new Error(`${path} was changed`)
    }
    for (const path of [
      '.vscode',
      '.claude',
      '.cursor',
      '.git/commondir',
      '.git/config.worktree',
      '.git/hooks/post-checkout',
      'nested/library/.git/hooks/post-checkout',
    ]) {
      const there = await readFile(join(this.folder, path)).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code === 'EISDIR' && execFileSync('ls', ['-A', join(this.folder, path)]).length > 0,
      )
      if (there) throw new Error(`${path} was made`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }

  async #put(path: string, text: string): Promise<void> {
    await mkdir(dirname(join(this.folder, path)), { recursive: true })
    await writeFile(join(this.folder, path), text)
  }
}
